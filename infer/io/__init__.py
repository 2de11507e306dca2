"""Reading and writing the file formats of the field."""

"""Pure functions on arrays, with the source of each formula."""

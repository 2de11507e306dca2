"""Suspicious systematics: found, pruned, smoothed, symmetrised, and what each of that does to the result."""

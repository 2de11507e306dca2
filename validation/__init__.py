"""Suites that show what the package claims: against pyhf, against ROOT, and against the clock.

Run them as ``python -m validation --help``. Nothing here is imported by the package itself.
"""

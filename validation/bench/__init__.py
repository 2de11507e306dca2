"""Side-by-side benchmarks: every tool in its own process and its own environment, on the same cores.

``run_*.py`` are small programs, one for each tool, that fit one workspace and print one JSON line; ``process.py``
starts them with a time limit and measures them; ``peers.py`` knows where their environments are; ``fit.py`` makes the
table. The programs of peers run in the peers' environments: nothing of a peer is ever imported by the package.
"""

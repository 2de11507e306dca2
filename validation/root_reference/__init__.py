"""Values of ROOT's HistFactory for a dozen small workspaces, stored with the scripts that produced them.

1. ``make_workspaces.py`` writes the workspaces (pyhf JSON) into ``workspaces/``.
2. ``compute.py`` builds each of them with ROOT's own HistFactory classes and writes ``reference.json``;
   it needs ROOT, which lives in an environment of its own (``validation/bench/setup_peers.sh``).
3. ``reference.py`` reads the stored values; the tests compare pyhf and this package with them.
4. ``make_xml.py`` writes the workspaces as HistFactory XML, and ``from_xml.py`` lets ROOT read that, into
   ``xml_reference.json``.
"""

"""What every source passes by existing: its folder under `integration_assets/sources/` is found, nothing is listed here.

collect.py  : every source and stream, as pytest parameters.
fixtures.py : the form of a recording, `sources/<name>/fixtures/<stream>.json`.
replay.py   : a real HTTP server that answers from a recording and complains about what was not recorded.
harness.py  : a source pointed at that server, with a lake and a warehouse in a folder.
"""

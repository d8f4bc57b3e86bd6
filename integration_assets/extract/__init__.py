"""HTTP to Arrow batches, driven by a source's spec; the only package that imports httpx.

`client` holds the connection and its rules, `reading` turns a slice into pages, `decode` turns a page into rows.
"""

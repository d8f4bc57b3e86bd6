"""Where rows land: the lake, the quarantine and the warehouse. The only importer of deltalake, duckdb and google.

Nothing is imported here, so that loading the definitions stays quick; import the submodules.
"""

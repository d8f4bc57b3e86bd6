"""Sources that are written as YAML: how a file becomes the same `Source` that a Python module would give.

Nothing here knows Dagster. `load_sources` reads the bundled files with it, and `orchestrate.component` makes Dagster's component
of it, so both take the same files and say the same of a mistake.
"""

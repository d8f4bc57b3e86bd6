"""Runs the emulator; started by process.py with the interpreter of the emulator's own environment."""

from __future__ import annotations

import os
import sys
import threading


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Unpack DuckDB's extensions from their wheels below HOME, for there is no network, then serve."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from duckdb_extensions.extension_importer import import_extension  # type: ignore[import-not-found]

    for name in ("icu", "ducklake", "spatial", "httpfs"):
        import_extension(name)
    from local_bigquery import cli  # type: ignore[import-not-found]

    cli.main(sys.argv[1:])


if __name__ == "__main__":
    main()

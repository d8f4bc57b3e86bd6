"""`python -m integration_assets_tests.gcs FOLDER [--port N]`: serve until standard input closes or a signal comes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from threading import Thread

from integration_assets_tests.gcs.server import Server


def main() -> None:
    """Serve, saying on standard output where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    with Server(options.folder, port=options.port) as server:
        print(f"gcs emulator ready at http://127.0.0.1:{server.server_address[1]}", flush=True)  # noqa: T201
        Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.read()  # the parent holds the other end: when it is gone, so are we
        server.store.close()


if __name__ == "__main__":
    main()

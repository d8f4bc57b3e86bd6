"""Run the demo once, or serve the sandbox with Dagster's webserver and daemon until ctrl-C."""

from __future__ import annotations

import argparse
import sys

from integration_assets.demo.run import demo
from integration_assets.demo.serve import serve


def main() -> int:
    """Read the arguments and run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m integration_assets.demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="serve until ctrl-C instead of running the demo once")
    parser.add_argument("--port", type=int, default=3000, help="port of Dagster's webserver")
    arguments = parser.parse_args()
    return serve(arguments.port) if arguments.serve else demo()


if __name__ == "__main__":
    sys.exit(main())

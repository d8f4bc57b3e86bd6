"""Run the demo once, or serve the sandbox with Dagster's webserver and daemon until ctrl-C."""

from __future__ import annotations

import sys

from integration_assets.demo.run import demo
from integration_assets.demo.serve import serve

if __name__ == "__main__":
    sys.exit(serve() if "--serve" in sys.argv[1:] else demo())

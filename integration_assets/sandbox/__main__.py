"""Command line of the sandbox: `python -m integration_assets.sandbox --port 8013 --admin`."""

from __future__ import annotations

import argparse

from integration_assets.sandbox import serve


def parser() -> argparse.ArgumentParser:
    """Build the options; every one of them is a parameter of `serve` of the same name."""
    options = argparse.ArgumentParser(prog="python -m integration_assets.sandbox", description=serve.__doc__)
    add = options.add_argument
    add("--host", default="127.0.0.1", help="address to bind; loopback unless told")
    add("--port", type=int, default=8013, help="0 picks a free port and prints it")
    add("--clock", default="2013-02-01T00:00:00Z", help="simulated instant at start, ISO-8601 with an offset")
    add("--speed", type=float, default=0.0, help="simulated seconds per real second: 0 stands still, 1 is real time")
    add("--key", default=None, help="bearer key; default: $SANDBOX_KEY, else sandbox-key")
    add("--rate-limit", type=float, default=200.0, help="requests per second for each key; 0 for no limit")
    add("--admin", action="store_true", help="open /admin: clock, faults, truth, request counts")
    add("--days", type=int, default=None, help="keep only the first N days of 2013")
    add("--cursor-ttl", type=float, default=3600.0, help="life of a page token, real seconds")
    add("--no-gzip", dest="gzip", action="store_false", help="never compress answers")
    add("--watch-stdin", action="store_true", help="stop when standard input closes")
    return options


def main() -> None:
    """Serve with the options given."""
    serve(**vars(parser().parse_args()))


if __name__ == "__main__":
    main()

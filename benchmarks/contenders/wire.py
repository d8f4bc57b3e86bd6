"""The wire's own time: each page is asked for and read to its end, over bare sockets, and nothing is made of it.

It is what pages times round trip really come to on this machine: the server's own time and that of the bytes are in it. Only a
contender that waits for nothing else comes near.
"""

from __future__ import annotations

import argparse
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from benchmarks.contenders.job import Job, finish, job

_OWN = threading.local()


def page(asked: Job, place: dict[str, str | int]) -> bytes:
    """One page's body, on this thread's own connection."""
    if not hasattr(_OWN, "connection"):
        _OWN.connection = HTTPConnection(urlsplit(asked.url).netloc)
    _OWN.connection.request("GET", f"/orders?{urlencode({'limit': asked.page, **asked.window, **place})}")
    body: bytes = _OWN.connection.getresponse().read()
    return body


def main(asked: Job, connections: int) -> None:
    """Read it all, by token one after the other, by offset on several connections."""
    Path(asked.folder).mkdir(parents=True, exist_ok=True)
    first = body = page(asked, {})
    if asked.paging == "offset":
        total = int(first[first.rindex(b":") + 1 : -1])
        with ThreadPoolExecutor(connections) as pool:
            list(pool.map(lambda offset: page(asked, {"offset": offset}), range(asked.page, total, asked.page)))
    else:
        while (token := body[body.rindex(b'"next":') + 7 : body.rindex(b',"total"')]) != b"null":
            body = page(asked, {"cursor": token.decode().strip('"')})
    finish(rows=0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=8)
    asked, rest = job(parser)
    main(asked, rest.connections)

"""A live upstream to run against with no account: the real flights of 2013 behind a realistic HTTP API.

Nothing here is imported by the rest of the package. Importing this face is cheap: numpy, pyarrow and starlette are
loaded only when a server is started.
"""

from __future__ import annotations

__all__ = ["serve"]


def serve(
    host: str = "127.0.0.1",
    port: int = 8013,
    clock: str = "2013-02-01T00:00:00Z",
    speed: float = 0.0,
    key: str | None = None,
    rate_limit: float = 200.0,
    admin: bool = False,
    *,
    days: int | None = None,
    cursor_ttl: float = 3600.0,
    gzip: bool = True,
    watch_stdin: bool = False,
) -> None:
    """Serve the sandbox until SIGTERM or ctrl-C; prints `sandbox ready at http://HOST:PORT` when it answers.

    `port` 0 picks a free one. `clock` is an ISO-8601 instant with an offset and `speed` the simulated seconds per real
    second (0 stands still). `key` is the bearer key, by default the environment's SANDBOX_KEY or `sandbox-key`.
    `rate_limit` is requests per second for each key, 0 for none. `admin` opens /admin. `days` keeps the first N days of
    2013 only. `cursor_ttl` is the life of a page token in real seconds. `watch_stdin` stops the server when its
    standard input closes, that is when its parent is gone.

    Raises `MissingDataError` without the `sandbox` extra, and `ValueError` for a clock without an offset.
    """
    from integration_assets.sandbox.server import Settings, run

    run(
        Settings(
            host=host,
            port=port,
            clock=clock,
            speed=speed,
            key=key,
            rate_limit=rate_limit,
            admin=admin,
            days=days,
            cursor_ttl=cursor_ttl,
            gzip=gzip,
            watch_stdin=watch_stdin,
        )
    )

"""Starting, stopping, running clocks, and the data behind it all."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import Any

import httpx
import pytest

from integration_assets.sandbox.data import MissingDataError, data_folder, load
from integration_assets.sandbox.flights import FlightStream
from integration_assets.sandbox.process import SandboxError, SandboxProcess
from integration_assets.sandbox.times import parse
from integration_assets.sandbox.tokens import Tokens


def test_importing_is_cheap() -> None:
    """Neither the package nor its process helper loads numpy, pyarrow, starlette or uvicorn."""
    code = (
        "import sys, integration_assets.sandbox, integration_assets.sandbox.process;"
        "print([name for name in ('numpy', 'pyarrow', 'starlette', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"


def test_leaving_the_block_stops_the_server() -> None:
    """After the block nothing listens at the address."""
    with SandboxProcess(days=1) as sandbox:
        assert httpx.get(f"{sandbox.url}/healthz", trust_env=False).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{sandbox.url}/healthz", trust_env=False)


def test_a_start_that_fails_says_why() -> None:
    """A server that cannot start raises with what it wrote."""
    with pytest.raises(SandboxError, match="has no offset"), SandboxProcess(clock="2013-02-01", days=1):
        pytest.fail("it must not start")


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux to wait for a process that is not a child")
def test_the_server_dies_with_its_parent() -> None:
    """A parent killed without a chance to clean up takes the server with it."""
    code = (
        "from integration_assets.sandbox.process import SandboxProcess;"
        "s = SandboxProcess(days=1).__enter__(); print(s._child.pid, flush=True); input()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert parent.stdin
    assert parent.stdout
    with parent.stdin, parent.stdout:
        server = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        ended, _, _ = select.select([server], [], [], 10)
    os.close(server)
    assert ended


def test_admin_is_closed_unless_opened() -> None:
    """Without --admin there is no /admin; SIGTERM ends the server."""
    command = [sys.executable, "-m", "integration_assets.sandbox", "--port", "0", "--days", "1", "--key", "other"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert server.stdout
    with server.stdout:
        url = server.stdout.readline().removeprefix("sandbox ready at ").strip()
        admin = httpx.get(f"{url}/admin/clock", trust_env=False)
        flights = httpx.get(f"{url}/v1/flights", headers={"Authorization": "Bearer other"}, trust_env=False)
        server.terminate()
        server.wait(10)
    assert (admin.status_code, flights.status_code) == (404, 200)


def test_the_clock_stands_runs_and_is_set(sandbox: SandboxProcess) -> None:
    """At speed 0 the clock stands; at a high speed it is later at every look; advancing moves it exactly."""
    assert sandbox.now() == sandbox.now()
    sandbox.set_clock("2013-01-02T00:00:00Z", speed=3600)
    first, second = sandbox.now(), sandbox.now()
    assert "2013-01-02T00:00:00Z" < first < second
    sandbox.set_clock("2013-01-02T00:00:00Z")
    assert sandbox.advance(90) == "2013-01-02T00:01:30Z"


def test_missing_data_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the data set the error says which extra to install."""

    def nothing(_: str) -> None:
        return None

    monkeypatch.setattr("integration_assets.sandbox.data.find_spec", nothing)
    with pytest.raises(MissingDataError, match=r"integration-assets\[sandbox\]"):
        data_folder()


def test_a_flight_has_the_same_life_whatever_is_loaded() -> None:
    """Loading fewer days changes no record of the days that are kept."""
    clock = int(parse("2013-01-02T12:00:00Z"))

    def lives(days: int) -> dict[str, Any]:
        stream = FlightStream(load(days), Tokens(b"key", 1))
        lines = b"".join(stream.truth(clock, deleted=True)).splitlines()
        return {line.split(b'"', 4)[3].decode(): line for line in lines}

    few, more = lives(2), lives(5)
    assert few.items() <= more.items()
    assert len(few) > 1500


def test_every_arrival_agrees_with_its_delay() -> None:
    """Instants worked out from local times agree with the delays, which the data give apart, over the whole year."""
    flights = FlightStream(load(), Tokens(b"key", 1)).flights
    known = (flights.arrived_at >= 0) & (flights.air_time > 0)
    late = (flights.arrived_at - flights.scheduled_arrival) // 60
    assert (late[known] == flights.arrival_delay[known]).all()
    assert (flights.arrived_at - flights.departed_at)[known].min() > 15 * 60
    assert known.sum() == 327_346
    assert len(flights.ids) == len(set(flights.ids)) == 336_776

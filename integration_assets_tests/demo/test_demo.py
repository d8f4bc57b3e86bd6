"""`make demo` and `make dev` do what they say."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "integration_assets.demo"]


def environ(folder: Path) -> dict[str, str]:
    """An environment in which everything the demo makes lands in `folder`."""
    return {
        **os.environ,
        "COLUMNS": "80",
        "DAGSTER_HOME": str(folder / "dagster"),
        "INTEGRATION_LAKE_URI": str(folder / "lake"),
        "INTEGRATION_WAREHOUSE_URI": str(folder / "warehouse.duckdb"),
    }


def account(report: str, title: str, stream: str) -> tuple[str, dict[str, int]]:
    """What one of the report's tables says of a stream: the outcome, and each count by name."""
    lines = [line.strip("│ ") for line in report[report.index(title) :].splitlines() if line.startswith("│")]
    begin = next(number for number, line in enumerate(lines) if line.startswith(f"nyc_ops.{stream}: "))
    cell = " ".join(lines[begin : begin + 3])
    outcome, _, rest = cell.partition(": ")[2].partition(", ")
    counts = re.findall(r"([\d,]+) (slice|page|request|accepted|rejected|duplicate|filtered)", rest)
    return outcome, {name: int(number.replace(",", "")) for number, name in counts}


def answer_of(url: str) -> bytes:
    """What the server answers, once it listens: it says that it serves a moment before it does."""
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 - loopback
                return bytes(answer.read())
        except urllib.error.URLError:
            time.sleep(0.2)
    pytest.fail(f"{url} did not answer")


def test_the_demo_loads_a_month_and_a_day_and_then_only_what_is_new(tmp_path: Path) -> None:
    """The first run loads January and a day; the second pulls nothing twice, says so, and goes on by one more day."""
    reports = []
    for _ in range(2):
        done = subprocess.run(  # noqa: S603 - our own module
            COMMAND, cwd=ROOT, env=environ(tmp_path), capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        reports.append(done.stdout)
    first, second = reports
    outcome, loaded = account(first, "First load", "flights")
    assert (outcome, loaded["slice"]) == ("committed", 33)
    assert loaded["accepted"] > 25_000
    assert account(first, "Delta", "flights")[0] == "committed"
    assert "only what is new is pulled" in second
    outcome, nothing = account(second, "Again", "flights")
    assert (outcome, sum(nothing.values())) == ("up to date", 0)
    assert account(second, "Again", "planes")[0] == "unchanged"
    assert account(second, "Delta", "flights")[1]["slice"] == 1
    assert "…" not in first + second
    assert str(tmp_path / "lake" / "nyc_ops") in second
    assert re.search(r"EWR +│ +[\d,]+", second)


ASKED = [signal.SIGTERM, *([signal.SIGINT] if os.environ.get("INTEGRATION_SOAK") else [])]


@pytest.mark.parametrize("asked", ASKED, ids=lambda number: number.name)
def test_dev_serves_until_it_is_told_to_stop(tmp_path: Path, asked: signal.Signals) -> None:
    """The webserver answers beside the sandbox, and one interrupt, or one request to end, ends all of it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(  # noqa: S603 - our own module
        [*COMMAND, "--serve", "--port", str(port)],
        cwd=ROOT,
        env=environ(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        seen = []
        for line in process.stdout:
            seen.append(line)
            if "Serving dagster-webserver" in line:
                break
        else:
            pytest.fail("".join(seen))
        assert b"dagster_version" in answer_of(f"http://127.0.0.1:{port}/server_info")
        process.send_signal(asked)
        process.communicate(timeout=60)
        assert process.returncode == 0
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

"""The sensors over real processes: Dagster's daemon ticks them in a code server, and launches what they ask for."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import pytest

from integration_assets_tests.alert.receiving import posts
from integration_assets_tests.extract.serving import serve
from integration_assets_tests.orchestrate.daemon import LOCATION, Daemon, daemon
from integration_assets_tests.orchestrate.sensors.test_changes import Live

# Dagster's own code calls what it and Python deprecate.
pytestmark = [
    # The browser tests see a change become a run, and the sensors' own tests the rest: this one is long.
    pytest.mark.skipif(not os.environ.get("INTEGRATION_SOAK"), reason="long; set INTEGRATION_SOAK"),
    pytest.mark.filterwarnings("ignore:Function `AssetSelection.sources`:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning"),
]
SENSORS = ("live_changes", "partner_files", "alerts")


def start(live: Daemon) -> None:
    """What someone does in the UI: switch the sensors on."""
    repository = live.workspace.create_request_context().get_code_location(LOCATION).get_repository("__repository__")
    for name in SENSORS:
        live.instance.start_sensor(repository.get_sensor(name))


def ended(live: Daemon, sensor: str) -> list[dg.DagsterRunStatus]:
    """How the runs of a sensor ended; none while one is under way."""
    runs = live.instance.get_runs(dg.RunsFilter(tags={"dagster/sensor_name": sensor}))
    return [run.status for run in runs] if all(run.is_finished for run in runs) else []


def test_a_change_and_a_file_are_pulled_and_a_failure_is_told(tmp_path: Path) -> None:
    """One run for what changed upstream, one for a file that is none, which fails: of that one and no other people hear, once."""
    (tmp_path / "drop" / "in").mkdir(parents=True)
    api = Live()
    api.add(1)
    with serve(api.answer) as server, posts() as hook:
        environ = {
            "LIVE_URL": server.url,
            "LIVE_FOLDER": str(tmp_path),
            "INTEGRATION_LIMITS_URI": str(tmp_path / "limits"),
            "INTEGRATION_ALERT_WEBHOOK_URL": hook.url,
            "INTEGRATION_ALERT_WEBHOOK_KEY": "shared",
        }
        with daemon(tmp_path, "integration_assets_tests.orchestrate.sensors.live", environ) as live:
            start(live)
            live.turn(sensors=True)
            (tmp_path / "drop" / "in" / "a.csv").write_text("<html>Sign in</html>")
            live.until(lambda: bool(hook.messages), sensors=True)
            live.until(lambda: bool(ended(live, "live_changes")), sensors=True)
            assert ended(live, "live_changes") == [dg.DagsterRunStatus.SUCCESS]
            assert ended(live, "partner_files") == [dg.DagsterRunStatus.FAILURE]
            assert len(live.events(dg.AssetKey(["live", "orders"]))) == 1
    (message,) = hook.messages
    assert message["title"] == "partner.settlements: failed"
    assert message["streams"][0]["error"] == "ResponseError"

"""`integration limits`: what all runs share of an API, for whoever asks why nothing is pulled."""

from __future__ import annotations

from pathlib import Path

from integration_assets.extract.limits import open_store, rules
from integration_assets.spec import Limits
from integration_assets_tests.cli.conftest import Integration
from integration_assets_tests.flow.world import World


def test_limits_show_what_runs_cost_and_why_none_asks(integration: Integration, world: World, tmp_path: Path) -> None:
    """Nothing before the first run; after it its requests; after an outage that the breaker is open, why and until when."""
    shared = {"INTEGRATION_LIMITS_URI": str(tmp_path / "limits")}
    assert "No run has asked" in integration("limits", **shared).out
    assert not (tmp_path / "limits").exists()
    assert integration("sync", "nyc_ops.weather", **shared).status == 0
    done = integration("limits", "nyc_ops", **shared)
    assert done.status == 0, done.err
    assert "nyc_ops: breaker closed" in done.out
    assert world.upstream.url in done.out
    assert "0 failed, 0 retried" in done.out
    with open_store(shared["INTEGRATION_LIMITS_URI"]) as store:
        ((account, _, _),) = store.all()
        for _ in range(30):  # of other runs
            store.update(account, lambda state, now: rules.failed(state, now, Limits(), "other", "GET /v1 answered 503"))
    ended = integration("sync", "nyc_ops.weather", **shared)
    assert ended.status == 75
    assert "BreakerOpenError" in ended.err
    assert "is tried again in" in " ".join(ended.err.split())
    done = integration("limits", "nyc_ops", **shared)
    assert "nyc_ops: breaker open" in done.out
    assert "answered 503" in " ".join(done.out.split())
    assert "…" not in done.out


def test_limits_show_no_password(integration: Integration) -> None:
    """A database that does not answer is named without its password, and the exit status says to try later."""
    done = integration("limits", INTEGRATION_LIMITS_URI="postgresql://me:s3cr3t-word@127.0.0.1:9/limits")
    assert done.status == 75
    assert "postgresql://127.0.0.1/limits" in done.out
    assert "INTEGRATION_LIMITS_URI" in done.err
    assert "s3cr3t" not in done.out + done.err

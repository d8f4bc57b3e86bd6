"""`integration quarantine` from a bad record to an empty quarantine, as someone would type it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from integration_assets_tests.cli.conftest import Integration
from integration_assets_tests.flow.world import World

NAME = "nyc_ops.flights"


def test_a_bad_record_is_found_mended_and_settled(integration: Integration, world: World, tmp_path: Path) -> None:
    """List, show, a replay in vain, an edit, a discard with a reason, a refetch; each says what is still open."""
    world.upstream.faults([{"path": "/v1/flights", "kind": "bad_rows", "share": 0.01, "field": "status", "value": "lost"}])
    integration("sync", NAME, "--partition", "2013-01-01")
    done = integration("quarantine", "list", NAME, "--reason", "status")
    assert done.status == 0, done.err
    assert "partition 2013-01-01" in done.out
    first, second = re.findall(r"^│ ([0-9a-f]{12}): open", done.out, re.MULTILINE)[:2]

    done = integration("quarantine", "show", NAME, first, "--api")
    assert done.status == 0, done.err
    assert "warehouse: not there: no row has its key" in done.out
    assert "API today: " in done.out

    done = integration("quarantine", "replay", NAME)
    assert (done.status, "--all" in done.err) == (2, True)
    done = integration("quarantine", "replay", NAME, first)
    assert (done.status, "1 rejected" in done.out) == (1, True)

    record = json.loads(integration("quarantine", "show", NAME, first, "--raw").out)
    file = tmp_path / "record.json"
    file.write_text(json.dumps({**record, "status": "scheduled"}))
    done = integration("quarantine", "edit", NAME, first, "--file", str(file), "--because", "the airline says so", "--by", "ada")
    assert done.status == 0, done.err + done.out
    assert f"{NAME} in the warehouse" in done.out
    done = integration("quarantine", "show", NAME, first)
    assert "ada" in done.out
    assert re.search(r"status\W+lost\W+scheduled", done.out)

    done = integration("quarantine", "discard", NAME, second, "--because", "a test flight")
    assert (done.status, "1 discarded" in done.out) == (0, True)

    world.upstream.clear_faults()
    done = integration("quarantine", "refetch", NAME, "--all")
    assert done.status == 0, done.err + done.out
    assert "0 open in quarantine" in done.out
    assert "1 edited, 1 discarded" in integration("quarantine", "list", NAME, "--all").out

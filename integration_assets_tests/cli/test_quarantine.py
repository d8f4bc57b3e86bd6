"""The page about quarantine, typed line by line over a stream with bad records."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from integration_assets_tests.cli.conftest import Integration
from integration_assets_tests.docs.blocks import ROOT, blocks
from integration_assets_tests.flow.world import World

NAME = "nyc_ops.flights"


def test_the_page_s_commands_mend_a_quarantine(
    integration: Integration, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad record is found, replayed in vain, edited; others are refetched; one is discarded; nothing is left open."""
    monkeypatch.chdir(tmp_path)
    world.upstream.faults([{"path": "/v1/flights", "kind": "bad_rows", "share": 0.01, "field": "status", "value": "lost"}])
    integration("sync", NAME, "--partition", "2013-01-01")
    record, other = re.findall(r"^│ ([0-9a-f]{12}): open", integration("quarantine", "list", NAME).out, re.MULTILINE)[:2]
    printed, status = dict[str, str](), dict[str, int]()
    lines = [line for block in blocks("bash", ROOT / "docs" / "quarantine.md") for line in block.text.splitlines()]
    for line in sorted(lines, key=lambda line: " refetch " in line):  # last, for it settles all that the others are about
        command, _, file = line.replace("$RECORD", record).replace("$OTHER", other).partition(" > ")
        verb = command.split()[2]
        if verb == "refetch":
            world.upstream.clear_faults()
        done = integration(*shlex.split(command)[1:])
        printed[verb], status[verb] = printed.get(verb, "") + done.out + done.err, done.status
        if file:
            Path(file).write_text(json.dumps({**json.loads(done.out), "status": "scheduled"}))
    assert status == {"list": 0, "show": 0, "replay": 1, "edit": 0, "discard": 0, "refetch": 0}, printed
    assert "warehouse: not there: no row has its key" in printed["show"]
    assert "Dry run: nothing was written" in printed["replay"]
    assert f"{NAME} in the warehouse" in printed["edit"]
    assert "0 open in quarantine" in printed["refetch"]
    done = integration("quarantine", "list", NAME, "--all")
    assert "1 edited, 1 discarded" in done.out
    assert "0 open of " in integration("status", NAME).out
    shown = integration("quarantine", "show", NAME, record, "--api").out
    assert re.search(r"status\W+lost\W+arrived", shown)  # the API's own word, pulled later than the edit
    assert "API today: the API gives it otherwise" in shown


def test_what_is_meant_has_to_be_said(integration: Integration, tmp_path: Path) -> None:
    """Neither all by accident, nor a stream left out, nor a file that is not there; nothing open is a sentence."""
    integration("sync", NAME, "--partition", "2013-01-01")
    done = integration("quarantine", "replay", NAME)
    assert (done.status, "--all" in done.err) == (2, True)
    done = integration("quarantine", "replay", NAME, "--all")
    assert (done.status, "no record is open" in done.out) == (0, True)
    done = integration("quarantine", "show", "nyc_ops", "abc")
    assert (done.status, NAME in done.err) == (2, True)
    done = integration("quarantine", "list", "nyc_ops")
    assert (done.status, f"{NAME}: 0 of 0" in done.out, "nyc_ops.weather: 0 of 0" in done.out) == (0, True, True)
    done = integration("quarantine", "edit", NAME, "abc", "--file", str(tmp_path / "none"), "--because", "why")
    assert (done.status, "cannot be read" in done.err) == (2, True)

"""Hostile and broken upstreams, through the whole flow: bounded, told clearly, and nothing lost, doubled or given away."""

from __future__ import annotations

import html
import json
import os
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from integration_assets_tests.chaos.answers import GOOD
from integration_assets_tests.chaos.campaign import Campaign, Outcome
from integration_assets_tests.chaos.case import IDS, SECRET, Case, Fails, Lands
from integration_assets_tests.chaos.cases import CASES, SAME_KIND

SOAK = bool(os.environ.get("INTEGRATION_SOAK"))
CHOSEN = [case for case in CASES.values() if SOAK or not (case.soak or case.name in SAME_KIND)]


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    """Run the chosen cases, several at once: most of them only wait."""
    chosen = {
        item.callspec.params["case"].name
        for item in request.session.items
        if isinstance(item, pytest.Function) and hasattr(item, "callspec") and isinstance(item.callspec.params.get("case"), Case)
    }
    cases = [case for case in CASES.values() if case.name in chosen]
    with Campaign(tmp_path_factory.mktemp("chaos")).running(cases) as running:
        yield running


@pytest.mark.parametrize("case", CHOSEN, ids=lambda case: case.name)
def test_whatever_comes_is_bounded_told_and_mended(campaign: Campaign, case: Case) -> None:
    """Each hostility ends in its own clear error or in rejects, in bounded time and memory, and the next run lands all."""
    outcome = campaign.outcome(case)
    assert "died" not in outcome.found, outcome.found["died"]
    hostile = outcome.found["hostile"]
    if isinstance(case.becomes, Fails):
        failed(hostile, case.becomes, len(outcome.heads))
    else:
        landed(hostile, case.becomes)
        if case.becomes.rejects or case.becomes.without:
            lands_all(outcome.found["well"])
    assert outcome.found["leaked"] == {}
    assert case.grows is None or outcome.found["grew"] < case.grows
    assert campaign.trap.heads == []
    tells_no_secret(outcome)


def test_what_failed_left_nothing_behind(campaign: Campaign) -> None:
    """After all that failed, one run against an upstream that is well lands exactly what it has, in one commit."""
    for outcome in campaign.afterwards(CASES["status 500"]):
        assert "died" not in outcome.found, outcome.found["died"]
        lands_all(outcome.found["well"])
        assert {int(number) for number in outcome.found["well"]["rows"]} == set(IDS)
        assert outcome.found["well"]["receipts"][0]["watermark_before"] in {None, 0}
        tells_no_secret(outcome)


def lands_all(found: dict[str, Any]) -> None:
    """A run against an upstream that is well has landed what that has."""
    assert found["error"] is None, found["traceback"]
    assert {int(number) for number in found["rows"]} >= set(IDS)


def failed(found: dict[str, Any], expected: Fails, requests: int) -> None:
    """The error is ours, names source and stream, says what is wrong and what to do; nothing was committed."""
    error = found["error"]
    assert error, f"landed: {found['receipts']}"
    assert error["ours"], found["traceback"]
    assert error["kind"] == expected.kind, error["text"]
    assert error["text"].startswith("chaos.items")
    assert error["remedy"]
    assert len(error["text"]) < 2000
    assert error["text"].isprintable()
    for word in expected.says:
        assert word in error["text"]
    assert requests <= expected.most
    assert not found["committed"]


def landed(found: dict[str, Any], expected: Lands) -> None:
    """The account adds up, the good records are there as they are, and so are the rejects with their reasons."""
    assert found["error"] is None, found["traceback"]
    (receipt,) = found["receipts"]
    counted = receipt["accepted"] + receipt["rejected"] + receipt["duplicate"] + receipt["filtered"]
    assert receipt["fetched"] == counted
    good = set(IDS) - set(expected.without)
    assert {int(number) for number in found["rows"]} == good | expected.more.keys()
    for record in GOOD:
        if record["id"] in good - expected.more.keys():
            row = found["rows"][str(record["id"])]
            assert (row["price"], row["note"]) == (record["price"], record["note"])
    for number, values in expected.more.items():
        row = found["rows"][str(number)]
        assert {name: row[name] for name in values} == dict(values)
    reasons = ["; ".join(reasons) for _, reasons in found["rejects"]]
    assert receipt["rejected"] == len(reasons) == len(expected.rejects), reasons
    for part in expected.rejects:
        assert any(part in reason for reason in reasons), (part, reasons)
    for word in expected.says:
        assert word in json.dumps(receipt, ensure_ascii=False)


def tells_no_secret(outcome: Outcome) -> None:
    """The credential is in no error, log, receipt, reject or file, however it is spelled."""
    in_json = json.dumps(SECRET)[1:-1]
    quoted = urllib.parse.quote(SECRET), urllib.parse.quote(SECRET, safe=""), urllib.parse.quote_plus(SECRET)
    spelled = {SECRET, in_json, json.dumps(in_json)[1:-1], *quoted, html.escape(SECRET), SECRET.replace('"', '""')}
    written = {"result": json.dumps(outcome.found, ensure_ascii=False)}
    for file in (file for file in outcome.folder.rglob("*") if file.is_file()):
        written[str(file)] = texts(file)
    for where, text in written.items():
        for form in spelled:
            assert form.lower() not in text.lower(), f"{form} in {where}"


def texts(file: Path) -> str:
    """What a file says, a compressed one too."""
    if file.suffix == ".parquet":
        return str(pq.read_table(file).to_pylist())
    return file.read_bytes().decode("latin-1")

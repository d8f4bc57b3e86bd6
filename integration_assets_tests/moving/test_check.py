"""In Dagster a list that moved turns its check yellow, and a clean reading turns it green again."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import dagster as dg

from integration_assets.orchestrate.describe import promise
from integration_assets.spec import Limits, Source
from integration_assets_tests.moving.upstream import FORMS, Form, Upstream, Version
from integration_assets_tests.orchestrate.conftest import make_bench

FORM = {form.name: form for form in FORMS}
LAKE = dg.AssetKey(["moving", "items"])


def upstream(form: Form) -> Upstream:
    """A dozen records, one a second, which all can be read."""
    up = Upstream(form, clock=100)
    up.records = {number: Version(number, number, "a") for number in range(12)}
    return up


def test_the_check_is_yellow_while_records_may_be_missing(tmp_path: Path) -> None:
    """A pull during which the list kept moving warns with the number of pages and what to do; the next one is green."""
    with upstream(FORM["page number"]).served() as up, dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        limits = Limits(attempts=2, wait_initial=0, max_connections=1)
        stream = up.stream().changed(partitions=None)
        source = Source(name="moving", base_url=up.url, streams=(stream,), limits=limits, clock_path="/clock")
        bench = make_bench(source, tmp_path, instance)
        up.waiting = [partial(Upstream.put, number=number // 2, value="b") for number in range(12)]

        run = bench.run(LAKE)
        assert run.success
        check = bench.checks(run)["nothing_skipped"]
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        pages = check.metadata["pages that moved"].value
        assert isinstance(pages, int)
        assert pages > 0
        assert f"The list moved at {pages} page" in str(check.description)
        assert "Pull it again when the API is quiet" in str(check.description)

        up.clock += 1
        assert bench.checks(bench.run(LAKE))["nothing_skipped"].passed


def test_only_lists_that_are_read_by_number_have_the_check(tmp_path: Path) -> None:
    """What cannot move has no check that cannot fail; every stream's endpoint says what its form promises."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        for form in (FORM[name] for name in ("single", "page number", "overlap", "token")):
            stream = Upstream(form).stream()
            source = Source(name="moving", base_url="http://127.0.0.1:1", streams=(stream,))
            bench = make_bench(source, tmp_path, instance)
            graph = bench.definitions.resolve_asset_graph()
            checks = {key.name for key in graph.asset_check_keys}
            assert ("nothing_skipped" in checks) == (stream.paging.kind in {"page_number", "offset"})
            assert promise(stream) in str(graph.get(dg.AssetKey(["api", "moving", "items"])).description)

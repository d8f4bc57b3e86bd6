"""The same with the lake in a bucket, over the wire to the strict emulator."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration_assets_tests.extract.serving import page
from integration_assets_tests.gcs.process import GcsEmulator
from integration_assets_tests.resume.upstream import Upstream, failure


def test_a_slice_is_gone_on_with_from_a_bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoint and files are in the bucket; another machine that knows no more than its address goes on after page 30."""
    with GcsEmulator(tmp_path / "gcs") as emulator, Upstream(40, tmp_path / "here").served() as upstream:
        for name, value in emulator.environ.items():
            monkeypatch.setenv(name, value)
        emulator.create_bucket("lake")
        cloud = {**emulator.environ, "INTEGRATION_LAKE_URI": "gs://lake/tables"}
        pull = upstream.job("token", environ=cloud)
        upstream.on_page = lambda at: page({}, status=503) if at == 30 else None
        assert "30 pages of the slice are kept" in str(failure(pull))
        assert pull.begun() == [30]

        upstream.on_page = lambda _: None
        upstream.folder = tmp_path / "there"
        elsewhere = upstream.job("token", environ=cloud)
        first = elsewhere.run()[0]
        assert (first.resumed_pages, first.pages, first.fetched) == (30, 40, 160)
        assert (elsewhere.rows(), elsewhere.landed(), elsewhere.begun()) == (upstream.truth(), 160, [])

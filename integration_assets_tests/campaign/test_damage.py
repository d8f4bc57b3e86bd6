"""Files that were cut short: whoever reads them says which one it is and what to do, and goes on once it is restored."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration_assets.errors import LakeError
from integration_assets_tests.flow.mini import Mini


@pytest.mark.parametrize("table", ["mini/items", "_quarantine/mini__items"])
@pytest.mark.parametrize(("pattern", "keep"), [("*.parquet", 0.5), ("*.parquet", 0.0), ("_delta_log/*.json", 0.5)])
def test_a_torn_file_is_named(table: str, pattern: str, keep: float, tmp_path: Path) -> None:
    """A data file or a log entry of lake or quarantine that lost its end ends the run with the table's name and a remedy."""
    with Mini(tmp_path).served() as mini:
        mini.records = [{"id": one, "seq": one, "value": one} for one in range(1, 8)] + [{"id": 9, "seq": 9, "value": -1}]
        mini.pull()
        torn = max((tmp_path / "lake" / table).glob(pattern))
        whole = torn.read_bytes()
        torn.write_bytes(whole[: int(len(whole) * keep)])
        with pytest.raises(LakeError, match=rf"{table}.*damaged") as caught:
            mini.pull()
        assert "backup" in (caught.value.remedy or "")
        assert "<unknown>" not in str(caught.value)
        torn.write_bytes(whole)
        mini.pull()
        assert mini.rows("id") == [(one,) for one in range(1, 8)]

"""What the API changed, said in sentences for the receipt, the check and whoever is paged."""

from __future__ import annotations

from integration_assets.spec.records import Drift


def sentences(drift: Drift) -> list[str]:
    """One sentence per drifted field, the most frequent first."""
    said = [
        f"new field {path} in {count:,} records: add it to the contract, or name it in the stream's ignore"
        for path, count in drift.new.most_common()
    ]
    said += [f"field {path} was absent from {count:,} records' pages" for path, count in drift.missing.most_common()]
    said += [f"retyped: {what}, in {count:,} records" for what, count in drift.retyped.most_common()]
    return said

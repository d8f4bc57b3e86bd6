"""What the API changed, said in sentences for the receipt, the check and whoever is paged."""

from __future__ import annotations

from integration_assets.spec.records import Drift

ENOUGH = 100
"""Records without a field before its absence is worth a sentence: a rare field is missing from a few by chance."""


def sentences(drift: Drift, fetched: int | None = None) -> list[str]:
    """One sentence per drifted field, the most frequent first.

    fetched : how many records the slice had. Absent and null are the same to a contract, so a missing field is told of only
              when no record of the slice had it; when None, when none of that many records' pages had it.
    """
    said = [
        f"new field {path} in {count:,} records: add it to the contract, or name it in the stream's ignore"
        for path, count in drift.new.most_common()
    ]
    said += [
        f"field {path} was absent from all records of pages with {count:,} records"
        if fetched is None
        else f"field {path} was absent from all {count:,} records of the slice"
        for path, count in drift.missing.most_common()
        if count >= ENOUGH and fetched in {None, count}
    ]
    said += [f"retyped: {what}, in {count:,} records" for what, count in drift.retyped.most_common()]
    return said

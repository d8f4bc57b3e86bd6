"""What is said of an API that changed."""

from __future__ import annotations

from collections import Counter

from integration_assets.spec.records import Drift
from integration_assets.validate.drift import sentences


def test_a_field_that_no_record_of_a_long_slice_had_is_told_of() -> None:
    """The sentence says of how many records it was absent."""
    assert sentences(Drift(missing=Counter(tail=1_200)), fetched=1_200) == [
        "field tail was absent from all 1,200 records of the slice"
    ]


def test_a_field_that_some_record_of_the_slice_had_is_not_missing() -> None:
    """Absent and null are the same: a page without a rare field is no news."""
    assert sentences(Drift(missing=Counter(tail=1_200)), fetched=1_300) == []


def test_a_short_slice_says_nothing_of_missing_fields() -> None:
    """Few records without a field prove nothing."""
    assert sentences(Drift(missing=Counter(tail=23)), fetched=23) == []
    assert sentences(Drift(missing=Counter(tail=23))) == []


def test_without_the_slice_s_size_only_the_pages_are_spoken_of() -> None:
    """What is not known is not claimed."""
    assert sentences(Drift(missing=Counter(tail=500))) == ["field tail was absent from all records of pages with 500 records"]

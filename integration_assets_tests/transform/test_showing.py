"""What people see of rows, records and reasons."""

from __future__ import annotations

import json
from typing import Any

import pytest

from integration_assets.spec import Csv, Json, Ndjson, Xml
from integration_assets.spec.contract import load_contract
from integration_assets.transform.masking import keyed_hash
from integration_assets.transform.showing import HIDDEN, Showing

HERE = "integration_assets_tests.transform.contracts"
KEY = b"a-key-of-the-tests-own"
PERSONAL = Showing(load_contract(f"{HERE}:Customer"), KEY)
PLAIN = Showing(load_contract(f"{HERE}:Plain"))
RECORD = {
    "id": 7,
    "contact": {"email": "ada@example.com", "phones": ["+44 1", "+44 2"], "fax": "+44 3"},
    "name": "Ada Lovelace",
    "passport": "X123456",
    "birthday": "1815-12-10",
    "address": {"city": "London", "street": "12 St James's Square"},
    "score": 3,
}


def shown(showing: Showing, record: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """A record as people see it."""
    return json.loads(showing.record(json.dumps(record).encode(), Json()))


def test_a_record_is_shown_as_the_contract_says() -> None:
    """Marked columns by their mark, unmarked ones whole, and what the contract does not know not at all."""
    assert shown(PERSONAL, RECORD) == {
        "id": 7,
        "contact": {"email": "a***m", "phones": [keyed_hash("+44 1", KEY)[:12], HIDDEN], "fax": HIDDEN},
        "name": HIDDEN,
        "passport": HIDDEN,
        "birthday": HIDDEN,
        "address": {"city": "London", "street": HIDDEN},
        "score": HIDDEN,
    }


def test_without_a_key_a_hash_is_hidden() -> None:
    """A name that could be guessed by trying is not made."""
    assert shown(Showing(PERSONAL.contract), RECORD)["contact"]["phones"] == [HIDDEN, HIDDEN]


def test_a_short_value_is_hidden_whole() -> None:
    """The first and last character of three would be nearly all of it."""
    assert shown(PERSONAL, {"contact": {"email": "a@b"}}) == {"contact": {"email": HIDDEN}}


def test_a_row_of_the_lake_is_shown_alike() -> None:
    """Samples hide what records hide; what is masked at rest is shown as it is stored."""
    stored = {"id": 7, "email": "ada@example.com", "phone": None, "name": "Ada Lovelace", "passport": "5e88", "city": "London"}
    assert PERSONAL.row(stored | {"_run_id": "run"}) == {
        "id": 7,
        "email": "a***m",
        "phone": None,
        "name": HIDDEN,
        "passport": "5e88",
        "city": "London",
        "_run_id": "run",
    }


@pytest.mark.parametrize("form", [Csv(), Xml(record="customer"), Ndjson()])
def test_a_record_that_cannot_be_taken_apart_is_not_shown(form: Any) -> None:  # noqa: ANN401 - any format
    """A line of CSV, an XML element or broken JSON is only counted where anything is marked, and shown where nothing is."""
    payload = b"7,ada@example.com,{"
    assert PERSONAL.record(payload, form) == "(19 bytes, not shown: what is in them cannot be told apart)"
    assert PLAIN.record(payload, form) == payload.decode()


def test_secrets_are_hidden_everywhere() -> None:
    """What has a secret's name, or the form of one, is hidden in every contract; what only sounds alike is not."""
    record = {
        "id": 1,
        "apiKey": "k-1",
        "user": {"pass_word": "p", "access-token": "t", "Authorization": "Basic x", "tokens_used": 5},
        "note": "use eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl please",
        "secretary": "Grace",
    }
    assert shown(PLAIN, record) == {
        "id": 1,
        "apiKey": HIDDEN,
        "user": {"pass_word": HIDDEN, "access-token": HIDDEN, "Authorization": HIDDEN, "tokens_used": 5},
        "note": f"use {HIDDEN} please",
        "secretary": "Grace",
    }
    assert PLAIN.record(b"1,password=hunter2", Csv()).startswith("(18 bytes, not shown")


def test_a_record_without_anything_to_hide_is_shown_byte_by_byte() -> None:
    """Spaces, order and the way numbers are written stay as the API sent them."""
    payload = b'{ "id": 1.10,  "note": "\\u00e9" }'
    assert PLAIN.record(payload, Json()) == payload.decode()


def test_reasons_keep_only_values_that_may_be_seen() -> None:
    """The value is cut off where its column is marked or unknown beside marked ones; why it was rejected stays."""
    assert PERSONAL.reason("email: must be str_contains('@'), got 'ada'") == "email: must be str_contains('@')"
    assert PERSONAL.reason("contact.phones[0]: expected string, got 441") == "contact.phones[0]: expected string"
    assert PERSONAL.reason("passport: expected string, got 5") == "passport: expected string"
    assert PERSONAL.reason("fax: expected string, got 443") == "fax: expected string"
    assert PERSONAL.reason("address.city: expected string, got 5") == "address.city: expected string, got 5"
    assert PLAIN.reason("note: expected string, got 5") == "note: expected string, got 5"
    assert PLAIN.reason("token: expected string, got 5") == "token: expected string"


def test_a_key_that_is_personal_is_hidden() -> None:
    """A record's name is shown unless a marked column is part of it."""
    assert (PERSONAL.name("7", ["id"]), PERSONAL.name("7|a@b.c", ["id", "email"]), PERSONAL.name(None, ["id"])) == (
        "7",
        HIDDEN,
        None,
    )

"""How a source declares its events, and what is refused before anything is received."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from integration_assets.errors import SecretMissingError, SpecError
from integration_assets.inbox.event import read
from integration_assets.settings import Settings
from integration_assets.spec import Bearer, Events, GitHub, Hmac, Kafka, Source, Stream, Stripe, Webhook
from integration_assets.spec.events import Places


def source(events: Events) -> Source:
    """A source with two streams."""
    streams = tuple(Stream(name=name, path="/", contract="a.b:C", key=("id",)) for name in ("orders", "customers"))
    return Source(name="shop", base_url="https://shop.example", auth=Bearer(secret="SHOP_KEY"), streams=streams, events=events)


def test_a_scheme_knows_where_its_events_have_id_type_and_time() -> None:
    """GitHub's and Stripe's events need no paths; what is given goes before what the scheme says."""
    github = Events(via=Webhook(signature=GitHub(secret="S")), streams={"push": "orders"}, time="head.at")
    assert github.places == Places("header:X-GitHub-Delivery", "header:X-GitHub-Event", "head.at", "iso8601")
    stripe = Events(via=Webhook(signature=Stripe(secret="S")), streams={"*": "orders"}, id="data.id")
    assert stripe.places == Places("data.id", "type", "created", "epoch_s")


def test_a_type_is_mapped_by_pattern() -> None:
    """Every pattern that matches counts, each stream once; no match is no stream."""
    events = Events(
        via=Webhook(signature=Stripe(secret="S")),
        streams={"order.*": "orders", "*.paid": ("orders", "customers"), "ping": "orders"},
    )
    assert events.streams_of("order.paid") == ("orders", "customers")
    assert events.streams_of("order.new") == ("orders",)
    assert events.streams_of("refund") == ()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"via": Webhook(signature=Hmac(secret="S", header="X-Sign")), "type": "type"}, "events.id"),
        ({"via": Webhook(signature=Hmac(secret="S", header="X-Sign")), "id": "id"}, "events.type"),
        ({"via": Kafka(brokers="b:1", topic="t"), "type": "type", "time_format": "epoch_s"}, "events.time"),
        ({"via": Kafka(brokers="b:1", topic="t"), "type": "two words"}, "type"),
        ({"via": Kafka(brokers="b:1", topic="t"), "type": "type", "streams": {}}, "streams"),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(settings: dict[str, Any], field: str) -> None:
    """Events without an id, a type that is mapped but nowhere to be found: each is an error that names the field."""
    with pytest.raises(SpecError) as error:
        Events(**{"streams": {"order.*": "orders"}, **settings})
    assert error.value.field == field


def test_events_of_a_stream_that_is_not_there_are_refused() -> None:
    """A mapping to no stream of the source is found when the source is described."""
    with pytest.raises(SpecError, match=r"shop \(events\.streams\): there is no stream 'invoices'"):
        source(Events(via=Webhook(signature=Stripe(secret="S")), streams={"*": "invoices"}))


def test_events_of_an_append_stream_without_a_key_are_refused() -> None:
    """What an event has pulled again would land twice there; with a key, or in a snapshot, it does not."""
    events = Events(via=Webhook(signature=Stripe(secret="S")), streams={"*": "orders"})
    orders, customers = source(events).streams
    with pytest.raises(SpecError, match=r"shop\.orders \(events\.streams\): .*doubles.*Name the stream's key"):
        source(events).changed(streams=(orders.changed(disposition="append", key=()), customers))
    for good in ({"disposition": "append"}, {"disposition": "replace", "key": ()}):
        assert source(events).changed(streams=(orders.changed(**good), customers)).events == events
    keyless = customers.changed(disposition="append", key=())
    assert source(events).changed(streams=(orders, keyless)).events == events


def test_a_secret_written_where_its_name_belongs_is_not_repeated() -> None:
    """The error about it does not show what may be the secret itself."""
    with pytest.raises(SpecError) as error:
        GitHub(secret="ghs-3f9a-very-secret")
    assert "3f9a" not in str(error.value)


def test_the_secrets_of_events_may_be_looked_up_and_no_others() -> None:
    """The source's key and the webhook's secrets are allowed names, whatever else the environment holds is not."""
    events = Events(via=Webhook(signature=GitHub(secret="SHOP_HOOK", previous_secret="SHOP_HOOK_OLD")), streams={"*": "orders"})
    look_up = Settings.from_environ({"SHOP_KEY": "a", "SHOP_HOOK": "b", "SHOP_HOOK_OLD": "c", "OTHER": "d"}).secrets_for(
        source(events)
    )
    assert [look_up(name) for name in ("SHOP_KEY", "SHOP_HOOK", "SHOP_HOOK_OLD")] == ["a", "b", "c"]
    with pytest.raises(SecretMissingError):
        look_up("OTHER")


@pytest.mark.parametrize("days", ["soon", "0", "-3"])
def test_a_wrong_number_of_days_is_named(days: str) -> None:
    """The setting that is wrong is in the error."""
    with pytest.raises(SpecError, match="INTEGRATION_INBOX_DAYS"):
        Settings.from_environ({"INTEGRATION_INBOX_DAYS": days})


@pytest.mark.parametrize(
    ("written", "year"),
    [
        ("9999-12-31T23:59:59Z", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("0001-01-01", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("1969-12-31T23:59:59Z", None),
        ("1970-01-01T00:00:00Z", 1970),
        ("2200-12-31T23:59:59Z", 2200),
        ("2201-01-01T00:00:00Z", None),
    ],
)
def test_a_time_that_stands_for_never_is_as_good_as_none(written: str, year: int | None) -> None:
    """What no calendar reckons with is an event without a time, and the event is kept."""
    events = Events(via=Kafka(brokers="b:1", topic="t"), streams={"*": "orders"}, id="id", type="t", time="at")
    body = json.dumps({"id": "a", "t": "x", "at": written}).encode()
    happened = read("shop", events, body, {}, datetime.now(UTC)).happened_at
    assert (happened.year if happened else None) == year

"""The same flow with the lake in a bucket and the warehouse in BigQuery, over the wire to the emulators."""

import os

import pytest

from integration_assets.errors import LakeError, SpecError
from integration_assets.land.warehouse import Target
from integration_assets.settings import Settings
from integration_assets.spec.contract import check_stream
from integration_assets.stores import Stores
from integration_assets_tests.bigquery.process import PROJECT, BigQueryEmulator
from integration_assets_tests.flow.conftest import EARLY
from integration_assets_tests.flow.world import World
from integration_assets_tests.gcs.process import GcsEmulator


@pytest.fixture
def cloud(
    world: World, gcs_for_bigquery: GcsEmulator, bigquery_emulator: BigQueryEmulator, monkeypatch: pytest.MonkeyPatch
) -> World:
    """The world with everything on Google's side of the wire."""
    environ = gcs_for_bigquery.environ | bigquery_emulator.environ
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    bucket = f"flow-{world.folder.name.replace('_', '-').rstrip('-')}"[:60].lower()
    gcs_for_bigquery.create_bucket(bucket, "US")
    world.upstream.set_clock(EARLY)
    prefix = bucket.replace("-", "_") + "_"
    addresses = {
        "INTEGRATION_LAKE_URI": f"gs://{bucket}/lake",
        "INTEGRATION_WAREHOUSE_URI": f"bigquery://{PROJECT}?location=US&prefix={prefix}",
        "prefix": prefix,
    }
    return World(world.upstream, world.folder, environ | addresses)


# One stream each that merges, appends and replaces; the other two, which replace as well, in long campaigns.
STREAMS = ["flights", "weather", "airports", *(["airlines", "planes"] if os.environ.get("INTEGRATION_SOAK") else [])]


@pytest.mark.parametrize("stream", STREAMS)
def test_bigquery_equals_the_truth(cloud: World, stream: str) -> None:
    """Full load, a day's delta with withdrawals, and a repeat end in the upstream's own truth, value by value."""
    cloud.pull(stream)
    cloud.upstream.advance(20 * 3600)
    cloud.pull(stream)
    cloud.pull(stream)
    assert cloud.rows(stream) == cloud.truth(stream)
    assert stream != "flights" or len(cloud.upstream.truth(stream, deleted=True)) > len(cloud.truth(stream))


def test_a_bucket_in_another_place_costs_no_request(cloud: World, gcs_for_bigquery: GcsEmulator) -> None:
    """A bucket that the datasets' location cannot load from is named, with both places, before the API is asked anything."""
    gcs_for_bigquery.create_bucket("far-away", "asia-east1")
    wrong = {
        "INTEGRATION_LAKE_URI": "gs://far-away/lake",
        "INTEGRATION_WAREHOUSE_URI": f"bigquery://{PROJECT}?location=EU",
    }
    with pytest.raises(LakeError, match=r"ASIA-EAST1.*EU"), cloud.feed("airlines", **wrong):
        pass
    assert cloud.upstream.requests() == {}


@pytest.mark.parametrize(
    ("warehouse", "lake", "says"),
    [
        ("bigquery://project", "gs://bucket/lake", "lacks project or location"),
        ("bigquery://project?location=EU&speed=9", "gs://bucket/lake", "unknown option speed"),
        ("bigquery://project?location=EU&maximum_bytes_billed=lots", "gs://bucket/lake", "no number of bytes"),
        ("bigquery://project?location=EU", "data/lake", "cannot read the lake at data/lake"),
    ],
)
def test_a_wrong_address_is_said_before_any_work(warehouse: str, lake: str, says: str) -> None:
    """What is wrong with the address of the warehouse, or of the lake for it, is a sentence with a remedy."""
    settings = Settings.from_environ({"INTEGRATION_WAREHOUSE_URI": warehouse, "INTEGRATION_LAKE_URI": lake})
    with pytest.raises(SpecError, match=says) as caught:
        Stores.from_settings(settings)
    assert caught.value.remedy


def test_a_stream_says_what_its_table_is_partitioned_by_and_what_a_merge_may_cost(world: World) -> None:
    """Both reach the warehouse; a partition column that is none, or is no date, is refused before any request."""
    flights = world.source.stream("flights")
    chosen = flights.changed(partition_by="created_at", maximum_bytes_billed=10**9)
    aim = Target.of(world.source, chosen, check_stream(world.source, chosen))
    assert (aim.partition_by, aim.maximum_bytes_billed) == ("created_at", 10**9)
    for name, says in (("nowhere", "no column"), ("status", "has the type string")):
        with pytest.raises(SpecError, match=says) as caught:
            check_stream(world.source, flights.changed(partition_by=name))
        assert caught.value.field == "partition_by"
        assert caught.value.remedy

"""New York's flight operations of 2013: the sandbox's API, described as any other source is.

One of each kind on purpose: JSON with a page token and tombstones by daily partition, CSV by Link header, XML by offset,
and full snapshots with an ETag.
"""

from datetime import UTC, date, datetime, timedelta

from integration_assets.spec import (
    Bearer,
    Csv,
    Cursor,
    Limits,
    NextLink,
    Offset,
    Partitions,
    Source,
    Stream,
    Token,
    Tombstone,
    ValueProbe,
    Xml,
)

SOURCE = Source(
    name="nyc_ops",
    base_url="http://127.0.0.1:8013",
    description="Flight operations of New York's three airports in 2013, with weather, airports, airlines and planes.",
    docs_url="http://127.0.0.1:8013/openapi.json",
    auth=Bearer(secret="NYC_OPS_KEY"),
    clock_path="/healthz",  # the sandbox's clock is not ours: its "now" moves through 2013
    limits=Limits(wait_initial=0.2, retry_timeout=120),
    schedule="15 2 * * *",
    timezone="America/New_York",
    owners=("team:flight-data",),
    streams=(
        Stream(
            name="flights",
            path="/v1/flights",
            contract=f"{__name__}.contracts:Flight",
            key=("id",),
            paging=Token(path="meta.next_cursor", param="cursor", size_param="limit", size=2000),
            cursor=Cursor(
                field="updated_at",
                start_param="updated_since",
                end_param="updated_before",
                lookback=timedelta(minutes=15),
                step=timedelta(days=1),
            ),
            partitions=Partitions(every="day", start=date(2012, 12, 30), end=date(2014, 1, 5)),
            tombstone=Tombstone(path="withdrawn"),
            description="The current state of every flight: scheduled, departed, arrived or cancelled.",
        ),
        Stream(
            name="weather",
            path="/v1/weather",
            contract=f"{__name__}.contracts:Weather",
            key=("id",),
            format=Csv(),
            paging=NextLink(size_param="per_page", size=2000),
            cursor=Cursor(
                field="observed_at",
                start=datetime(2013, 1, 1, tzinfo=UTC),
                start_param="observed_since",
                end_param="observed_before",
                lookback=timedelta(hours=3),
            ),
            disposition="append",
            probe=ValueProbe(params={"per_page": 1}, header="X-Total-Count", every=30),
            description="Hourly weather at the three airports.",
        ),
        Stream(
            name="airports",
            path="/v1/airports",
            contract=f"{__name__}.contracts:Airport",
            key=("faa",),
            format=Xml(record="airport"),
            paging=Offset(limit=500),
            disposition="replace",
            description="Airports that flights from New York go to, and the three they leave from.",
        ),
        Stream(
            name="airlines",
            path="/v1/airlines",
            contract=f"{__name__}.contracts:Airline",
            key=("code",),
            disposition="replace",
            conditional=True,
            description="Airlines by their two-letter code.",
        ),
        Stream(
            name="planes",
            path="/v1/planes",
            contract=f"{__name__}.contracts:Plane",
            key=("tail_number",),
            disposition="replace",
            conditional=True,
            description="Aircraft by tail number.",
        ),
    ),
)

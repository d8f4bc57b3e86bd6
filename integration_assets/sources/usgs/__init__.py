"""The earthquake catalogue of the United States Geological Survey: public, no key, GeoJSON over the FDSN event service."""

from datetime import UTC, datetime, timedelta

from integration_assets.spec import Cursor, Json, Limits, Offset, Source, Stream, Tombstone

SOURCE = Source(
    name="usgs",
    base_url="https://earthquake.usgs.gov/fdsnws/event/1",
    description="Earthquakes worldwide, as located, revised and sometimes withdrawn by the contributing seismic networks.",
    docs_url="https://earthquake.usgs.gov/fdsnws/event/1/",
    clock_path="/version",
    # A free service that everyone shares, and whose deep offsets take it long to answer.
    limits=Limits(max_connections=2, read_timeout=120, wait_initial=2),
    schedule="40 3 * * *",
    owners=("team:data-platform",),
    streams=(
        Stream(
            name="earthquakes",
            path="/query",
            contract=f"{__name__}.contracts:Earthquake",
            key=("id",),
            format=Json(records="features"),
            # The most the service gives at once (some 18 MB): the fewer the pages, the fewer the seams at which an event
            # that moves in the order while it is read could slip through.
            paging=Offset(limit=20_000, first=1),
            cursor=Cursor(
                field="updated_at",
                start=datetime(2025, 1, 1, tzinfo=UTC),
                # There is no updatedbefore: a slice is read to the API's now and cut here. So no partitions and no steps,
                # each of which would read all that follows it again.
                start_param="updatedafter",
                # Contributions are indexed in parallel, and an answer may be a minute old from a cache: an event can show
                # up with a time of update that has passed already.
                safety_lag=timedelta(minutes=10),
                # A revision can move an event in the order while it is read: what slipped through a seam is met again the
                # next night. A day is some thousand events, still one page.
                lookback=timedelta(days=1),
            ),
            tombstone=Tombstone(path="properties.status", value="deleted"),
            params={
                "format": "geojson",
                "orderby": "time-asc",  # what is new comes last and shifts no page that was read
                "starttime": "1900-01-01",  # without it, only quakes of the last 30 days, and revisions of older ones are lost
                "includedeleted": "true",
                # No minmagnitude: an event revised below it would not be sent again, and its old magnitude would stay here.
            },
            ignore=(
                *("type", "geometry.type", "properties.tz", "properties.detail"),
                *("properties.title", "properties.code", "properties.sources", "properties.types"),
            ),
            description="One row an earthquake (or blast, or other event), as its contributors describe it now.",
        ),
    ),
)

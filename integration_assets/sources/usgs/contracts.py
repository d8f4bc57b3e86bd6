"""What the earthquake catalogue promises, as a pandera model. Terms: https://earthquake.usgs.gov/data/comcat/index.php."""

import pandera.pandas as pandera

from integration_assets.spec.contract import Float64, Int64, String, Timestamp, column

_ALERTS, _STATUSES = ["green", "yellow", "orange", "red"], ["automatic", "reviewed", "deleted"]


class Earthquake(pandera.DataFrameModel):
    """An event in the catalogue. A new version whenever a network adds to it or revises it."""

    id: String = column(nullable=False, str_length={"min_value": 3}, description="Preferred network's code and event number.")
    magnitude: Float64 = column("properties.mag", ge=-3, le=10, description="Magnitude on the scale that magnitude_type names.")
    magnitude_type: String = column("properties.magType", description="How the magnitude was computed: ml, md, mb, mww, …")
    place: String = column("properties.place", description="Distance and direction to a named place, for people.")
    occurred_at: Timestamp = column("properties.time", format="epoch_ms", nullable=False, description="When the rupture began.")
    updated_at: Timestamp = column(
        "properties.updated", format="epoch_ms", nullable=False, description="When this version was made; orders versions."
    )
    longitude: Float64 = column("geometry.coordinates[0]", nullable=False, ge=-180, le=180, description="Degrees east.")
    latitude: Float64 = column("geometry.coordinates[1]", nullable=False, ge=-90, le=90, description="Degrees north.")
    depth_km: Float64 = column(
        "geometry.coordinates[2]", ge=-100, le=1000, description="Kilometres below sea level; negative above it."
    )
    event_type: String = column("properties.type", description="earthquake, quarry blast, explosion, ice quake, …")
    status: String = column("properties.status", nullable=False, isin=_STATUSES, description="Whether a person has reviewed it.")
    alert: String = column("properties.alert", isin=_ALERTS, description="PAGER's estimate of the impact; null when none.")
    tsunami: Int64 = column("properties.tsunami", isin=[0, 1], description="1 when a tsunami centre may have a message on it.")
    significance: Int64 = column("properties.sig", ge=0, description="0 upwards, from magnitude, reports and impact.")
    felt: Int64 = column("properties.felt", ge=0, description="Number of people who reported that they felt it.")
    cdi: Float64 = column("properties.cdi", ge=0, le=12, description="Greatest reported intensity, on the Mercalli scale.")
    mmi: Float64 = column("properties.mmi", ge=0, le=12, description="Greatest computed intensity, on the Mercalli scale.")
    network: String = column("properties.net", description="Code of the preferred network.")
    ids: String = column(
        "properties.ids", description="All ids, `,a,b,`: when another network becomes the preferred one, id changes."
    )
    stations: Int64 = column("properties.nst", ge=0, description="Number of stations that the location rests on.")
    nearest_station_deg: Float64 = column("properties.dmin", ge=0, description="Distance to the nearest of them, degrees.")
    residual_s: Float64 = column("properties.rms", ge=0, description="Root mean square of the travel time residuals, seconds.")
    gap_deg: Float64 = column(
        "properties.gap", ge=0, le=360, description="Largest angle between stations that has none, degrees."
    )
    url: String = column("properties.url", description="The event's page.")

"""What the flight operations API promises, as pandera models."""

from typing import Annotated

import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa

from integration_assets.spec.contract import Float64, Int64, String, Timestamp, column

Aircraft = Annotated[
    pd.ArrowDtype,
    pa.struct([("tail_number", pa.string()), ("manufacturer", pa.string()), ("model", pa.string()), ("seats", pa.int64())]),
]


class Flight(pandera.DataFrameModel):
    """A flight that left, or was to leave, one of New York's airports. A new version at every change of state."""

    id: String = column(nullable=False, str_length={"min_value": 1}, description="The flight's stable name.")
    status: String = column(
        nullable=False, isin=["scheduled", "departed", "arrived", "cancelled"], description="How far the flight is."
    )
    flight_number: Int64 = column(nullable=False, ge=1, description="The airline's flight number.")
    carrier: String = column("carrier.code", nullable=False, description="The airline's two-letter code.")
    carrier_name: String = column("carrier.name", description="The airline's name.")
    aircraft: Aircraft = column(description="The aircraft, as far as it is known.")
    origin: String = column("origin.faa", nullable=False, isin=["EWR", "JFK", "LGA"], description="Airport it leaves from.")
    origin_name: String = column("origin.name", description="That airport's name.")
    destination: String = column("destination.faa", nullable=False, description="Airport it goes to.")
    destination_name: String = column("destination.name", description="That airport's name, where it is known.")
    distance_mi: Int64 = column(nullable=False, gt=0, description="Distance between the airports, miles.")
    scheduled_departure: Timestamp = column(nullable=False, description="When it was to leave.")
    scheduled_arrival: Timestamp = column(nullable=False, description="When it was to arrive.")
    departed_at: Timestamp = column(description="When it left; null until then and for cancelled flights.")
    arrived_at: Timestamp = column(description="When it arrived; null until then.")
    departure_delay_min: Int64 = column(ge=-120, le=3000, description="Minutes late at departure, negative when early.")
    arrival_delay_min: Int64 = column(ge=-180, le=3000, description="Minutes late at arrival, negative when early.")
    air_time_min: Int64 = column(gt=0, description="Minutes in the air.")
    created_at: Timestamp = column(nullable=False, description="When the record was made.")
    updated_at: Timestamp = column(nullable=False, description="When this version was made; orders versions.")


class Weather(pandera.DataFrameModel):
    """One hour's weather at one airport."""

    id: String = column(nullable=False, description="Airport and hour.")
    origin: String = column(nullable=False, isin=["EWR", "JFK", "LGA"], description="The airport.")
    observed_at: Timestamp = column(nullable=False, description="The hour of the observation.")
    temp_f: Float64 = column(ge=-60, le=140, description="Temperature, degrees Fahrenheit.")
    dewpoint_f: Float64 = column(ge=-80, le=120, description="Dew point, degrees Fahrenheit.")
    humidity_pct: Float64 = column(ge=0, le=100, description="Relative humidity, per cent.")
    wind_dir_deg: Float64 = column(ge=0, le=360, description="Where the wind comes from, degrees.")
    wind_speed_mph: Float64 = column(ge=0, description="Wind speed, miles an hour.")
    wind_gust_mph: Float64 = column(ge=0, description="Gusts, miles an hour.")
    precip_in: Float64 = column(ge=0, description="Precipitation, inches.")
    pressure_mb: Float64 = column(ge=850, le=1100, description="Sea level pressure, millibars.")
    visibility_mi: Float64 = column(ge=0, description="Visibility, miles.")


class Airport(pandera.DataFrameModel):
    """An airport."""

    faa: String = column(nullable=False, str_length={"min_value": 3, "max_value": 4}, description="The FAA's code.")
    name: String = column(nullable=False, description="Its name.")
    lat: Float64 = column(nullable=False, ge=-90, le=90, description="Latitude, degrees.")
    lon: Float64 = column(nullable=False, ge=-180, le=180, description="Longitude, degrees.")
    altitude_ft: Int64 = column(nullable=False, description="Altitude, feet.")
    utc_offset_h: Int64 = column(nullable=False, ge=-12, le=14, description="Hours from UTC in winter.")
    dst: String = column(isin=["A", "U", "N"], description="Daylight saving: A as in the US, N none, U unknown.")
    timezone: String = column(description="IANA time zone, where it is known.")


class Airline(pandera.DataFrameModel):
    """An airline."""

    code: String = column(nullable=False, str_length={"min_value": 2, "max_value": 2}, description="Its two-letter code.")
    name: String = column(nullable=False, description="Its name.")


class Plane(pandera.DataFrameModel):
    """An aircraft registered with the FAA."""

    tail_number: String = column(nullable=False, description="Its registration.")
    year: Int64 = column(ge=1900, le=2014, description="Year of manufacture, where it is known.")
    type: String = column(nullable=False, description="Kind of aircraft.")
    manufacturer: String = column(nullable=False, description="Who made it.")
    model: String = column(nullable=False, description="Model.")
    engines: Int64 = column(nullable=False, ge=1, le=8, description="Number of engines.")
    seats: Int64 = column(nullable=False, ge=1, description="Number of seats.")
    cruise_speed_mph: Int64 = column(ge=0, description="Cruising speed, miles an hour, where it is known.")
    engine: String = column(nullable=False, description="Kind of engine.")

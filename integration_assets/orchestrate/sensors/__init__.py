"""What starts a run when nobody clicks and no clock strikes, and what tells people how a run went. All stopped by default.

One file a sensor. A sensor loads without network, bucket and secret; all of them are used only in its ticks.
"""

from __future__ import annotations

import dagster as dg

from integration_assets.orchestrate.sensors.alerts import alerts_sensor
from integration_assets.orchestrate.sensors.changes import changes_sensor
from integration_assets.orchestrate.sensors.files import files_sensor
from integration_assets.orchestrate.sensors.inbox import inbox_sensor
from integration_assets.orchestrate.tenants import tenants_sensors
from integration_assets.spec.source import Source

__all__ = ["alerts_sensor", "source_sensors"]


def source_sensors(source: Source) -> list[dg.SensorDefinition]:
    """The sensors that a source's description asks for."""
    found = [sensor for sensor in (changes_sensor(source), files_sensor(source), inbox_sensor(source)) if sensor is not None]
    return [*found, *tenants_sensors(source)]

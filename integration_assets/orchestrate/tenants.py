"""Listed tenants as Dagster's dynamic partitions: they are added when the API names them, and never taken away unasked."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from integration_assets.errors import IntegrationError
from integration_assets.orchestrate.automation import runs_by_itself
from integration_assets.orchestrate.partitions import set_name
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.specs import lake_key
from integration_assets.spec.source import Source
from integration_assets.spec.tenants import Listing, enumerated

EVERY = 3600
"""Seconds between two looks at a listing, at least."""


def listings(source: Source) -> dict[str, Listing]:
    """The listings of a source's streams by name; each is there once, however many streams share it."""
    found = [stream.tenants.listing for stream in source.streams if stream.tenants and stream.tenants.listing]
    return {listing.name: listing for listing in found}


def add_tenants(instance: dg.DagsterInstance, source: Source, listing: Listing, tenants: Sequence[str]) -> list[str]:
    """Make partitions of the tenants that have none yet; returns those."""
    known = {*instance.get_dynamic_partitions(set_name(source, listing))}
    new = [tenant for tenant in tenants if tenant not in known]
    if new:
        instance.add_dynamic_partitions(set_name(source, listing), new)
    return new


def tenants_sensors(source: Source) -> list[dg.SensorDefinition]:
    """`<source>_<listing>` for each listing: adds tenants that the API names for the first time, and says which are gone."""
    return [_sensor(source, listing) for listing in listings(source).values()]


def _sensor(source: Source, listing: Listing) -> dg.SensorDefinition:
    mine = [stream for stream in source.streams if stream.tenants and stream.tenants.listing == listing]

    @dg.sensor(
        name=f"{source.name}_{listing.name}",
        asset_selection=dg.AssetSelection.assets(*(lake_key(source, stream) for stream in mine)),
        minimum_interval_seconds=EVERY,
        default_status=dg.DefaultSensorStatus.RUNNING if runs_by_itself() else dg.DefaultSensorStatus.STOPPED,
        description=f"Makes a partition of each tenant that {listing.path} lists for the first time. Takes none away.",
        tags={"source": source.name},
    )
    def sensor(context: dg.SensorEvaluationContext, stores: StoresResource) -> dg.SensorResult:
        try:
            there = listed(source, listing, stores)
        except IntegrationError as error:
            return dg.SensorResult(skip_reason=str(error))
        name = set_name(source, listing)
        known = list(context.instance.get_dynamic_partitions(name))
        new, gone = [key for key in there if key not in known], [key for key in known if key not in there]
        said = f"{len(there):,} tenants are listed, {f'new are {enumerated(new)}' if new else 'none is new'}"
        if gone:
            said += f"; listed no more: {enumerated(gone)}. Their partitions and rows stay until someone deletes them"
            context.log.warning(said)
        else:
            context.log.info(said)
        requests = [dg.DynamicPartitionsDefinition(name=name).build_add_request(new)] if new else []
        return dg.SensorResult(skip_reason=said, dynamic_partitions_requests=requests)

    return sensor


def listed(source: Source, listing: Listing, stores: StoresResource) -> tuple[str, ...]:
    """The tenants that the API lists now. Gives up early, for a tick has a minute; raises `IntegrationError`."""
    from integration_assets.extract.client import SourceClient
    from integration_assets.extract.limits import open_store
    from integration_assets.extract.listing import list_tenants
    from integration_assets.extract.probe import brief

    settings = stores.settings()
    located = brief(settings.locate(source))
    with open_store(settings.limits_uri) as limits, SourceClient(located, settings.secrets_for(located), store=limits) as client:
        return list_tenants(client, located, listing)

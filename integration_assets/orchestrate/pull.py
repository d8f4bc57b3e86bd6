"""The two halves of a stream's step: pull into the lake, merge into the warehouse; each yields what Dagster records."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION

from integration_assets.errors import IntegrationError, RejectThresholdError
from integration_assets.orchestrate import checks
from integration_assets.orchestrate.dry_run import dry_run
from integration_assets.orchestrate.history import last_pulls, receipts_of
from integration_assets.orchestrate.metadata import (
    Metadata,
    limits_metadata,
    merge_metadata,
    receipt_metadata,
    reject_sample,
    sample,
    table_metadata,
)
from integration_assets.orchestrate.modes import Mode, Wanted
from integration_assets.orchestrate.partitions import partition_key, partitioned, split_key
from integration_assets.orchestrate.parts import Part, parts, whole_parts
from integration_assets.orchestrate.progress import Reporter
from integration_assets.orchestrate.replay import replayed
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.several import Done, Turns
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.orchestrate.tenants import add_tenants
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.feed import Feed
    from integration_assets.transform.showing import Showing

Output = dg.MaterializeResult | dg.AssetCheckResult  # type: ignore[type-arg]
Event = Output | dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation
_NOTHING = "nothing to pull: the watermark is as far as the API's data is final"


def names_partitions(context: dg.AssetExecutionContext, stream: Stream) -> bool:
    """Whether the run names partitions that are this stream's."""
    return partitioned(stream) and (context.has_partition_key or context.has_partition_key_range)


def as_plain_event(event: Event) -> Event:
    """What an output says, as an event alone."""
    match event:
        case dg.MaterializeResult(asset_key=dg.AssetKey() as key):
            return dg.AssetMaterialization(key, metadata=event.metadata)
        case dg.AssetCheckResult(asset_key=dg.AssetKey() as key, check_name=str(name)):
            return dg.AssetCheckEvaluation(
                key, name, event.passed, event.metadata, severity=event.severity, description=event.description
            )
    return event


@dataclass(frozen=True)
class Step:
    """One stream in one run of Dagster; what this try has landed so far, and the slices of it that were refused whole."""

    context: dg.AssetExecutionContext
    source: Source
    stream: Stream
    stores: StoresResource
    wanted: Wanted
    receipts: list[Receipt] = field(default_factory=list)
    refusals: list[RejectThresholdError] = field(default_factory=list)

    def run(self) -> Iterator[Event]:
        """Pull and merge, as far as each is selected; what landed before an error is merged before the error goes on."""
        lake = lake_key(self.source, self.stream) in self.context.selected_asset_keys
        if partitioned(self.stream) and lake and not names_partitions(self.context, self.stream):
            # Dagster looks up the run's partitions for each output of a step with partitions, and fails where there are none.
            for event in self._run():
                yield as_plain_event(event)
                yield from self._let_children_begin(event)
        else:
            yield from self._run()

    def _let_children_begin(self, event: Event) -> Iterator[Event]:
        """The output without which Dagster would skip the steps of the stream's children; its event was recorded by hand."""
        merged = isinstance(event, dg.MaterializeResult) and event.asset_key == warehouse_key(self.source, self.stream)
        if merged and any(one.parent and one.parent.stream == self.stream.name for one in self.source.streams):
            # Not documented: with it Dagster records no event of its own, for which it would look up the run's partitions.
            yield dg.MaterializeResult(
                asset_key=warehouse_key(self.source, self.stream), metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True}
            )

    def _run(self) -> Iterator[Event]:
        selected = self.context.selected_asset_keys
        if not selected:
            yield from self.look()
        merges = warehouse_key(self.source, self.stream) in selected and self.wanted.mode is not Mode.dry_run
        if lake_key(self.source, self.stream) in selected:
            try:
                yield from self.pull()
            except IntegrationError:
                if merges and any(receipt.version is not None for receipt in self.receipts):
                    yield from self._merge_what_landed()
                raise
        replayed_nothing = (
            lake_key(self.source, self.stream) in selected and self.wanted.mode is Mode.replay and not self.receipts
        )
        if merges and not replayed_nothing:
            yield from self.merge()

    def pull(self) -> Iterator[Event]:
        """Sync the stream into the lake: an event per partition as it commits, then the checks over all of them."""
        from integration_assets.feed import open_feeds

        settings = self.stores.settings()
        say = self.context.log.info
        with open_feeds(self.source, self.stores.stores(say), settings, [self.stream], say) as (feed,):
            if self.wanted.mode is Mode.dry_run:
                yield dry_run(feed, self.wanted, self._parts(feed), self.context)
                return
            if self.wanted.mode is Mode.replay:
                yield from replayed(feed, self.wanted.only, self.context, self.receipts, self._showing(feed))
                return
            again = bool(self.context.retry_number)
            key = lake_key(self.source, self.stream)
            earlier = receipts_of(self.context.instance, self.context.run.run_id, key) if again else []
            done = {partition_key(receipt.partition, receipt.tenant) for receipt in earlier}
            try:
                yield from self._partitions(feed, done) if partitioned(self.stream) else self._whole(feed)
            except IntegrationError as error:
                if isinstance(error, RejectThresholdError) and not self.refusals:
                    self.refusals.append(error)
                yield from self._evidence(feed, [*earlier, *self.receipts])
                raise
            yield from self._evidence(feed, [*earlier, *self.receipts])

    def merge(self) -> Iterator[Event]:
        """Bring the warehouse's table up to the lake; needs neither the API nor its secret."""
        metadata, results = self._merged()
        yield dg.MaterializeResult(asset_key=warehouse_key(self.source, self.stream), metadata=metadata)
        yield from results

    def _merge_what_landed(self) -> Iterator[Event]:
        """The error that ended the pull is the one to raise; a merge that fails as well is only told of."""
        try:
            metadata, results = self._merged()
        except IntegrationError as error:
            self.context.log.warning("what landed before the error could not be merged: %s", error)
            return
        yield dg.AssetMaterialization(warehouse_key(self.source, self.stream), metadata=metadata)
        yield from results

    def look(self) -> Iterator[Event]:
        """Evaluate the run's checks on what is there, when it has nothing else to do: "Execute" in the catalogue."""
        stores = self.stores.stores(self.context.log.info)
        yield from checks.lake_alone(self.context, self.source, self.stream, stores.table(self.source, self.stream))
        yield from checks.table_checks(self.context, self.source, self.stream, stores, whole=True)

    def _merged(self) -> tuple[Metadata, list[dg.AssetCheckResult]]:
        from integration_assets.land.warehouse import Target
        from integration_assets.spec.contract_loading import check_stream

        stores = self.stores.stores(self.context.log.info)
        contract = check_stream(self.source, self.stream)
        aim = Target.of(self.source, self.stream, contract)
        try:
            with stores.warehouse.held():
                result = stores.warehouse.merge(aim, stores.table(self.source, self.stream), self.context.run.run_id)
                results = list(checks.table_checks(self.context, self.source, self.stream, stores, whole=False))
        except IntegrationError as error:
            raise error.at(self.source.name, self.stream.name) from None
        metadata = merge_metadata(self.source, self.stream, contract, self.stores.settings().warehouse_uri, result)
        return metadata, results

    def _partitions(self, feed: Feed, done: Collection[str | None]) -> Iterator[Event]:
        """Pull tenant by tenant and partition by partition, some at once. What fails of one tenant keeps no other back."""
        from integration_assets.each_tenant import Failures
        from integration_assets.parallel import in_order
        from integration_assets.sync import side_by_side, slices_at_once

        found = self._parts(feed)
        if not found:
            self.context.log.info("no partition is due")
        alone = names_partitions(self.context, self.stream) and len(found) == 1
        report = Reporter(self.context.log.info, len(found))
        # One clock for all tenants: those that are done to the same moment are noted together in the lake.
        now = feed.client.now() if self.stream.tenants and self.stream.cursor and found else None
        turns = Turns(Failures())
        wanted = [part for part in found if part.label not in done]
        beside = min(slices_at_once(feed), len(wanted))
        mine = side_by_side(feed, beside)
        works = (self._try(mine, part, turns, report, now, beside) for part in turns.coming(wanted))
        with closing(in_order(works, beside, mine.lane.stopped, mine.lane.begun)) as all_done:
            for one in all_done:
                yield from self._told(feed, one, result=alone)
        turns.end(found)

    def _try(self, feed: Feed, part: Part, turns: Turns, report: Reporter, now: datetime | None, beside: int) -> Iterator[Done]:
        """Pull one part, of which so many are pulled at once; runs in a thread of its own."""
        receipts: list[Receipt] = []
        try:
            if part.missed and self._whole_in_lake(feed, part):
                yield Done(part, None)  # another run pulled it since this one began
                return
            for receipt in self._sync(turns.failures.feed(feed), part, report, now, at_once=None if beside <= 1 else 1):
                receipts.append(receipt)  # noqa: PERF402 - those before an error count
        except IntegrationError as error:
            turns.ended(part, error)
            yield Done(part, receipts, error)
            return
        turns.ended(part, None)
        report.done_partition()
        yield Done(part, receipts)

    def _told(self, feed: Feed, one: Done, *, result: bool) -> Iterator[Event]:
        """What the catalogue is told of a part when it is its turn."""
        self.receipts.extend(one.receipts or ())
        if one.error is None and one.receipts is not None:
            yield self._event(feed, one.part, one.receipts, result=result)
        if one.error is not None:
            self.context.log.warning("partition %s failed: %s", one.part.label, one.error)
            if isinstance(one.error, RejectThresholdError):
                self.refusals.append(one.error)

    def _parts(self, feed: Feed) -> list[Part]:
        keys = list(self.context.partition_keys) if names_partitions(self.context, self.stream) else None
        key = lake_key(self.source, self.stream)
        tenants = self._tenants(feed, keys)

        def pulls(some: Sequence[str]) -> dict[str, datetime]:
            assert self.stream.partitions is not None  # noqa: S101 - asked only for streams with partitions in time
            return last_pulls(self.context.instance, key, self.stream.partitions, some)

        return parts(feed, self.wanted, keys, pulls, tenants)

    def _tenants(self, feed: Feed, keys: Sequence[str] | None) -> list[str]:
        """The tenants to pull, in their order: the run's, or all. What the API lists for the first time becomes a partition."""
        from integration_assets.each_tenant import in_turn, tenants_of

        if self.stream.tenants is None:
            return []
        if keys is not None:
            return in_turn(feed, list(dict.fromkeys(str(split_key(self.stream, key)[1]) for key in keys)))
        tenants = tenants_of(feed)
        if self.stream.tenants.listing is not None:
            add_tenants(self.context.instance, self.source, self.stream.tenants.listing, tenants)
        return in_turn(feed, tenants)

    def _sync(
        self, feed: Feed, part: Part, report: Reporter, now: datetime | None = None, at_once: int | None = None
    ) -> Iterator[Receipt]:
        """Pull one part; its receipts as they commit."""
        from integration_assets.sync import sync

        return sync(
            feed,
            self.context.run.run_id,
            partitions=None if part.key is None else [part.key],
            span=part.span,
            tenants=None if part.tenant is None else [part.tenant],
            now=now,
            afresh=self.wanted.afresh,
            at_once=at_once,
            watch=report.watch,
        )

    def _event(self, feed: Feed, part: Part, receipts: Sequence[Receipt], *, result: bool) -> Event:
        """What the catalogue is told of a part: a materialization, as output or not, if the lake has the partition."""
        from integration_assets.spec.summary import outcome

        total = outcome(receipts)
        key = lake_key(self.source, self.stream)
        if part.key is not None and total is not None and part.span is not None and not self._whole_in_lake(feed, part):
            return dg.AssetObservation(key, partition=part.label, metadata=self._metadata(feed, total, receipts))
        if total is None:
            metadata: Metadata = {"outcome": dg.MetadataValue.text(_NOTHING)}
        else:
            whole = total if part.span or part.key is None else self._whole_partition(part.key, total)
            metadata = self._metadata(feed, whole, receipts)
        if result:
            return dg.MaterializeResult(asset_key=key, metadata=metadata)
        return dg.AssetMaterialization(key, partition=part.label, metadata=metadata)

    def _whole(self, feed: Feed) -> Iterator[Event]:
        report = Reporter(self.context.log.info)
        key = lake_key(self.source, self.stream)
        try:
            for part in whole_parts(feed, self.wanted):
                for receipt in self._sync(feed, part, report):
                    self.receipts.append(receipt)
        except IntegrationError:
            # What was committed before stays, and the catalogue should know of it.
            if self.receipts:
                yield dg.AssetMaterialization(key, metadata=self._summed(feed))
            raise
        yield dg.MaterializeResult(asset_key=key, metadata=self._summed(feed))

    def _summed(self, feed: Feed) -> Metadata:
        from integration_assets.spec.summary import outcome

        total = outcome(self.receipts)
        if total is None:
            return {"outcome": dg.MetadataValue.text(_NOTHING)}
        return self._metadata(feed, total, self.receipts)

    def _metadata(self, feed: Feed, total: Receipt, receipts: Sequence[Receipt]) -> Metadata:
        rows = sample(feed.table, receipts, self._showing(feed))
        return {
            **receipt_metadata(total, partitioned=partition_key(total.partition, total.tenant) is not None),
            **table_metadata(self.source, self.stream, feed.contract, feed.table, rows),
            **limits_metadata(feed.client),
            **self._rejects(feed, receipts, total.rejected),
        }

    def _showing(self, feed: Feed) -> Showing:
        from integration_assets.transform.showing import Showing

        return Showing(feed.contract, self.stores.settings().mask_key)

    def _rejects(self, feed: Feed, receipts: Sequence[Receipt], rejected: int) -> Metadata:
        stores, run_id = self.stores.stores(), self.context.run.run_id
        return reject_sample(self.source, self.stream, stores, self._showing(feed), rejected, run_id, receipts)

    def _whole_in_lake(self, feed: Feed, part: Part) -> bool:
        assert self.stream.partitions is not None  # noqa: S101 - asked only for streams with partitions in time
        assert part.key is not None  # noqa: S101 - as above
        whole = replace(self.stream.partitions.slice_of(part.key), tenant=part.tenant)
        return any(done.covers(whole) for done in feed.table.state().finished)

    def _whole_partition(self, key: str, total: Receipt) -> Receipt:
        """The receipt, with a warning when the partition is not over yet for the API and nothing pulls it again by itself."""
        assert self.stream.partitions is not None  # noqa: S101 - asked only for partitioned streams
        end = self.stream.partitions.slice_of(key).to_json()[1]
        if total.outcome == "taken" or total.slice[1] == end or self.stream.partitions.refresh is not None:
            return total
        warning = f"{key} is not whole: pulled up to {total.slice[1]}, it ends at {end}; materialize it again later"
        self.context.log.warning(warning)
        return replace(total, warnings=(*total.warnings, warning))

    def _evidence(self, feed: Feed, receipts: Sequence[Receipt]) -> Iterator[Event]:
        """The lake's checks over what was committed and refused."""
        rejected = sum(receipt.rejected for receipt in receipts) + sum(refusal.rejected for refusal in self.refusals)
        shown = self._rejects(feed, receipts, rejected)
        yield from checks.after_pull(self.context, self.source, self.stream, feed.table, receipts, self.refusals, shown)

"""The two halves of a stream's step: pull into the lake, merge into the warehouse; each yields what Dagster records."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg

from integration_assets.errors import IntegrationError, RejectThresholdError, SpecError
from integration_assets.orchestrate import checks
from integration_assets.orchestrate.metadata import Metadata, merge_metadata, receipt_metadata, sample, table_metadata
from integration_assets.orchestrate.progress import Reporter
from integration_assets.orchestrate.resources import StoresResource
from integration_assets.orchestrate.specs import lake_key, warehouse_key
from integration_assets.spec.receipt import Receipt
from integration_assets.spec.source import Source, Stream

if TYPE_CHECKING:
    from integration_assets.ingest import Feed

Event = dg.AssetMaterialization | dg.MaterializeResult | dg.AssetCheckResult  # type: ignore[type-arg]


@dataclass(frozen=True)
class Step:
    """One stream in one run of Dagster."""

    context: dg.AssetExecutionContext
    source: Source
    stream: Stream
    stores: StoresResource

    def pull(self) -> Iterator[Event]:
        """Sync the stream into the lake: an event per partition as it commits, then the checks over all of them."""
        from integration_assets.sync import open_feeds

        settings = self.stores.settings()
        say = self.context.log.info
        with open_feeds(self.source, self.stores.stores(say), settings, [self.stream], say) as (feed,):
            earlier = self._earlier()
            receipts: list[Receipt] = []
            done = {receipt.partition for receipt in earlier}
            try:
                yield from self._partitions(feed, receipts, done) if self.stream.partitions else self._whole(feed, receipts)
            except IntegrationError as error:
                yield from self._evidence([*earlier, *receipts], error if isinstance(error, RejectThresholdError) else None)
                raise
            yield from self._evidence([*earlier, *receipts])

    def merge(self) -> Iterator[Event]:
        """Bring the warehouse's table up to the lake; needs neither the API nor its secret."""
        from integration_assets.spec.contract import check_stream
        from integration_assets.sync import target

        stores = self.stores.stores(self.context.log.info)
        contract = check_stream(self.source, self.stream)
        aim = target(self.source, self.stream, contract)
        try:
            result = stores.warehouse.merge(aim, stores.table(self.source, self.stream), self.context.run.run_id)
            doubled = stores.warehouse.doubled_keys(aim) if result.rows_total and checks.has_key(self.stream) else None
        except IntegrationError as error:
            raise error.at(self.source.name, self.stream.name) from None
        yield dg.MaterializeResult(
            asset_key=warehouse_key(self.source, self.stream),
            metadata=merge_metadata(self.source, self.stream, contract, self.stores.settings().warehouse_uri, result),
        )
        yield from self._selected([checks.keys_unique(self.source, self.stream, doubled, result.rows_total)])

    def _partitions(self, feed: Feed, receipts: list[Receipt], done: Collection[str | None]) -> Iterator[Event]:
        from integration_assets.sync import outcome, sync

        keys = self._keys()
        report = Reporter(self.context.log.info, len(keys))
        for key in (key for key in keys if key not in done):
            mine = []
            for receipt in sync(feed, self.context.run.run_id, partitions=[key], watch=report.watch):
                mine.append(receipt)
                receipts.append(receipt)
                report.done_slice(receipt.fetched)
            report.done_partition()
            total = outcome(mine)
            assert total is not None  # noqa: S101 - a partition has at least one slice, or sync raises
            metadata = self._metadata(feed, self._whole_partition(key, total), mine)
            if len(keys) == 1:
                yield dg.MaterializeResult(asset_key=lake_key(self.source, self.stream), metadata=metadata)
            else:
                yield dg.AssetMaterialization(lake_key(self.source, self.stream), partition=key, metadata=metadata)

    def _whole(self, feed: Feed, receipts: list[Receipt]) -> Iterator[Event]:
        from integration_assets.sync import sync

        report = Reporter(self.context.log.info)
        try:
            for receipt in sync(feed, self.context.run.run_id, watch=report.watch):
                receipts.append(receipt)
                report.done_slice(receipt.fetched)
        except IntegrationError:
            # What was committed before stays, and the catalogue should know of it.
            if receipts:
                yield dg.AssetMaterialization(lake_key(self.source, self.stream), metadata=self._summed(feed, receipts))
            raise
        yield dg.MaterializeResult(asset_key=lake_key(self.source, self.stream), metadata=self._summed(feed, receipts))

    def _summed(self, feed: Feed, receipts: Sequence[Receipt]) -> Metadata:
        from integration_assets.sync import outcome

        total = outcome(receipts)
        if total is None:
            return {"outcome": dg.MetadataValue.text("nothing to pull: the watermark is as far as the API's data is final")}
        return self._metadata(feed, total, receipts)

    def _metadata(self, feed: Feed, total: Receipt, receipts: Sequence[Receipt]) -> Metadata:
        rows = sample(feed.table, receipts)
        return {
            **receipt_metadata(total, partitioned=total.partition is not None),
            **table_metadata(self.source, self.stream, feed.contract, feed.table, rows),
        }

    def _keys(self) -> list[str]:
        """The run's partitions, at least one."""
        context = self.context
        if not (context.has_partition_key or context.has_partition_key_range):
            raise SpecError(
                "the run names no partition",
                source=self.source.name,
                stream=self.stream.name,
                field="partition",
                remedy="Choose one or a range of them; `integration sync` pulls what is new whatever its partition.",
            )
        return list(context.partition_keys)

    def _earlier(self) -> list[Receipt]:
        """What an earlier try of this very step landed, from the events that it left: one receipt each."""
        context, key = self.context, lake_key(self.source, self.stream)
        found: list[Receipt] = []
        cursor, more = None, bool(context.retry_number)
        while more:
            kind = dg.DagsterEventType.ASSET_MATERIALIZATION
            page = context.instance.get_records_for_run(context.run.run_id, cursor, kind, limit=1000)
            events = [record.asset_materialization for record in page.records]
            kept = [event.metadata.get("receipt") for event in events if event and event.asset_key == key]
            found += [Receipt.from_json(json.dumps(value.value)) for value in kept if value]
            cursor, more = page.cursor, page.has_more
        return found

    def _whole_partition(self, key: str, total: Receipt) -> Receipt:
        """The receipt, with a warning when the partition is not over yet for the API."""
        assert self.stream.partitions is not None  # noqa: S101 - asked only for partitioned streams
        end = self.stream.partitions.slice_of(key).to_json()[1]
        if total.outcome == "taken" or total.slice[1] == end:
            return total
        warning = f"{key} is not whole: pulled up to {total.slice[1]}, it ends at {end}; materialize it again later"
        self.context.log.warning(warning)
        return replace(total, warnings=(*total.warnings, warning))

    def _evidence(self, receipts: Sequence[Receipt], refusal: RejectThresholdError | None = None) -> Iterator[Event]:
        """The lake's checks over what was committed; none when nothing was, but for a refused slice."""
        table = self.stores.stores().table(self.source, self.stream)
        yield from checks.after_pull(self.context, self.source, self.stream, table, receipts, refusal)

    def _selected(self, results: Iterable[dg.AssetCheckResult]) -> Iterator[dg.AssetCheckResult]:
        wanted = {(key.asset_key, key.name) for key in self.context.selected_asset_check_keys}
        yield from (result for result in results if (result.asset_key, result.check_name) in wanted)

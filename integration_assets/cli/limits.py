"""`integration limits`: what all runs together have of each API now, and when it is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from rich.console import Console

from integration_assets.cli.report import block, blocks_table, line
from integration_assets.extract.limits import LimitsView, open_store, views
from integration_assets.settings import Settings
from integration_assets.spec.source import Source


def show_limits(sources: Sequence[Source], settings: Settings, out: Console) -> None:
    """Print one block an account, which is an API under one credential. Reads what runs share; asks no API, needs no secret.

    Raises `LimitsStoreError`, or `LimitsUnavailableError` when it cannot be read.
    """
    line(out, f"Limits: {_shown(settings.limits_uri)}")
    with open_store(settings.limits_uri) as store:
        found = list(views(store, sources))
    if not found:
        line(out, "No run has asked an API yet.")
        return
    table = blocks_table("Limits")
    for one in found:
        table.add_row(block(one.source, _lines(one)))
    out.print(table)


def _lines(view: LimitsView) -> dict[str, str]:
    lines = {
        "": f"breaker {view.breaker}",
        "API": view.host,
        "last minute": f"{view.requests:,} requests, {view.failures:,} failed, {view.retries:,} retried",
        "rate": "not limited" if view.rate is None else f"{view.rate:g} a second",
    }
    if view.concurrent is not None:
        lines["in flight"] = f"{view.in_flight:,} of {view.concurrent:,}"
    if view.quota_left is not None:
        lines["quota"] = f"{view.quota_left:,} requests may still be spent today"
    if view.api_left is not None:
        lines["the API says"] = f"{view.api_left:,} left until {view.api_reset}"
    if view.paused_until is not None:
        lines["paused"] = f"until {view.paused_until}: {view.pause_reason}"
    if view.breaker_until is not None:
        lines["tried again"] = f"{'from ' if view.breaker == 'half-open' else 'at '}{view.breaker_until}: {view.breaker_reason}"
    return lines


def _shown(uri: str) -> str:
    """The address without user and password."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.scheme and parts.hostname else uri

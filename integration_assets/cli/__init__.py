"""The command line: the same ingest as under Dagster, without Dagster."""

from integration_assets.cli.app import main

__all__ = ["main"]

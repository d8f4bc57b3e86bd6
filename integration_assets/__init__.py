"""APIs to trusted tables: a Dagster project."""

__version__ = "0.1.0"

"""APIs to trusted tables: a Dagster project."""

"""What every warehouse promises, proven on each: DuckDB, and BigQuery over the wire."""

"""`make demo-gcp`: the whole demo on a bucket and BigQuery, both emulated on this machine; configuration alone differs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from integration_assets.demo.run import demo
from integration_assets_tests.bigquery.process import PROJECT, BigQueryEmulator
from integration_assets_tests.gcs.process import GcsEmulator

BUCKET = "integration-assets-demo"
LOCATION = "US"


def main() -> int:
    """Start both emulators on empty folders and run the demo against them; its exit status."""
    with TemporaryDirectory(prefix="demo-gcp-") as folder, GcsEmulator(Path(folder) / "gcs") as gcs:
        gcs.create_bucket(BUCKET, LOCATION)
        with BigQueryEmulator(Path(folder) / "bigquery", gcs.url) as bigquery:
            os.environ.update(gcs.environ | bigquery.environ)
            os.environ["INTEGRATION_LAKE_URI"] = f"gs://{BUCKET}/lake"
            os.environ["INTEGRATION_WAREHOUSE_URI"] = f"bigquery://{PROJECT}?location={LOCATION}"
            os.environ["DAGSTER_HOME"] = str(Path(folder) / "dagster")
            return demo()


if __name__ == "__main__":
    sys.exit(main())

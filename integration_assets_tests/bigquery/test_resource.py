"""A stream materialized by Dagster into a bucket and BigQuery, through dagster-gcp's own resources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import dagster_gcp
import pytest

from integration_assets.orchestrate import StoresResource, build
from integration_assets_tests.bigquery.account import service_account
from integration_assets_tests.bigquery.process import PROJECT, BigQueryEmulator
from integration_assets_tests.gcs.process import GcsEmulator
from integration_assets_tests.orchestrate.running import Bench, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

CODES = dg.AssetKey(["shop", "countries"])
TABLE = dg.AssetKey(["warehouse", "shop", "countries"])


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which of dagster-gcp's resources opened a client, in order; they do it as ever."""
    names: list[str] = []

    def watched(kind: type) -> None:
        get_client = kind.get_client  # type: ignore[attr-defined]

        def spy(self: Any) -> Any:  # noqa: ANN401 - a client
            names.append(kind.__name__)
            return get_client(self)

        monkeypatch.setattr(kind, "get_client", spy)

    watched(dagster_gcp.BigQueryResource)
    watched(dagster_gcp.GCSResource)
    return names


def test_dagster_gcp_opens_the_clients_with_the_accounts_own_credentials(
    tmp_path: Path,
    gcs_for_bigquery: GcsEmulator,
    bigquery_emulator: BigQueryEmulator,
    monkeypatch: pytest.MonkeyPatch,
    opened: list[str],
) -> None:
    """GCSResource looks at the bucket, BigQueryResource merges, as the service account whose key file the environment names."""
    for name, setting in (gcs_for_bigquery.environ | bigquery_emulator.environ).items():
        monkeypatch.setenv(name, setting)
    gcs_for_bigquery.create_bucket("resource-lake", "US")
    stores = StoresResource(
        lake_uri="gs://resource-lake/lake", warehouse_uri=f"bigquery://{PROJECT}?location=US&prefix=resource_"
    )
    monkeypatch.setenv("SHOP_KEY", KEY)
    (tmp_path / "home").mkdir()
    shop = Shop()
    with (
        shop.served(),
        service_account(tmp_path) as account,
        dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "home")) as instance,
    ):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account.path))
        bench = Bench(build([source(shop.url)], {"stores": stores}), instance, stores)
        run = bench.run(CODES, TABLE)
        assert run.success
        assert bench.rows("SELECT code, name FROM resource_shop.countries") == [{"code": "DE", "name": "Germany"}]
        (event,) = bench.events(TABLE)
    assert value(event, "rows inserted") == 1
    assert opened.count("GCSResource") == 2
    assert "BigQueryResource" in opened
    assert set(account.grants) == {"urn:ietf:params:oauth:grant-type:jwt-bearer"}

"""Personal data of a run, rejects and refusals included, is in no event, log or metadata."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pandera.pandas as pandera
import pytest

from integration_assets.spec.contract import Int64, String, Timestamp, column
from integration_assets_tests.orchestrate.conftest import make_bench
from integration_assets_tests.orchestrate.running import LAKE, WAREHOUSE, value
from integration_assets_tests.orchestrate.shop import KEY, Shop, source

MASK_KEY = "a-masking-key-of-the-tests-own"


class Order(pandera.DataFrameModel):
    """An order, with who made it."""

    id: String = column(nullable=False, pii="redact")
    amount: Int64 = column(nullable=False, ge=0)
    email: String = column("buyer.email", pii="partial", str_contains="@")
    phone: String = column("buyer.phone", pii="hash")
    passport: String = column(mask="hash")
    note: String = column()
    updated_at: Timestamp = column(nullable=False)


def personal(number: int, day: int) -> dict[str, object]:
    """An order whose personal values are recognizable: each has `PII` in it, and the contract knows not all of the fields."""
    at = datetime(2024, 3, day, number % 24, tzinfo=UTC)
    return {
        "id": f"PII-id-{day}-{number}",
        "amount": 5,
        "buyer": {"email": f"PII{number}@example.com", "phone": f"+44PII{number}", "fax": f"PII-fax-{number}"},
        "passport": f"PII-passport-{number}",
        "card": f"PII-card-{number}",
        "password": "PII-password",
        "note": "a note that anyone may read",
        "updated_at": at.isoformat(),
    }


@pytest.mark.parametrize("refused", [False, True])
def test_no_personal_value_is_in_any_event(
    refused: bool, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rows, samples, rejects for several reasons and a refused slice leave nothing personal in Dagster's storage or output."""
    monkeypatch.setenv("SHOP_KEY", KEY)
    monkeypatch.setenv("INTEGRATION_MASK_KEY", MASK_KEY)
    shop.orders = [personal(number, 1) for number in range(12)]
    wrong = shop.orders if refused else shop.orders[:3]
    for order in wrong:
        order["amount"] = -5
    shop.orders[1]["buyer"] = {"email": "PII without its sign", "phone": {"PII": "a phone that is an object"}}
    shop.orders[2]["passport"] = ["PII-passport-list"]

    orders = source().stream("orders").changed(contract=f"{__name__}:Order")
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        bench = make_bench(source(shop.url, streams=(orders,)), tmp_path, instance)
        run = bench.run(LAKE, WAREHOUSE, partition="2024-03-01")
        assert run.success is not refused
        checks = bench.checks(run)
        rejects = str(checks["contract_held"].metadata["rejects"].value)
        events = bench.events(LAKE)

    assert checks["contract_held"].metadata["rejected"].value == len(wrong)
    assert "amount: must be" in rejects
    assert "a note that anyone may read" in rejects
    if not refused:
        assert "P&#42;&#42;&#42;m" in value(events[0], "sample")
        assert "rejects" in events[0].metadata
    stored = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in stored)
    assert not [path for path in stored if b"PII" in path.read_bytes()]
    said = capfd.readouterr()
    assert "PII" not in said.out + said.err
    assert MASK_KEY not in said.out + said.err

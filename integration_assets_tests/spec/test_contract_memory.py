"""What is remembered of a contract: the same as the model says, for as long as its files are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from integration_assets.spec.contract_loading import load_contract
from integration_assets.spec.contract_memory import recall, remember

CONTRACT = """
import pandera.pandas as pandera
from integration_assets.spec.contract import Int64, String, Timestamp, column
from {package}.limits import MOST

class Order(pandera.DataFrameModel):
    \"\"\"An order.\"\"\"
    id: Int64 = column(nullable=False, le=MOST, description="Its number.")
    at: Timestamp = column("made.at", format="epoch_s")
    mail: String = column(pii="partial", mask="hash")
"""
LOAD = """
import json, sys
from integration_assets.spec.contract_loading import load_contract
contract = load_contract(sys.argv[1])
light = "pandera" not in sys.modules
said = [contract.name, contract.description, contract.hash, contract.arrow_schema.to_string(), str(contract.columns)]
checks = len(contract.schema.columns["id"].checks) if "check" in sys.argv else 0
print(json.dumps({"light": light, "said": said, "checks": checks}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with a contract that depends on a module beside it."""
    folder = tmp_path / "code" / "shop_contracts"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "limits.py").write_text("MOST = 10\n")
    (folder / "orders.py").write_text(CONTRACT.format(package="shop_contracts"))
    return folder


@pytest.fixture
def load(package: Path, tmp_path: Path) -> Callable[..., dict[str, object]]:
    """Loads the contract in a process of its own; `light` says whether it did without pandera."""

    def run(*flags: str, **environ: str) -> dict[str, object]:
        paths = os.pathsep.join([str(package.parent), *sys.path])
        env = {**os.environ, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environ}
        command = [sys.executable, "-c", LOAD, "shop_contracts.orders:Order", *flags]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)  # noqa: S603 - our own command
        assert done.returncode == 0, done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    return run


def test_remembered_contract_says_what_the_model_says_and_is_checked_by_it(load: Callable[..., dict[str, object]]) -> None:
    """The second process knows columns, types, marks and hash without pandera, and the gate still gets the model's checks."""
    first, second = load(), load("check")
    assert not first["light"]
    assert second["light"]
    assert second["said"] == first["said"]
    assert second["checks"] == 1


@pytest.mark.parametrize("changed", ["orders.py", "limits.py"])
def test_contract_is_read_anew_when_a_file_of_it_changed(
    load: Callable[..., dict[str, object]], package: Path, changed: str
) -> None:
    """An edit of the contract, or of a module that it imports, is seen by the next process."""
    before = load()["said"]
    file = package / changed
    file.write_text(file.read_text().replace("MOST = 10", "MOST = 1000").replace("nullable=False, ", ""))
    after = load()
    assert not after["light"]
    assert after["said"] != before


def test_contract_of_another_project_is_not_mistaken_for_one_of_the_same_name(
    load: Callable[..., dict[str, object]], package: Path, tmp_path: Path
) -> None:
    """Two checkouts on one machine may name their contracts alike."""
    before = load()["said"]
    other = tmp_path / "other"
    other.mkdir()
    (package.parent).rename(other / "code")
    (other / "code" / "shop_contracts" / "limits.py").write_text("MOST = 11\n")
    found = load(PYTHONPATH=os.pathsep.join([str(other / "code"), *sys.path]))
    assert not found["light"]
    assert found["said"] != before


def test_place_that_cannot_be_written_costs_only_time(load: Callable[..., dict[str, object]], tmp_path: Path) -> None:
    """Where there is no folder for it, as in a read-only container, each process reads the model."""
    file = tmp_path / "file"
    file.write_text("")
    assert load(XDG_CACHE_HOME=str(file / "below"))["said"] == load(XDG_CACHE_HOME="nowhere")["said"]


def test_damaged_memory_is_no_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was cut off is passed over, and written anew."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ref = "integration_assets.sources.nyc_ops.contracts:Plane"
    remember(ref, load_contract(ref))
    (file,) = (tmp_path / "integration_assets" / "contracts").iterdir()
    whole = file.read_bytes()
    assert recall(ref) == load_contract(ref)
    written = file.stat()
    remember(ref, load_contract(ref))
    assert file.stat() == written, "what is known is not written again"
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert recall(ref) is None
    file.write_text("[]")
    assert recall(ref) is None


def test_contract_that_depends_on_more_than_code_is_found_out(load: Callable[..., dict[str, object]], package: Path) -> None:
    """A contract made from the environment is refused with the first row, and read anew by the next process."""
    (package / "limits.py").write_text("import os\nMOST = int(os.environ.get('MOST', 10))\n")
    first = load()["said"]
    with pytest.raises(AssertionError, match="depends on more than its files"):
        load("check", MOST="12")
    assert load(MOST="12")["said"] != first

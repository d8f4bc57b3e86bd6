"""deploy/dagster.yaml.

Proven: Dagster's own configuration accepts it, its classes can be made from it, and the compute logs really go to a bucket (of
the emulator). Not proven: a connection to Postgres; the test makes the storage and connects to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.compute_log_manager import ComputeIOType
from dagster._serdes import ConfigurableClassData

from integration_assets_tests.deploy.reading import DEPLOY, ROOT, load
from integration_assets_tests.gcs.process import GcsEmulator

ENVIRONMENT = {
    "POSTGRES_HOST": "db.invalid",
    "POSTGRES_USER": "dagster",
    "POSTGRES_PASSWORD": "hunter2",
    "POSTGRES_DB": "dagster",
    "DAGSTER_LOGS_BUCKET": "logs",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAGSTER_HOME with the production file, temporary folders of the test, and the environment it asks for."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    text = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")
    assert text.count("/tmp/dagster") == 2  # noqa: S108 - in a container whose only folder to write is this
    (tmp_path / "dagster.yaml").write_text(text.replace("/tmp/dagster", f"{tmp_path}/dagster"), encoding="utf-8")  # noqa: S108
    return tmp_path


@pytest.fixture
def emulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GcsEmulator]:
    """A bucket to log to, found through the environment as in production."""
    with GcsEmulator(tmp_path / "gcs") as emulator:
        for name, value in emulator.environ.items():
            monkeypatch.setenv(name, value)
        emulator.create_bucket("logs")
        yield emulator


def test_dagster_accepts_it(home: Path) -> None:
    """Dagster's own configuration finds every key right, and the classes are the production ones."""
    config, _ = dagster_instance_config(str(home))
    assert config["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    assert config["run_retries"] == {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False}
    reference = InstanceRef.from_dir(str(home))
    assert reference.storage_data is not None
    assert reference.storage_data.class_name == "DagsterPostgresStorage"
    assert reference.compute_logs_data is not None
    assert reference.compute_logs_data.class_name == "GCSComputeLogManager"


def test_a_wrong_key_would_be_noticed(home: Path) -> None:
    """The check above is one: a misspelt key is refused."""
    text = (home / "dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(text.replace("free_slots_after_run_end_seconds", "free_slots_after"), encoding="utf-8")
    with pytest.raises(Exception, match="free_slots_after"):
        dagster_instance_config(str(home))


def test_postgres_is_what_the_environment_says(home: Path) -> None:
    """The storage is made for the host, user and database of the environment, and the file holds no password."""
    from dagster_postgres import DagsterPostgresStorage

    data = InstanceRef.from_dir(str(home)).storage_data
    assert data is not None
    config = {**yaml.safe_load(data.config_yaml), "should_autocreate_tables": False}  # or it connects at once
    storage = ConfigurableClassData(data.module_name, data.class_name, yaml.safe_dump(config)).rehydrate(DagsterPostgresStorage)
    assert storage.postgres_url == "postgresql+psycopg2://dagster:hunter2@db.invalid:5432/dagster"
    assert "hunter2" not in data.config_yaml


def test_what_steps_print_reaches_the_bucket(home: Path, emulator: GcsEmulator) -> None:
    """The log manager finds its bucket and puts a step's output there, over the wire."""
    from dagster_gcp.gcs.compute_log_manager import GCSComputeLogManager

    data = InstanceRef.from_dir(str(home)).compute_logs_data
    assert data is not None
    manager: Any = data.rehydrate(GCSComputeLogManager)
    with manager.open_log_stream(["run", "compute_logs", "step"], ComputeIOType.STDERR) as stream:
        stream.write("hello from a step")
    blob = emulator.client().bucket("logs").blob("dagster/storage/run/compute_logs/step.err")
    assert blob.download_as_text() == "hello from a step"


def test_it_differs_from_the_embedded_default_only_where_it_should() -> None:
    """Retries and retention are those of the embedded default, so that a run behaves in production as on a laptop."""
    production, embedded = load("dagster.yaml"), yaml.safe_load((ROOT / "dagster.yaml").read_text(encoding="utf-8"))
    for section in ("run_retries", "retention", "telemetry", "nux"):
        assert production[section] == embedded[section], section
    assert production["concurrency"]["pools"] == embedded["concurrency"]["pools"]

"""The other clients: gcsfs, obstore and pyarrow."""

from __future__ import annotations

import os
from datetime import timedelta

import google.cloud.storage as gcs
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from integration_assets_tests.gcs.process import GcsEmulator

BIG = 12 << 20


def test_pyarrow(emulator: GcsEmulator, name: str) -> None:
    """pyarrow.fs writes, lists, moves, copies, reads Parquet and deletes."""
    files = fs.GcsFileSystem(
        anonymous=True,
        scheme="http",
        endpoint_override=emulator.url.removeprefix("http://"),
        retry_time_limit=timedelta(seconds=10),
    )
    table = pa.table({"id": list(range(1000))})
    pq.write_table(table, f"{name}/t/part-0.parquet", filesystem=files)
    assert pq.read_table(f"{name}/t/part-0.parquet", filesystem=files).equals(table)
    assert pq.read_table(f"{name}/t", filesystem=files).equals(table)
    data = os.urandom(BIG)
    with files.open_output_stream(f"{name}/big") as stream:
        stream.write(data)
    with files.open_input_file(f"{name}/big") as file:
        assert file.read_at(10, BIG - 10) == data[-10:]
        assert file.read() == data
    files.copy_file(f"{name}/big", f"{name}/copied")
    files.move(f"{name}/copied", f"{name}/moved")
    found = files.get_file_info(fs.FileSelector(name, recursive=True))
    assert sorted(info.path for info in found if info.type == fs.FileType.File) == [
        f"{name}/{path}" for path in ("big", "moved", "t/part-0.parquet")
    ]
    files.delete_file(f"{name}/moved")
    files.delete_dir_contents(f"{name}/t")
    assert [info.path for info in files.get_file_info(fs.FileSelector(name, recursive=True))] == [f"{name}/big"]
    assert files.get_file_info(f"{name}/moved").type == fs.FileType.NotFound


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")  # aiohttp on what gcsfs hands it
def test_gcsfs(emulator: GcsEmulator, bucket: gcs.Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """What gcsfs writes (in one go, in pieces, create-only), lists, reads by range, copies, moves and deletes is right."""
    for variable, value in emulator.environ.items():  # gcsfs reads one of them when it is imported
        monkeypatch.setenv(variable, value)
    gcsfs = pytest.importorskip("gcsfs")
    files = gcsfs.GCSFileSystem(project="emulated", token="anon", endpoint_url=emulator.url, skip_instance_cache=True)
    root, data = bucket.name, os.urandom(BIG)
    files.pipe_file(f"{root}/d/small", b"0123456789")
    with files.open(f"{root}/d/big", "wb", block_size=5 << 20) as file:
        file.write(data)
    assert files.cat_file(f"{root}/d/big") == data
    assert files.cat_file(f"{root}/d/small", start=-3) == b"789"
    with pytest.raises(FileExistsError):
        files.pipe_file(f"{root}/d/small", b"x", mode="create")
    assert sorted(files.find(root)) == [f"{root}/d/big", f"{root}/d/small"]
    assert files.ls(root, detail=False) == [f"{root}/d"]
    assert files.info(f"{root}/d/small")["size"] == 10
    files.copy(f"{root}/d/small", f"{root}/e/copied")
    files.mv(f"{root}/e/copied", f"{root}/e/moved")
    files.merge(f"{root}/e/merged", [f"{root}/d/small", f"{root}/e/moved"])
    assert files.cat_file(f"{root}/e/merged") == b"0123456789" * 2
    files.setxattrs(f"{root}/e/moved", k="v")
    assert bucket.get_blob("e/moved").metadata == {"k": "v"}
    files.rm(f"{root}/d", recursive=True)
    files.rm(f"{root}/e", recursive=True)
    assert list(bucket.list_blobs()) == []
    with pytest.raises(FileNotFoundError):
        files.cat_file(f"{root}/d/small")


def test_obstore(emulator: GcsEmulator, name: str) -> None:
    """Obstore (object_store, as delta-rs has it) puts, creates and updates only, lists, reads ranges, copies, deletes."""
    exceptions = pytest.importorskip("obstore.exceptions")

    store_type = pytest.importorskip("obstore.store").GCSStore
    key = emulator.storage_options["google_service_account_key"]
    store = store_type(name, config={"service_account_key": key, "skip_signature": True}, client_options={"allow_http": True})
    first = store.put("a/b", b"0123456789", mode="create", attributes={"Content-Type": "text/csv", "k": "v"})
    with pytest.raises(exceptions.AlreadyExistsError):
        store.put("a/b", b"x", mode="create")
    second = store.put("a/b", b"9876543210", mode={"version": first["version"], "e_tag": first["e_tag"]})
    with pytest.raises(exceptions.PreconditionError):
        store.put("a/b", b"x", mode={"version": first["version"], "e_tag": first["e_tag"]})
    assert store.head("a/b")["version"] == second["version"]
    with pytest.raises(FileNotFoundError):
        store.get("a/b", options={"version": first["version"]})
    assert bytes(store.get_range("a/b", start=2, end=4)) == b"76"
    assert bytes(store.get("a/b", options={"range": {"suffix": 3}}).bytes()) == b"210"
    data = os.urandom(BIG)
    store.put("big", data)
    assert bytes(store.get("big").bytes()) == data
    store.copy("a/b", "c")
    with pytest.raises(exceptions.AlreadyExistsError):
        store.copy("a/b", "c", overwrite=False)
    store.rename("c", "d/e")
    assert [found["path"] for found in store.list().collect()] == ["a/b", "big", "d/e"]
    assert [found["path"] for found in store.list(offset="a/b").collect()] == ["big", "d/e"]
    assert store.list_with_delimiter()["common_prefixes"] == ["a", "d"]
    store.delete(["a/b", "big", "d/e"])
    assert store.list().collect() == []

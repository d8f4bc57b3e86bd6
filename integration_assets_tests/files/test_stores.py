"""Files are listed and read the same way in a folder and in a bucket, and what changes meanwhile is noticed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from integration_assets.errors import AccessDeniedError, ResponseError, UpstreamUnavailableError
from integration_assets.files import FileGoneError, FileStore, open_files
from integration_assets_tests.gcs.process import GcsEmulator


@dataclass(frozen=True)
class Place:
    """A place of files: how to write and to delete one, and the store that reads it."""

    store: FileStore
    write: Callable[[str, bytes], None]
    delete: Callable[[str], None]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsEmulator]:
    """One emulator for the module, named in the environment."""
    with GcsEmulator(tmp_path_factory.mktemp("gcs")) as emulator, pytest.MonkeyPatch.context() as patch:
        for name, value in emulator.environ.items():
            patch.setenv(name, value)
        yield emulator


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """The same tests for both."""
    if request.param == "folder":
        root = tmp_path / "drop" / "in box"
        root.mkdir(parents=True)

        def write(name: str, data: bytes) -> None:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

        yield Place(open_files(f"file://{tmp_path}/drop", "/in box/"), write, lambda name: (root / name).unlink())
        return
    emulator: GcsEmulator = request.getfixturevalue("emulator")
    bucket = f"drop-{abs(hash(request.node.name)) % 10**6}"
    emulator.create_bucket(bucket)
    client = emulator.client()
    there = client.bucket(bucket)
    yield Place(
        open_files(f"gs://{bucket}/drop", "in box"),
        lambda name, data: there.blob(f"drop/in box/{name}").upload_from_string(data),
        lambda name: there.blob(f"drop/in box/{name}").delete(),
    )
    client.close()


def read(place: Place, name: str) -> bytes:
    """A file's bytes as the store gives them."""
    (ref,) = [ref for ref in place.store.list() if ref.name == name]
    with place.store.open(ref) as file:
        return file.read()


def test_files_are_listed_by_name_with_when_they_arrived(place: Place) -> None:
    """Folders below are crossed, what is unfinished or no data is left out, and sizes and times are the storage's."""
    began = datetime.now(UTC) - timedelta(seconds=5)
    for name in ("b.csv", "2024/03/a.csv", "a.json", ".b.csv.part", "_SUCCESS", "2024/.tmp/c.csv"):
        place.write(name, b"12345")
    found = list(place.store.list())
    assert [ref.name for ref in found] == ["2024/03/a.csv", "a.json", "b.csv"]
    assert all(began < ref.arrived < datetime.now(UTC) + timedelta(seconds=5) for ref in found)
    assert {ref.size for ref in found} == {5}
    assert [ref.name for ref in place.store.list("*.csv")] == ["2024/03/a.csv", "b.csv"]
    assert [ref.name for ref in place.store.list("*.csv", after="2024/03/a.csv")] == ["b.csv"]


def test_a_file_that_is_rewritten_is_another_one(place: Place) -> None:
    """The same name with other bytes has another version and arrived later; what was listed before is gone."""
    place.write("a.csv", b"one")
    (first,) = place.store.list()
    place.write("a.csv", b"other")
    (second,) = place.store.list()
    assert first.version != second.version
    assert first.arrived <= second.arrived
    with pytest.raises(FileGoneError), place.store.open(first) as file:
        file.read()
    assert read(place, "a.csv") == b"other"


def test_a_file_that_is_deleted_is_gone(place: Place) -> None:
    """What was listed and is there no longer is told as such, and not as an outage."""
    place.write("a.csv", b"one")
    (ref,) = place.store.list()
    place.delete("a.csv")
    with pytest.raises(FileGoneError), place.store.open(ref) as file:
        file.read()


def test_a_file_is_read_in_chunks_and_can_be_sought_in(place: Place) -> None:
    """What is larger than a chunk comes whole and in order; a reader may jump, as Parquet's does."""
    data = os.urandom(9 * 2**20)
    place.write("large.bin", data)
    (ref,) = place.store.list()
    with place.store.open(ref) as file:
        assert b"".join(iter(lambda: file.read(2**20), b"")) == data
        file.seek(-4, 2)
        assert file.read() == data[-4:]


def test_gzip_comes_as_it_is_stored(place: Place) -> None:
    """Nothing is undone on the way."""
    data = gzip.compress(b"a,b\n1,2\n")
    place.write("a.csv.gz", data)
    assert read(place, "a.csv.gz") == data


def test_a_file_that_google_could_decompress_comes_as_it_is_stored(emulator: GcsEmulator) -> None:
    """An object that was uploaded with a content encoding is not changed by the storage."""
    emulator.create_bucket("encoded")
    client = emulator.client()
    blob = client.bucket("encoded").blob("a.csv")
    blob.content_encoding = "gzip"
    data = gzip.compress(b"a,b\n1,2\n")
    blob.upload_from_string(data)
    client.close()
    store = open_files("gs://encoded")
    (ref,) = store.list()
    with store.open(ref) as file:
        assert file.read() == data


def test_a_file_that_is_moved_in_arrived_now(tmp_path: Path) -> None:
    """A file that keeps the time at which it was written, as tar and rsync leave it, is not older than it is here."""
    path = tmp_path / "old.csv"
    path.write_bytes(b"1")
    os.utime(path, (0, 0))
    (ref,) = open_files(f"file://{tmp_path}").list()
    assert datetime.now(UTC) - ref.arrived < timedelta(minutes=1)


def test_a_file_that_is_written_to_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    """Bytes of two versions are not taken for one file."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"one")
    store = open_files(f"file://{tmp_path}")
    (ref,) = store.list()

    def read_while_it_grows() -> None:
        with store.open(ref) as file:
            file.read()
            path.write_bytes(b"one more")

    with pytest.raises(FileGoneError, match="written to while it was read"):
        read_while_it_grows()


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A link in a drop folder leads to nobody's files."""
    (tmp_path / "secret.csv").write_text("x")
    drop = tmp_path / "drop"
    drop.mkdir()
    (drop / "link.csv").symlink_to(tmp_path / "secret.csv")
    (drop / "folder").symlink_to(tmp_path)
    assert list(open_files(f"file://{drop}").list()) == []


@pytest.mark.parametrize("uri", ["file:///nowhere/at/all", "gs://no-such-bucket"])
def test_a_place_that_is_not_there_is_named(uri: str, emulator: GcsEmulator) -> None:
    """A mistyped folder or bucket is an error for people, and no empty listing."""
    assert emulator.url
    with pytest.raises(ResponseError, match=r"there is no (folder|bucket)"):
        list(open_files(uri).list())


def test_a_bucket_that_may_not_be_read_says_which_role_is_missing(emulator: GcsEmulator) -> None:
    """A refusal is told with what to grant; an outage is told as one."""
    emulator.create_bucket("closed")
    emulator.deny("closed")
    with pytest.raises(AccessDeniedError, match=r"roles/storage\.objectViewer"):
        list(open_files("gs://closed").list())
    emulator.allow("closed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
        with pytest.raises(UpstreamUnavailableError, match="does not answer"):
            list(open_files("gs://closed", patience=0.5).list())

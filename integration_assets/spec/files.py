"""Streams whose pages are files that someone drops into a folder or a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from integration_assets.errors import SpecError
from integration_assets.spec.auth import NoAuth
from integration_assets.spec.base import Spec
from integration_assets.spec.formats import Parquet
from integration_assets.spec.paging import Single

if TYPE_CHECKING:
    from integration_assets.spec.source import Source, Stream

SCHEMES = ("file", "gs")
COLUMNS = {"name": "string", "arrived": "timestamp[us, tz=UTC]", "size": "int64"}
"""What a contract's column may have at `$file.<name>`: the file's name below the stream's path, when it arrived, its bytes."""
ROOT = "$file"
_PLAIN = '\n",;a'


class Files(Spec):
    """The files below the stream's path, by a source whose base_url is `file:///folder` or `gs://bucket/prefix`.

    Each is read once when it arrives and again when it is rewritten. A name that has a part beginning with `.` or `_` is left
    alone. gzip is undone, whatever the name.

    pattern  : which files, by their name below the path; `*` crosses folders.
    encoding : of CSV.
    every    : seconds between two looks of the sensor, at least.
    """

    pattern: str = Field(default="*", min_length=1)
    encoding: str = "utf-8"
    every: int = Field(default=60, ge=30)

    @model_validator(mode="after")
    def _consistent(self) -> Files:
        try:
            plain = _PLAIN.encode(self.encoding) == _PLAIN.encode("ascii")
        except (LookupError, UnicodeError):
            plain = False
        if not plain:
            raise SpecError(
                f"Files: {self.encoding!r} is no encoding in which a line can be told from its bytes",
                field="files.encoding",
                remedy="Use utf-8, latin-1, cp1252 or another that extends ASCII.",
            )
        return self


def check_file_stream(stream: Stream) -> None:
    """Raise `SpecError` for what a stream of files cannot have, or what only such a stream can."""

    def wrong(what: str, field: str, remedy: str) -> SpecError:
        return SpecError(what, stream=stream.name, field=field, remedy=remedy)

    if stream.files is None:
        if isinstance(stream.format, Parquet):
            raise wrong("Parquet comes in files", "format", "Describe the files, or use another format.")
        return
    cursor = stream.cursor
    if cursor and (cursor.kind != "timestamp" or cursor.start_param or cursor.end_param):
        raise wrong(
            "the cursor of files is when they arrived, and nothing is asked for it",
            "cursor",
            'Name the contract\'s column of path "$file.arrived", without start_param and end_param.',
        )
    asked = {"paging": stream.paging != Single(), "params": bool(stream.params), "headers": bool(stream.headers)}
    asked |= {
        "method": stream.method != "GET",
        "tenants": stream.tenants is not None,
        "probe": stream.probe is not None,
        "conditional": stream.conditional,
    }
    for name, given in asked.items():
        if given:
            raise wrong(f"files have no {name}", name, "Leave it out.")


def check_file_source(source: Source, scheme: str) -> None:
    """Raise `SpecError` unless all streams of a source of files are files, and none of another source is."""

    def wrong(what: str, field: str, remedy: str) -> SpecError:
        return SpecError(what, source=source.name, field=field, remedy=remedy)

    of_files: Sequence[str] = [stream.name for stream in source.streams if stream.files]
    if scheme not in SCHEMES:
        if of_files:
            raise wrong(f"{of_files[0]} is a stream of files", "base_url", "Give file:///folder or gs://bucket/prefix.")
        return
    for stream in source.streams:
        if stream.files is None:
            raise wrong(f"{stream.name} is no stream of files", "streams", "Say files=Files(…), or give the source an https URL.")
    if not isinstance(source.auth, NoAuth) or source.clock_path or source.probe:
        raise wrong("files need no auth, clock_path or probe", "auth", "A bucket's credentials are the environment's.")

"""Files in a bucket of Google Cloud Storage. Credentials are the environment's; `STORAGE_EMULATOR_HOST` points at an emulator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO

from integration_assets.errors import AccessDeniedError, IntegrationError, ResponseError, UpstreamUnavailableError
from integration_assets.files.store import FileGoneError, FileRef, fits

_MARGIN = timedelta(seconds=10)
_PAGE = 1000
_CHUNK = 8 * 2**20
_FIELDS = "items(name,size,generation,timeCreated),nextPageToken"


@dataclass(frozen=True)
class Bucket:
    """The objects of a bucket below a prefix, which ends in a slash or is empty."""

    bucket: str
    prefix: str
    patience: float

    @property
    def margin(self) -> timedelta:
        """Google's clock is exact; this machine's may be some seconds ahead of it."""
        return _MARGIN

    @property
    def restamps(self) -> bool:
        """A generation's time never changes."""
        return False

    def list(self, pattern: str = "*", after: str | None = None) -> Iterator[FileRef]:
        """See `FileStore.list`."""
        from google.api_core.exceptions import GoogleAPIError
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage import Client
        from google.cloud.storage.retry import DEFAULT_RETRY

        try:
            with Client() as client:
                blobs = client.list_blobs(
                    self.bucket,
                    prefix=self.prefix or None,
                    start_offset=f"{self.prefix}{after}" if after else None,
                    page_size=_PAGE,
                    fields=_FIELDS,
                    timeout=self.patience,
                    retry=DEFAULT_RETRY.with_timeout(self.patience),
                )
                for blob in blobs:
                    name = blob.name.removeprefix(self.prefix)
                    if name != after and not name.endswith("/") and fits(name, pattern):
                        yield FileRef(name, blob.time_created, blob.size, str(blob.generation))
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            raise self._explained(error, f"gs://{self.bucket}/{self.prefix}") from None

    @contextmanager
    def open(self, ref: FileRef) -> Iterator[BinaryIO]:
        """See `FileStore.open`. The generation is part of each request, so what is read is what was listed."""
        from google.api_core.exceptions import GoogleAPIError, NotFound
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage import Client
        from google.cloud.storage.retry import DEFAULT_RETRY

        try:
            with Client() as client:
                blob = client.bucket(self.bucket).blob(f"{self.prefix}{ref.name}", generation=int(ref.version))
                # As it is stored: Google would otherwise undo gzip on its way, and then knows no ranges.
                options: dict[str, Any] = {"raw_download": True, "timeout": self.patience}
                retry = DEFAULT_RETRY.with_timeout(self.patience)
                with blob.open("rb", chunk_size=_CHUNK, retry=retry, **options) as file:
                    yield file
        except NotFound:
            raise FileGoneError(f"{ref.name} is gone, or another one") from None
        except (GoogleAPIError, GoogleAuthError, OSError) as error:
            raise self._explained(error, f"gs://{self.bucket}/{self.prefix}{ref.name}") from None

    def _explained(self, error: Exception, where: str) -> IntegrationError:
        """What Google's error, or the network's, means."""
        from google.api_core.exceptions import Forbidden, NotFound, Unauthorized
        from google.auth.exceptions import GoogleAuthError

        match error:
            case NotFound():
                return ResponseError(f"there is no bucket {self.bucket}", field="base_url", remedy="Create it, or mend the name.")
            case Forbidden() | Unauthorized():
                return AccessDeniedError(
                    f"this account may not read {where}", field="base_url", remedy="Grant it roles/storage.objectViewer there."
                )
            case GoogleAuthError():
                return AccessDeniedError(
                    f"no credentials for gs://{self.bucket}",
                    field="base_url",
                    remedy="Run as a service account, or log in with gcloud auth application-default login.",
                )
        return UpstreamUnavailableError(
            f"{where} does not answer: {type(error).__name__}", remedy="A later run goes on from the last commit."
        )

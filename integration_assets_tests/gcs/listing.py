"""One page of a bucket's objects, in the order of their names' UTF-8 bytes."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass, field

from integration_assets_tests.gcs.catalogue import StoredObject
from integration_assets_tests.gcs.errors import bad_request
from integration_assets_tests.gcs.store import Store

MOST = 1000
_GROUPED = 64  # rows looked at in one go where most of them may fall in one group
_LAST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Asked:
    """What to list: names from `start` on, behind `after`, before `end`; `token` continues an earlier page."""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""
    after: str = ""
    end: str = ""
    token: str = ""
    limit: int = MOST
    trailing: bool = False


@dataclass(slots=True)
class Page:
    """Objects and common prefixes, and the token of the next page if there is one."""

    objects: list[StoredObject] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    token: str | None = None


def list_page(store: Store, bucket: str, asked: Asked) -> Page:
    """Give a page of at most `asked.limit` objects and prefixes; raises 400 for a token of no page."""
    page, limit = Page(), max(1, min(asked.limit, MOST))
    position, after = _beginning(asked)
    last, count = "", 0
    while True:
        wanted = limit + 1 - count
        rows = store.slice(bucket, position, after=after, limit=min(wanted, _GROUPED) if asked.delimiter else wanted)
        for row in rows:
            if not row.name.startswith(asked.prefix) or (asked.end and row.name >= asked.end):
                return page
            if count == limit:
                page.token = urlsafe_b64encode(last.encode()).decode()
                return page
            count += 1
            group = _group(row.name, asked)
            if not group or (asked.trailing and group == row.name):
                page.objects.append(row)
            if group:
                page.prefixes.append(group)
                position, last = group + _LAST, f"p{group}"
                break
            position, last = row.name, f"o{row.name}"
        if not rows:
            return page
        after = True


def _group(name: str, asked: Asked) -> str:
    rest = name[len(asked.prefix) :]
    if not asked.delimiter or asked.delimiter not in rest:
        return ""
    return asked.prefix + rest.split(asked.delimiter, 1)[0] + asked.delimiter


def _beginning(asked: Asked) -> tuple[str, bool]:
    """Give the greatest of all given beginnings, and whether it is itself left out."""
    beginnings = [(asked.prefix, False), (asked.start, False), (asked.after, bool(asked.after))]
    if asked.token:
        try:
            token = b64decode(asked.token, altchars=b"-_", validate=True).decode()
        except ValueError as error:
            raise bad_request(f"Invalid page token: {asked.token!r}") from error
        beginnings.append((token[1:] + (_LAST if token.startswith("p") else ""), True))
    return max(beginnings)

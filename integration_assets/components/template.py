"""What a new source's `defs.yaml` begins as: it loads as it stands, and says what to fill in."""

from __future__ import annotations

import re

_TEXT = """\
type: integration_assets.ApiSource

attributes:
  name: @name@
  base_url: @base_url@
  description: What the API is about, in a sentence.
  docs_url: @base_url@
  owners: ["team:data-platform"]

  # The name of the environment variable that holds the key, never the key. Others: none, api_key_header, api_key_query, basic.
  auth: {kind: bearer, secret: @secret@}

  streams:
    - name: @stream@
      path: /@stream@
      description: What a row is, in a sentence.
      key: [id]
      # Where the records are in the body. Others: ndjson, csv, xml.
      format: {kind: json, records: data}
      # Others: single, page_number, offset, token.
      paging: {kind: next_link, path: links.next}
      # Pulls what changed since the last sync. Without a cursor, the whole list is pulled each time: disposition: replace.
      cursor:
        field: updated_at
        start: 2024-01-01T00:00:00Z
        start_param: updated_since
        lookback: PT1H

      contract:
        description: What a record is.
        columns:
          id:
            type: int64
            nullable: false
            description: Its number.
          updated_at:
            type: timestamp
            nullable: false
            description: When it last changed; orders versions.
          state:
            type: string
            checks: {isin: [open, closed]}
            description: How far it is.
"""


def template(name: str, base_url: str, stream: str) -> str:
    """The text of a new `defs.yaml` for a source of about that name."""
    source = _named(name)
    values = {"name": source, "base_url": base_url.rstrip("/"), "stream": _named(stream), "secret": f"{source.upper()}_KEY"}
    return re.sub(r"@(\w+)@", lambda match: values[match[1]], _TEXT)


def _named(text: str) -> str:
    """`text` as a name: small letters, digits and underscores, a letter first."""
    name = re.sub(r"[^a-z0-9_]+", "_", text.lower()).strip("_")
    return name if name[:1].isalpha() else f"source_{name}"

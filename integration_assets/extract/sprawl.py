"""Whether JSON has so many different names that a table of it would not fit into memory.

Arrow's reader makes a column of every name that it meets, and each column is as long as the table. Records whose names are
data, such as `{"id": 7, "user-8c1f": 1}`, make names times records of it: 200 KB of them become 1.2 GB.
"""

from __future__ import annotations

import random
import re
from collections import Counter

_NAME = re.compile(rb'"([^"\\]*+(?:\\.[^"\\]*+)*+)"\s*:', re.DOTALL)
_SMALL = 64 * 1024
_SAMPLE = 64 * 1024
_LEAST = 16 * 1024
_SHARE = 16
"""A sixteenth is looked at, up to the sample: looking costs a fifth of what reading does."""
_PIECES = 16
_CELL = 8
_MOST = 256 * 2**20
_NAMES = 1000
"""Each column also costs by itself, however short it is."""


def sprawls(document: bytes) -> bool:
    """Whether names times objects would be more cells than memory should hold; by a sample, and rather too often than never.

    Names that a sample shows once are counted as so many more as the document is larger than the sample. The pieces of it lie
    at random, so that no upstream can write around them.
    """
    if len(document) <= _SMALL:
        return False
    seen: Counter[bytes] = Counter()
    objects = size = 0
    for piece in _pieces(document):
        seen.update(_NAME.findall(piece))
        objects += piece.count(b"{")
        size += len(piece)
    if len(seen) > _NAMES:
        return True
    larger = len(document) / size
    once = sum(count == 1 for count in seen.values())
    return (len(seen) + once * (larger - 1)) * objects * larger * _CELL > _MOST


def _pieces(document: bytes) -> list[bytes]:
    length = max(_LEAST, min(_SAMPLE, len(document) // _SHARE)) // _PIECES
    room = len(document) // _PIECES
    starts = (number * room + random.randrange(room - length + 1) for number in range(_PIECES))  # noqa: S311 - no secret
    return [document[start : start + length] for start in starts]

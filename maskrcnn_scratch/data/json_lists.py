"""The lists of objects in a long JSON file, piece by piece.

Parsed at once, COCO's annotations of 0.5 GB become over 3 GB of Python objects. Here
the file is cut where an object seems to end, and a cut counts only if what lies before
it parses: then it was the end of an object indeed, wherever braces stand in strings.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Generator, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic_core import from_json

Json = dict[str, Any]

CHUNK = 1 << 21  # bytes parsed at a time
SHORT = 1 << 20  # bytes that a value may have that is no list of objects
MOST_CUTS = 100  # tried for one object, if objects within it look like its end

OPENING = re.compile(rb"\s*\{")
KEY = re.compile(rb'\s*"([^"\\]*)"\s*:\s*')
LIST_OF_OBJECTS = re.compile(rb"\[\s*(?=\{)")
OBJECT_END = re.compile(rb"\}\s*(?:,\s*(?=\{)|(\]))")
VALUE_END = re.compile(rb"\s*([,}])")


class Irregular(ValueError):
    """The file is no object of lists of objects, or is no JSON: read it as a whole."""


def object_lists(path: Path) -> Iterator[tuple[str, list[Json]]]:
    """(name, some objects) over the whole file, a list's objects in their order.

    An empty list gives one empty piece; other values are passed over. Raises Irregular
    where this is not the way to read the file, which may be noticed late.
    """
    if not path.stat().st_size:
        raise Irregular("it is empty")
    with path.open("rb") as file:
        # Not closed here: a search that was broken off holds on to it.
        text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    place = end_of(OPENING, text, 0)
    known: set[bytes] = set()
    while True:
        key = KEY.match(text, place)
        if key is None or key[1] in known:
            raise Irregular("no key, or one that was there before")
        known.add(key[1])
        name = key[1].decode()
        if start := LIST_OF_OBJECTS.match(text, key.end()):
            place = yield from pieces(name, text, start.end())
        else:
            value, place = short_value(text, key.end())
            if value == []:
                yield name, []
        place = end_of(VALUE_END, text, place)
        if text[place - 1 : place] == b"}":
            break
    if text[place:].strip():
        raise Irregular("something follows the object")


def pieces(
    name: str, text: mmap.mmap, place: int
) -> Generator[tuple[str, list[Json]], None, int]:
    """The objects from ``place`` to the end of their list, which is returned."""
    size = CHUNK
    while True:
        cuts = OBJECT_END.finditer(text, place + size)
        for cut in islice(cuts, 1 if size else MOST_CUTS):
            objects = parsed(text[place : cut.start() + 1])
            if objects is not None:
                break
        else:
            if not size:
                raise Irregular(f"no object in {name} at byte {place}")
            size //= 2
            continue
        yield name, objects
        forget(text, place, cut.end())
        place = cut.end()
        if cut[1]:
            return place
        size = min(CHUNK, 2 * size + 1)


def parsed(objects: bytes) -> list[Json] | None:
    """Objects with commas between them; None if they are not whole."""
    try:
        rows: list[Json] = from_json(b"[" + objects + b"]")
    except ValueError:
        return None
    return rows if all(isinstance(row, dict) for row in rows) else None


def short_value(text: mmap.mmap, place: int) -> tuple[Any, int]:
    """Any value but a long one, and where it ends."""
    start = text[place : place + SHORT].decode("utf-8", errors="replace")
    try:
        value, length = json.JSONDecoder().raw_decode(start)
    except ValueError as error:
        raise Irregular("a value that is none, or is long") from error
    return value, place + len(start[:length].encode("utf-8"))


def end_of(pattern: re.Pattern[bytes], text: mmap.mmap, place: int) -> int:
    """Where the pattern ends that has to be there."""
    match = pattern.match(text, place)
    if match is None:
        raise Irregular(f"no {pattern.pattern!r} at byte {place}")
    return match.end()


def forget(text: mmap.mmap, first: int, end: int) -> None:
    """Let the system drop the pages in between: they would count as our memory."""
    first -= first % mmap.PAGESIZE
    length = (end - first) // mmap.PAGESIZE * mmap.PAGESIZE
    if length and hasattr(mmap, "MADV_DONTNEED"):
        text.madvise(mmap.MADV_DONTNEED, first, length)

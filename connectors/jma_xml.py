"""Reads 気象庁防災情報XML without trusting it: a bounded tree of elements, or a reason.

Document types are refused before anything in them is looked at, so there are no entities to expand and nothing outside to fetch. Size and
depth are bounded. Names are told by the URI of their namespace, whatever prefix a file gives it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from connectors.avro_body import INSTANTS_MS

__all__ = ["BODY", "HEAD", "MOST_BYTES", "REPORT", "UNITS", "Element", "TelegramError", "every", "given", "instant", "needed", "parse"]

REPORT = "{http://xml.kishou.go.jp/jmaxml1/}"
HEAD = "{http://xml.kishou.go.jp/jmaxml1/informationBasis1/}"
BODY = "{http://xml.kishou.go.jp/jmaxml1/body/meteorology1/}"
UNITS = "{http://xml.kishou.go.jp/jmaxml1/elementBasis1/}"
"""Namespaces: of the report and its control part, of its head, of a body about weather and rivers, of quantities."""

MOST_BYTES = 4 << 20
"""The largest telegrams, maps of the whole country, have less than half of it."""
_DEEPEST = 64
_SHOWN = 60


class TelegramError(ValueError):
    """A telegram cannot be read. ``line``: where, 1 is the first."""

    def __init__(self, reason: str, line: int = 1) -> None:
        super().__init__(reason)
        self.line = line


def parse(data: bytes) -> Element:
    """The root of a telegram.

    Raises:
        TelegramError: it is too large or too deep, declares a document type, or is no XML.
    """
    if len(data) > MOST_BYTES:
        raise TelegramError(f"telegram must have at most {MOST_BYTES} bytes (got {len(data)})")
    tree, reader, depth = TreeBuilder(), expat.ParserCreate(namespace_separator="}"), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise TelegramError(f"telegram must be at most {_DEEPEST} elements deep (got more)", reader.CurrentLineNumber)
        tree.start(_name(name), {_name(each): value for each, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        tree.end(_name(name))

    def refuse(name: str, *_: object) -> NoReturn:
        raise TelegramError(f"telegram must not declare a document type (got {name[:_SHOWN]!r})", reader.CurrentLineNumber)

    reader.buffer_text = True
    reader.StartElementHandler, reader.EndElementHandler, reader.CharacterDataHandler = start, end, tree.data
    reader.StartDoctypeDeclHandler = refuse
    try:
        reader.Parse(data, True)
    except TelegramError:
        raise
    except (expat.ExpatError, ValueError, LookupError) as fault:  # the last two: an encoding that is not known
        raise TelegramError(f"telegram must be whole XML (got: {fault})", max(reader.CurrentLineNumber, 1)) from fault
    return tree.close()


def _name(name: str) -> str:
    return f"{{{name}" if "}" in name else name


def given(element: Element | None, path: str) -> str | None:
    """The text below an element, without blanks around it; None: there is none, or nothing in it."""
    text = None if element is None else element.findtext(path)
    return (text.strip() or None) if text else None


def needed(element: Element, path: str) -> str:
    """The same where it must be there.

    Raises:
        TelegramError: it is not.
    """
    text = given(element, path)
    if text is None:
        raise TelegramError(f"{path.rpartition('}')[2]} must be told (got nothing)")
    return text


def every(element: Element | None, path: str) -> Iterator[Element]:
    """All elements at a path, none below nothing."""
    return iter(()) if element is None else element.iterfind(path)


def instant(what: str, text: str) -> datetime:
    """A time as the 気象庁 writes it, in UTC.

    Raises:
        TelegramError: it is no time, has no zone, or lies where no time is meant.

    Example:
        >>> instant("ReportDateTime", "2021-08-13T15:10:00+09:00")
        datetime.datetime(2021, 8, 13, 6, 10, tzinfo=datetime.timezone.utc)
    """
    try:
        time = datetime.fromisoformat(text).replace(microsecond=0)
        known = time.tzinfo is not None and INSTANTS_MS[0] <= time.timestamp() * 1000 < INSTANTS_MS[1]
        told = time.astimezone(UTC)
    except (ValueError, OverflowError) as fault:
        raise TelegramError(f"{what} must be a time (got {text[:_SHOWN]!r})") from fault
    if not known:
        raise TelegramError(f"{what} must be a time with its zone, of 1900 to 2200 (got {text[:_SHOWN]!r})")
    return told

"""Reads official flood bulletins, 指定河川洪水予報 and 水位周知河川に関する情報, as 気象庁防災情報XML.

A file ``.xml``, a folder, or a ``.tar.gz`` of them. It gives ``river.flood-bulletin.v1`` (a row for each stretch of river that a telegram
is about) and ``dead.v1`` (telegrams that cannot be read, each with its file, line and reason). Telegrams about anything else are passed
over, unless they are named as if they were about floods.

**Unknown.** A code or an InfoType that is not known, or a code that its name contradicts, gives a bulletin whose ``standing`` is unknown,
and a letter as well: whoever reads bulletins must not go on with the one before, and somebody must be told. A body of which a part
cannot be read gives the bulletin without it, and a letter.

**Drills.** ``open`` gives 通常 alone; 訓練 and 試験 are dead letters there. ``drills`` gives these two, and there 通常 is dead: what is for
an exercise and what is not never come out of one source. The status is part of a bulletin's identity as well.

**Arrival.** When the telegram was sent (``Control/DateTime``). What cannot be read as far as that arrives with the file before it in order
of names, else with the first one after it, else on 1 January 2000.

**Versions.** A 訂正 is a version of the bulletin that it corrects, a 取消 withdraws it: the newest one of the same event and, where it is
told, the same number, published up to a day before. Where there is none, a 訂正 stands by itself, and a 取消 is a dead letter: what it
should have withdrawn stands. Of two versions that were sent in one second the later number counts, then the higher level. Two bulletins
of one stretch that were published in one minute under two numbers are two: the one that was sent later is put a millisecond later, so that
neither takes the other with it when it is corrected or withdrawn.

**Delivery guarantee.** Every stretch of every good telegram and every letter exactly once for each file that holds it. Offsets and
versions depend on the files alone, so that reading from any time gives the same rows at the same positions.

**What is lost when.** Rain, 流域雨量指数, the 氾濫水の予報 (which place is reached when, how deep), thresholds, and ``ValidDateTime``: a
bulletin holds until the next one. Of a large telegram a letter holds the first 512 KiB.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from connectors.jma_flood import STATUSES, Telegram, read
from connectors.jma_xml import MOST_BYTES, TelegramError
from connectors.span import within, zoned
from connectors.table import framed_by_arrival
from schemas.feeds import UTC_MS, feed

__all__ = ["JmaBulletins", "JmaError", "JmaSettings", "drills", "open"]

BULLETINS, DEAD = "river.flood-bulletin.v1", "dead.v1"

_CORRECTS_WITHIN = timedelta(days=1)
_APART, _SECOND = timedelta(milliseconds=1), timedelta(seconds=1)
"""Bulletins of one minute under different numbers lie so far apart, and always within the second in which they were published."""
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_LETTER_BYTES = 512 << 10
_RANK = ("issued", "other", "corrected", "cancelled")
_PLACES = 1000
"""Room for versions that were sent in one second."""


class JmaError(ValueError):
    """There are no telegrams at a path, or the archive is damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JmaSettings:
    """Where the telegrams lie, and which of them are read.

    Attributes:
        path: a file, a folder or an archive.
        statuses: actual, or exercise and test.
    """

    path: Path
    statuses: tuple[str, ...] = ("actual",)


def open(path: Path, settings: JmaSettings | None = None) -> JmaBulletins:
    """A telegram, all ``*.xml`` below a folder, or all in a ``.tar.gz``.

    Args:
        path: the file, folder or archive.
        settings: other settings than the default ones.

    Raises:
        JmaError: there is no such file, or the archive is damaged.
    """
    settings = settings or JmaSettings(path=path)
    files = sorted((_file(name, data, settings.statuses) for name, data in _files(path)), key=lambda each: each.name)
    if not files:
        raise JmaError(f"path of jma-bulletins must hold telegrams *.xml (got none in {path.name!r}): see data/jma-bulletins/README.md")
    bulletins, orphans = _bulletins(files)
    return JmaBulletins(settings=settings, bulletins=bulletins, dead=_dead(files, orphans))


def drills(path: Path) -> JmaBulletins:
    """The same for what was sent as 訓練 or 試験, and nothing else.

    Raises:
        JmaError: there is no such file, or the archive is damaged.
    """
    return open(path, JmaSettings(path=path, statuses=("exercise", "test")))


@dataclass(frozen=True, slots=True, kw_only=True)
class JmaBulletins:
    """Bulletins in order of arrival; see the module for what is given and promised."""

    settings: JmaSettings
    bulletins: pl.DataFrame = field(repr=False)
    dead: pl.DataFrame = field(repr=False)

    def read(self, since: datetime | None = None, until: datetime | None = None) -> Iterator[dict[str, pl.DataFrame]]:
        """Bulletins and letters that arrived in [since, until), in one chunk; none where nothing did.

        Raises:
            JmaError: a time has no zone.
        """
        zoned(JmaError, since, until)
        chunk = {name: frame.filter(within(since, until)) for name, frame in ((BULLETINS, self.bulletins), (DEAD, self.dead))}
        if any(frame.height for frame in chunk.values()):
            yield chunk

    def close(self) -> None:
        """Nothing is held open."""


# --- files


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A file: its name below the path, its telegram if it is one to be read, and what a letter about it needs."""

    name: str
    raw: bytes = b""
    telegram: Telegram | None = None
    sent_at: datetime | None = None
    reason: str | None = None
    line: int = 1


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and bytes; of a file that is too large so much that it is seen to be."""
    if path.is_dir():
        for each in path.rglob("*.xml"):
            if each.is_file():
                yield each.relative_to(path).as_posix(), _begin(each)
    elif path.name.endswith(".xml") and path.is_file():
        yield path.name, _begin(path)
    elif path.is_file():
        yield from _packed(path)
    else:
        raise JmaError(f"path of jma-bulletins must be a .xml, a folder or a .tar.gz of them (got {path.name!r})")


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _packed(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        # Read through once for its checksum: tarfile takes damage in the middle for the end, and says nothing.
        with gzip.open(path) as whole:
            while whole.read(1 << 20):
                pass
        with tarfile.open(path, "r:gz") as packed:
            for each in packed:
                if each.isfile() and each.name.endswith(".xml") and (file := packed.extractfile(each)) is not None:
                    yield each.name.removeprefix("./"), file.read(MOST_BYTES + 1)
    except (tarfile.TarError, OSError, EOFError, zlib.error) as fault:
        raise JmaError(f"archive {path.name} must be a whole .tar.gz (got: {fault}): fetch it again") from fault


def _file(name: str, data: bytes, statuses: tuple[str, ...]) -> _File:
    try:
        telegram = read(data, name)
    except TelegramError as fault:
        return _File(name=name, raw=data[:_LETTER_BYTES], reason=str(fault), line=fault.line)
    if telegram is None:
        return _File(name=name)
    reason = _other_status(telegram.head["status"], statuses) or "; ".join(telegram.doubts) or None
    return _File(
        name=name,
        raw=data[:_LETTER_BYTES] if reason or telegram.head["info_type"] == "cancelled" else b"",
        telegram=telegram if telegram.head["status"] in statuses else None,
        sent_at=telegram.head["sent_at"],
        reason=reason,
    )


def _other_status(status: str, statuses: tuple[str, ...]) -> str | None:
    if status in statuses:
        return None
    asked = " or ".join(theirs for theirs, ours in STATUSES.items() if ours in statuses)
    got = next(theirs for theirs, ours in STATUSES.items() if ours == status)
    return f"Status must be {asked} (got {got!r}): {'jma-bulletins' if status == 'actual' else 'jma-drills'} reads it"


# --- bulletins


def _bulletins(files: Sequence[_File]) -> tuple[pl.DataFrame, Mapping[str, str]]:
    """All versions of all bulletins in order of arrival; why a file has no place among them, by its name."""
    held = _Held()
    rows: list[dict[str, Any]] = []
    orphans: dict[str, str] = {}
    telegrams = [(each.name, each.telegram) for each in files if each.telegram is not None]
    for name, telegram in sorted(telegrams, key=lambda each: (*_in_order(each[1]), each[0])):
        told = list(held.versions(telegram))
        if not told:
            orphans[name] = "取消 must have a bulletin that it withdraws (got none of its event and number within a day)"
        rows += told
    arrived = pl.DataFrame(rows, schema=feed(BULLETINS).columns).with_columns(pl.col("sent_at").alias("arrived"))
    return framed_by_arrival(BULLETINS, arrived, {}), orphans


def _in_order(telegram: Telegram) -> tuple[datetime, int, int, int]:
    """Telegrams as they were sent, those of one second as they follow from each other."""
    serial, levels = telegram.head["serial"] or "", [each["level"] or 0 for each in telegram.records]
    number = int(serial) if serial.isdecimal() else 0
    return telegram.head["sent_at"], _RANK.index(telegram.head["info_type"]), number, max(levels, default=0)


class _Held:
    """The bulletins so far, so that a 訂正 or 取消 finds the one that it is about."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, datetime], tuple[str, str | None]] = {}
        self._issued: dict[tuple[str, str, str], list[tuple[str | None, datetime]]] = defaultdict(list)
        self._newest: dict[tuple[tuple[str, str, str], datetime], dict[str, dict[str, Any]]] = defaultdict(dict)
        self._contents: dict[tuple[str, str, datetime, datetime], list[dict[str, Any]]] = defaultdict(list)

    def versions(self, telegram: Telegram) -> Iterator[dict[str, Any]]:
        """A record for each stretch that the telegram speaks of, and for each that it no longer does."""
        head = telegram.head
        event = (head["status"], head["rivers_are"], head["event_id"])
        issued = head["info_type"] in ("issued", "other")
        about = None if issued else self._about(event, head)
        about = about or self._own(telegram)
        if telegram.records:
            self._issued[event].append((head["serial"], about))
        stretches = {each["area_code"]: {**each, "reported_at": about} for each in telegram.records}
        newest = self._newest[event, about]
        withdrawn = {} if issued else {code: record for code, record in newest.items() if code not in stretches}
        over = {"op": "withdrawn"} | {name: head[name] for name in ("info_type", "title", "headline", "offices", "sent_at")}
        for record in (*stretches.values(), *({**record, **over} for record in withdrawn.values())):
            newest[record["area_code"]] = record
            yield self._numbered(record)

    def _own(self, telegram: Telegram) -> datetime:
        """When a bulletin was published, put behind those of the same stretches and minute that have another number."""
        head = telegram.head
        at: datetime = head["reported_at"]
        number = (head["event_id"], head["serial"])
        while True:
            places = [(head["status"], each["area_code"], at) for each in telegram.records]
            if all(self._numbers.setdefault(place, number) == number for place in places):
                return at
            at += _APART

    def _about(self, event: tuple[str, str, str], head: Mapping[str, Any]) -> datetime | None:
        """When the bulletin was published that a 訂正 or 取消 is about; None: there is none."""
        own, serial = head["reported_at"], head["serial"]
        near = [
            at for number, at in self._issued[event] if -_SECOND < own - at <= _CORRECTS_WITHIN and (serial is None or serial == number)
        ]
        return max(near, default=None)

    def _numbered(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record with its version; the same said again has the same one."""
        sent_at = record["sent_at"]
        contents = self._contents[record["status"], record["area_code"], record["reported_at"], sent_at]
        if record not in contents:
            contents.append(record)
        if len(contents) > _PLACES:
            raise JmaError(
                f"versions of {record['area']} that were sent in one second must be at most {_PLACES} (got more): take some away"
            )
        return {**record, "version": int(sent_at.timestamp()) * _PLACES + contents.index(record)}


# --- letters


def _dead(files: Sequence[_File], orphans: Mapping[str, str]) -> pl.DataFrame:
    """A letter for each file of which not all can be read, with the arrival of the file before it where its own is not known."""
    told = pl.DataFrame(
        {
            "source": [each.name for each in files],
            "place": [each.line for each in files],
            "reason": ["; ".join(filter(None, (each.reason, orphans.get(each.name)))) or None for each in files],
            "raw": [each.raw for each in files],
            "arrived": [each.sent_at for each in files],
        },
        schema={"source": pl.String, "place": pl.Int64, "reason": pl.String, "raw": pl.Binary, "arrived": UTC_MS},
    )
    timed = told.with_columns(
        pl.col("arrived").fill_null(strategy="forward").fill_null(strategy="backward").fill_null(pl.lit(_LONG_AGO, UTC_MS))
    )
    return framed_by_arrival(DEAD, timed.filter(pl.col("reason").is_not_null()), {"feed": pl.lit(BULLETINS)})

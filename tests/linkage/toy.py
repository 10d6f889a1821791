"""A small linkage made for the tests: a well stands over its limit, or is silent.

Feeds, builders of records with defaults, and the rule. Minutes are counted from 2024-05-28 00:00 UTC. Values may come an
hour late, limits two; a slot is ten minutes wide. A well is *over* while its newest value, at most 30 minutes old, reaches the
limit in force, and *silent* when its newest value is older than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from pipelines.linkage import CLOCK, Derive, Engine, Episode, Spoken, Start, Verdict, as_of, hours, minutes, past
from schemas.feeds import Feed, feed, parse

START = datetime(2024, 5, 28, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
EVERY_MS = 600_000
INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
OP = {"type": "enum", "name": "Op", "symbols": ["stated", "withdrawn"]}
VALUES, LIMITS, FACTS = "toy.value.v1", "toy.limit.v1", "toy.fact.v1"


def _declared(name: str, told: Mapping[str, Any], fields: Mapping[str, Any]) -> Feed:
    defaults = {"name": name, "key": "town", "version": "version", "place": None, "patience": "PT1H", "retention": "P1D"}
    schema = {"type": "record", "name": "Toy", "feed": defaults | told, "fields": [{"name": n, "type": t} for n, t in fields.items()]}
    return parse(schema)


VALUE = _declared(
    VALUES,
    {"identity": ["town", "well", "observed_at"], "time": "observed_at"},
    {"town": "string", "well": "string", "observed_at": INSTANT, "version": "long", "op": OP, "value": ["null", "double"]},
)
LIMIT = _declared(
    LIMITS,
    {"identity": ["town", "well", "valid_from"], "time": "valid_from", "patience": "PT2H"},
    {
        "town": "string",
        "well": "string",
        "valid_from": INSTANT,
        "version": "long",
        "op": OP,
        "valid_until": ["null", INSTANT],
        "limit": "double",
    },
)
POSITION = {
    "type": "record",
    "name": "Position",
    "fields": [{"name": "feed", "type": "string"}, {"name": "partition", "type": "int"}, {"name": "offset", "type": "long"}],
}
FACT = _declared(
    FACTS,
    {"identity": ["id"], "key": "id", "time": "time", "version": "revision", "envelope": ["revision", "instead_of", "basis", "said_at"]},
    {
        "id": "string", "revision": "int", "state": "string", "well": "string", "onset": INSTANT, "ended_at": ["null", INSTANT],
        "time": INSTANT, "value": ["null", "double"], "instead_of": ["null", "string"], "basis": {"type": "array", "items": POSITION},
        "said_at": INSTANT,
    },
)  # fmt: skip
FEEDS = {VALUES: VALUE, LIMITS: LIMIT, FACTS: FACT, CLOCK: feed(CLOCK)}


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def slot(minute: float) -> int:
    """The slot that ends at or after a minute."""
    return -int(-(START_MS + minute * 60_000) // EVERY_MS)


def reading(
    well: str, minute: float, value: float | None = 1.0, *, arrived: float | None = None, version: int = 1, op: str = "stated"
) -> dict[str, Any]:
    """A value of a well; it arrives two minutes after it was taken."""
    return {
        "town": "t", "well": well, "observed_at": at(minute), "version": version, "op": op, "value": value,
        "arrived": at(minute + 2 if arrived is None else arrived),
    }  # fmt: skip


def limit(
    well: str,
    minute: float,
    height: float = 5.0,
    *,
    arrived: float | None = None,
    version: int = 1,
    op: str = "stated",
    until: float | None = None,
) -> dict[str, Any]:
    """What holds of a well from a minute on; it is known in advance."""
    return {
        "town": "t", "well": well, "valid_from": at(minute), "version": version, "op": op, "limit": height,
        "valid_until": None if until is None else at(until), "arrived": at(minute - 60 if arrived is None else arrived),
    }  # fmt: skip


def tick(minute: float) -> dict[str, Any]:
    return {"at": at(minute), "arrived": at(minute)}


def frame(of: Feed, records: Iterable[Mapping[str, Any]], offset: int = 0) -> pl.DataFrame:
    """Records with their places in partition 0."""
    rows = [{"partition": 0, "offset": offset + nth, **record} for nth, record in enumerate(records)]
    return pl.DataFrame(rows, schema=of.frame_schema)


def feed_of(record: Mapping[str, Any]) -> str:
    return next(name for name, field in ((CLOCK, "at"), (VALUES, "value"), (LIMITS, "limit")) if field in record)


class Log:
    """Gives each record the next offset of its feed."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def batch(self, *records: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
        out = {}
        for name in dict.fromkeys(map(feed_of, records)):
            mine = [each for each in records if feed_of(each) == name]
            out[name] = frame(FEEDS[name], mine, self._next.get(name, 0))
            self._next[name] = self._next.get(name, 0) + len(mine)
        return out


class Overs:
    """The rule: over its limit, or silent."""

    name, version = "toy", "1"
    subjects = ("over", "silent")
    least = (timedelta(minutes=10), timedelta(0))
    lookback = timedelta(minutes=10)
    renewal = hours(1)
    renewed: tuple[bool, ...] = (True, True)
    bridge = minutes(30)
    weights: Mapping[str, Any] = {"value": (np.float64, np.nan, ()), "silent": (bool, True, ()), "over": (bool, False, ())}

    def ground(self, keys: Sequence[Any], tables: Mapping[str, Any], every_ms: int) -> Any:
        known = [tables["limits"].get(key) for key in keys]
        return np.array([np.nan if each is None else each["limit"] for each in known])

    def weigh(self, ground: Any, past: Any, slots: range) -> Mapping[str, Any]:
        last = past.slots.window("last", slots.start, slots.stop)
        base = slots.start - 3
        silent = last < np.arange(base, slots.stop - 3)[:, None]
        values = past.slots.window("value", base, slots.stop)
        value = np.where(silent, np.nan, np.take_along_axis(values, np.clip(last - base, 0, len(values) - 1), 0))
        return {"value": value, "silent": silent, "over": value >= ground}

    def judge(self, ground: Any, past: Any, weighed: Any, slots: range) -> Verdict:
        over, silent = (weighed.window(name, slots.start, slots.stop) for name in ("over", "silent"))
        opens = np.stack([over, silent], axis=-1)
        closes = np.stack([~over & ~silent, ~silent], axis=-1)
        return Verdict(opens=opens, closes=closes, void=np.broadcast_to(np.isnan(ground)[None, :, None], opens.shape))

    def content(self, ground: Any, weighed: Any, slot: int, row: Any, subject: Any) -> Any:
        value = np.nan_to_num(weighed.window("value", slot, slot + 1)[0][row], nan=-1)
        return np.where(subject == 0, np.floor(value), 0).astype(np.int64)

    def wake(self, ground: Any, past: Any, slot: int) -> int:
        falls = past.slots.window("last", slot, slot + 1)[0] + 4
        ahead = falls[falls > slot]
        return int(ahead.min()) if ahead.size else slot + 2**20

    def ends(self, weighed: Any, slot: int, row: Any, subject: Any) -> Any:
        return np.full(len(row), slot + 2**20)

    def first(self, state: str) -> str:
        return state

    def later(self, state: str) -> str:
        return state

    def withdraw(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return dict(row)

    def tell(self, grounds: Callable[[int], Any], past: Any, weighed: Any, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
        return [self._told(past, weighed, each) for each in episodes]

    def _told(self, past: Any, weighed: Any, each: Episode) -> dict[str, Any]:
        ended = each.ended_ms is not None
        value = float(weighed.window("value", each.slot, each.slot + 1)[0, each.row])
        return {
            "id": each.id, "state": "cleared" if ended else self.subjects[each.subject], "well": past.keys[each.row][1],
            "onset": _utc(each.onset_ms), "ended_at": _utc(each.ended_ms) if ended else None,
            "time": _utc(each.onset_ms if each.subject and not ended else each.slot * EVERY_MS),
            "value": None if each.subject or np.isnan(value) else value,
        }  # fmt: skip


def _utc(time_ms: int | None) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms or 0)


def declared(rule: Any = None, **changes: Any) -> Derive:
    """The toy linkage; ``changes`` replace parts of its declaration."""
    given = {"values": past(VALUES, value="value", reach=hours(3), every=minutes(10)), "limits": as_of(LIMITS, read="all")}
    parts = {"name": "toy", "says": FACTS, "together_by": "town", "for_each": LIMITS, "given": given, "rule": rule or Overs()}
    return Derive(**parts | changes)


class Town:
    """An engine of the toy linkage, and all that it has said."""

    def __init__(self, rule: Any = None, start: Start | None = None, log: Log | None = None) -> None:
        self.engine = Engine(declared(rule), FEEDS, start)
        self.log = log or Log()
        self.said: list[dict[str, Any]] = []

    def step(self, *records: Mapping[str, Any], unread: Mapping[str, datetime] | None = None) -> Spoken:
        spoken = self.engine.step(self.log.batch(*records), unread)
        self.said += [] if spoken.facts is None else spoken.facts.to_dicts()
        return spoken

    def hears(self, *records: Mapping[str, Any]) -> list[str]:
        """One step; what it said, each fact in a word: ``a over@10 r1 value 7.0``."""
        spoken = self.step(*records)
        return [] if spoken.facts is None else [told(each) for each in spoken.facts.iter_rows(named=True)]

    def facts(self) -> pl.DataFrame:
        return pl.DataFrame(self.said, schema=FACT.columns)

    def standing(self) -> set[str]:
        """The latest revisions that are not withdrawn, without their envelope."""
        newest = {each["id"]: each for each in self.said}
        return {told(each | {"revision": 0, "instead_of": None}) for each in newest.values() if each["state"] != "withdrawn"}


def told(fact: Mapping[str, Any]) -> str:
    subject = fact["id"].split("/")[2]
    onset = (fact["onset"] - START) // timedelta(minutes=1)
    words = [f"{fact['well']} {subject}@{onset} r{fact['revision']}"]
    if fact["state"] != subject:
        words.append(fact["state"])
    if fact["ended_at"] is not None and fact["state"] == "cleared":
        words.append(f"at {(fact['ended_at'] - START) // timedelta(minutes=1)}")
    if fact["value"] is not None:
        words.append(f"value {fact['value']}")
    if fact["instead_of"] is not None:
        words.append(
            f"instead of {(datetime.strptime(fact['instead_of'][-14:] + '+0000', '%Y%m%dT%H%MZ%z') - START) // timedelta(minutes=1)}"
        )
    return " ".join(words)

"""A small match made for the tests: calls and answers near each other, in two towns.

Feeds, builders of records with defaults, the answer by brute force, and a run that is cut and killed anywhere. Seconds are
counted from 2024-05-28 00:00 UTC, metres from a crossing in Fukui. Calls may come an hour late, answers two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import Any

import numpy as np
import polars as pl

from pipelines.linkage import AHEAD, CLOCK, Engine, Match, Records, Start, records
from pipelines.linkage.space import geodesic_m
from schemas.feeds import Feed, feed, parse
from tests.linkage.toy import INSTANT, OP, POSITION

START = datetime(2024, 5, 28, tzinfo=UTC)
PLACE = (36.0631, 136.2114)
CALLS, ANSWERS, PAIRS = "near.call.v1", "near.answer.v1", "near.pair.v1"
HOUR_S = 3600
PATIENCE_S = {CALLS: HOUR_S, ANSWERS: 2 * HOUR_S}

_SAID = {"town": "string", "name": "string", "at": INSTANT, "version": "long", "op": OP}
_WHAT = {"lat_deg": ["null", "double"], "lon_deg": ["null", "double"], "kind": ["null", "string"], "band": ["null", "string"]}
_TOLD = {"identity": ["town", "name", "at"], "key": "town", "time": "at", "version": "version", "place": ["lat_deg", "lon_deg"]}
_RECORD = {"feed": "string", "name": ["null", "string"], "time": ["null", INSTANT], "version": ["null", "long"]}


def declared(name: str, told: Mapping[str, Any], fields: Mapping[str, Any]) -> Feed:
    """A feed as its schema file would tell of it."""
    whole = {"name": name, "retention": "P1D"} | told
    return parse({"type": "record", "name": "Near", "feed": whole, "fields": [{"name": n, "type": t} for n, t in fields.items()]})


def _nested(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


FACTS = {"identity": ["id"], "key": "id", "time": "time", "version": "revision", "place": None, "patience": "PT0S"}
BASIS = {"type": "array", "items": POSITION}
FEEDS = {
    CALLS: declared(CALLS, _TOLD | {"patience": "PT1H"}, _SAID | _WHAT),
    ANSWERS: declared(ANSWERS, _TOLD | {"patience": "PT2H"}, _SAID | _WHAT | {"valid_until": ["null", INSTANT]}),
    PAIRS: declared(
        PAIRS,
        FACTS | {"envelope": ["revision", "basis", "said_at"]},
        {
            "id": "string", "revision": "int", "state": "string", "town": "string", "time": INSTANT, "distance_m": ["null", "double"],
            "lag_s": ["null", "double"], "because": _nested("Because", {"left": _nested("L", _RECORD), "right": _nested("R", _RECORD)}),
            "rule": "string", "basis": BASIS, "said_at": INSTANT,
        },
    ),
    CLOCK: feed(CLOCK),
}  # fmt: skip

Record = dict[str, Any]


def at(second: float) -> datetime:
    return START + timedelta(milliseconds=round(second * 1000))


def place(north_m: float, east_m: float = 0.0) -> tuple[float, float]:
    """So many metres north and east of the crossing, nearly."""
    return PLACE[0] + north_m / 110_970, PLACE[1] + east_m / 90_090


def call(
    name: str, second: float = 0, *, at_m: float = 0, arrived: float | None = None, of: str = CALLS, version: int = 1, **changes: Any
) -> Record:
    """A call, so many metres north of the crossing; it arrives at once. ``of``: its feed."""
    lat, lon = place(at_m)
    said = {"town": "t", "name": name, "at": at(second), "version": version, "op": "stated"}
    what = {"lat_deg": lat, "lon_deg": lon, "kind": "call", "band": "a", "valid_until": None}
    return {"feed": of, "arrived": at(second if arrived is None else arrived)} | said | what | changes


def answer(name: str, second: float = 0, **changes: Any) -> Record:
    """An answer; otherwise the same."""
    return call(name, second, **({"of": ANSWERS, "kind": "answer"} | changes))


def tick(second: float) -> Record:
    return {"feed": CLOCK, "at": at(second), "arrived": at(second)}


def match(left: Records | None = None, right: Records | None = None, **changes: Any) -> Match:
    """Calls and answers within 100 m and ten minutes; ``changes`` replace parts of the declaration."""
    parts = {"name": "near", "says": PAIRS, "together_by": "town", "within": timedelta(minutes=10), "within_m": 100.0, "rule": "near 1"}
    return Match(**parts | {"left": left or records(CALLS), "right": right or records(ANSWERS)} | changes)


# --- by brute force ----------------------------------------------------------------------------------------------


def newest(of: str, side: Records, arrivals: Iterable[Record]) -> list[Record]:
    """The records of one side that stand, each identity by its highest version, told one by one."""
    held: dict[Any, Record] = {}
    for each in arrivals:
        late = each["arrived"] - each["at"] > timedelta(seconds=PATIENCE_S.get(each["feed"], 0))
        if each["feed"] != of or late:
            continue
        identity = each["town"], each["name"], each["at"]
        if identity not in held or each["version"] > held[identity]["version"]:
            held[identity] = each
    return [each for each in held.values() if each["op"] == "stated" and all(each[field] in values for field, values in side.where.items())]


def metres(one: Record, other: Record) -> float:
    places = [np.array([each[field]], np.float64) for each in (one, other) for field in ("lat_deg", "lon_deg")]
    return float(geodesic_m(*places)[0])


def together(linkage: Match, one: Record, other: Record) -> bool:
    """Whether a left and a right record are a pair."""
    if one["town"] != other["town"] or any(one[field] is None or one[field] != other[field] for field in linkage.same):
        return False
    if linkage.left.feed == linkage.right.feed and (one["name"], one["at"]) == (other["name"], other["at"]):
        return False
    later = other["at"] - one["at"]
    if linkage.valid == "right":
        until = other["valid_until"] if linkage.right.feed == ANSWERS else None
        if not -linkage.within <= later <= timedelta(0) or (until is not None and one["at"] >= until):
            return False
    elif abs(later) > linkage.within:
        return False
    if linkage.within_m is None:
        return True
    placed = all(each[field] is not None for each in (one, other) for field in ("lat_deg", "lon_deg"))
    return placed and metres(one, other) <= linkage.within_m


def named(each: Record) -> str:
    return f"{each['name']}@{round(each['at'].timestamp() * 1000)}"


def by_brute_force(linkage: Match, arrivals: Sequence[Record], line: datetime | None) -> dict[str, str]:
    """Id → what stands: versions of both, distance and lag; and who is alone by then. Every record asked about every other."""
    out = {}
    lefts, rights = newest(linkage.left.feed, linkage.left, arrivals), newest(linkage.right.feed, linkage.right, arrivals)
    paired = set()
    for one, other in product(lefts, rights):
        if together(linkage, one, other):
            paired.add((one["town"], named(one)))
            apart = None if linkage.within_m is None else round(metres(one, other), 1)
            lag = (other["at"] - one["at"]).total_seconds()
            out[f"{one['town']}/{named(one)}/{named(other)}"] = f"paired v{one['version']} v{other['version']} {apart} m {lag} s"
    until = timedelta(0) if linkage.valid == "right" else linkage.within
    for one in lefts if linkage.alone == "said" and line is not None else []:
        if (one["town"], named(one)) not in paired and one["at"] + until < line:
            out[f"{one['town']}/{named(one)}/alone"] = f"alone v{one['version']} vNone None m None s"
    return out


# --- a run -------------------------------------------------------------------------------------------------------


def told(fact: Mapping[str, Any]) -> str:
    """A fact in a few words, without its id and revision."""
    left, right = fact["because"]["left"], fact["because"]["right"]
    apart = None if fact["distance_m"] is None else round(fact["distance_m"], 1)
    return f"{fact['state']} v{left['version']} v{right['version']} {apart} m {fact['lag_s']} s"


class Run:
    """An engine over recorded arrivals: it reads them feed by feed as it likes, and can be killed and started again."""

    def __init__(self, linkage: Any, arrivals: Iterable[Record], feeds: Mapping[str, Feed] = FEEDS) -> None:
        self.linkage, self.feeds = linkage, feeds
        self.logs: dict[str, list[Record]] = {name: [] for name in linkage.feeds}
        for each in sorted(arrivals, key=lambda each: each["arrived"]):
            self.logs[each["feed"]].append(each)
        self.read = dict.fromkeys(self.logs, 0)
        self.engine = Engine(linkage, feeds)
        self.said: list[dict[str, Any]] = []

    def step(self, **counts: int) -> pl.DataFrame | None:
        """Reads so many records more of each feed, by the feed's second name (``near.call.v1``: call); nothing is noted as said."""
        batch = {}
        for name, log in self.logs.items():
            begin, count = self.read[name], counts.get(name.split(".")[-2], 0)
            if count:
                batch[name] = frame_of(self.feeds[name], log[begin : begin + count], begin)
            self.read[name] = min(begin + count, len(log))
        return self.engine.step(batch, self.unread()).facts

    def say(self, facts: pl.DataFrame | None) -> list[dict[str, Any]]:
        rows = [] if facts is None else facts.to_dicts()
        self.said += rows
        return rows

    def unread(self) -> dict[str, datetime]:
        return {name: log[self.read[name]]["arrived"] for name, log in self.logs.items() if self.read[name] < len(log)}

    def heard(self) -> list[Record]:
        return [each for name, log in self.logs.items() for each in log[: self.read[name]]]

    def line_at(self, read: Mapping[str, int]) -> datetime | None:
        """The line that follows from how far each feed was read: the last tick and what is unread, less patience."""
        ticks = [each["at"] for each in self.logs[CLOCK][: read[CLOCK]]]
        unread = [log[read[name]]["arrived"] for name, log in self.logs.items() if read[name] < len(log)]
        return min([max(ticks), *unread]) - max(self.feeds[name].patience for name in self.linkage.feeds) if ticks else None

    def start_again(self, committed: Mapping[str, int], line: datetime | None) -> None:
        """A successor: what was said, what arrived since line − reach as far as anybody had read who spoke."""
        line = max(filter(None, [line, self.line_at(committed)]), default=None)
        said = pl.DataFrame(self.said, schema=self.feeds[self.linkage.says].columns)
        self.read = dict(committed)
        for each in (place for row in self.said for place in row["basis"]):
            self.read[each["feed"]] = max(self.read[each["feed"]], each["offset"] + 1)
        self.engine = Engine(self.linkage, self.feeds, Start(line=line, said=said))
        for name, log in self.logs.items():
            since = None if line is None or name == CLOCK else line - self.linkage.reach - AHEAD
            first = next((nth for nth, each in enumerate(log) if since is None or each["arrived"] >= since), len(log))
            if first < self.read[name]:
                self.engine.recall({name: frame_of(self.feeds[name], log[first : self.read[name]], first)})
        self.say(self.engine.step({}, self.unread()).facts)

    def to_the_end(self, g: Random, *, kill: float = 0.0) -> None:
        """Any batches, any interleaving of the feeds, killed before or after anything is said, or when half is."""
        committed, line = dict(self.read), self.engine.line
        while any(committed[name] < len(log) for name, log in self.logs.items()):
            ready = [name for name, log in self.logs.items() if self.read[name] < len(log)]
            chosen = g.sample(ready, g.randint(1, len(ready))) if ready else []
            facts = self.step(**{name.split(".")[-2]: g.choice([1, 3, 20]) for name in chosen})
            dies = g.choice(["unsaid", "half said", "uncommitted", "committed"]) if g.random() < kill else ""
            if facts is not None and dies != "unsaid":
                self.say(facts.head(facts.height // 2) if dies == "half said" else facts)
            if dies in {"", "committed"}:
                committed, line = dict(self.read), self.engine.line
            if dies:
                self.start_again(committed, line)
            self.watch()

    def watch(self) -> None:
        """What must hold after each step; tests put their own here."""

    def standing(self) -> dict[str, str]:
        """Id → what stands, in a few words."""
        last = {row["id"]: row for row in self.said}
        return {id_: told(row) for id_, row in last.items() if row["state"] != "withdrawn"}

    def revisions(self) -> dict[str, list[int]]:
        out: dict[str, list[int]] = {}
        for row in self.said:
            out.setdefault(row["id"], []).append(row["revision"])
        return out


def frame_of(of: Feed, rows: Sequence[Record], offset: int) -> pl.DataFrame:
    """Records of a feed with their places in partition 0."""
    schema = of.frame_schema
    placed = [{"partition": 0, "offset": offset + nth} | row for nth, row in enumerate(rows)]
    return pl.DataFrame([{field: row[field] for field in schema} for row in placed], schema=schema)

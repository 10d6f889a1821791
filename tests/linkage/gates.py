"""A small tally made for the tests: how often vehicles passed a gate in an hour, at most two of each counted.

Feeds, builders of records with defaults, rules, and the answer told record by record. Seconds are counted from 2024-05-28
00:00 UTC, nine in the morning in Japan. Passes may come two hours late, caps one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from pipelines.linkage import CLOCK, Tally, as_of, records
from schemas.feeds import feed
from tests.linkage.near import BASIS, FACTS, Record, Run, at, declared
from tests.linkage.toy import INSTANT, OP

PASSES, CAPS, COUNTS = "gate.pass.v1", "gate.cap.v1", "gate.count.v1"
HOUR_S, HOUR = 3600, timedelta(hours=1)
PATIENCE = timedelta(hours=2)

FEEDS = {
    PASSES: declared(
        PASSES,
        {"identity": ["town", "name", "at"], "key": "town", "time": "at", "version": "version", "place": None, "patience": "PT2H"},
        {"town": "string", "name": "string", "at": INSTANT, "version": "long", "op": OP, "gate": ["null", "string"], "vehicle": "string"},
    ),
    CAPS: declared(
        CAPS,
        {"identity": ["town", "valid_from"], "key": "town", "time": "valid_from", "version": None, "place": None, "patience": "PT1H"},
        {"town": "string", "valid_from": INSTANT, "most": "long"},
    ),
    COUNTS: declared(
        COUNTS,
        FACTS | {"envelope": ["revision", "instead_of", "basis", "said_at"]},
        {
            "id": "string", "revision": "int", "state": "string", "town": "string", "time": INSTANT, "ended_at": ["null", INSTANT],
            "passes": "long", "capped": "long", "instead_of": ["null", "string"], "basis": BASIS, "said_at": INSTANT,
        },
    ),
    CLOCK: feed(CLOCK),
}  # fmt: skip
_VALUES = [name for name in FEEDS[COUNTS].columns if name not in FEEDS[COUNTS].envelope]


def passing(
    name: str,
    second: float = 0,
    *,
    gate: str | None = "a",
    vehicle: str = "v",
    arrived: float | None = None,
    version: int = 1,
    op: str = "stated",
) -> Record:
    """A vehicle passes a gate; word of it arrives at once."""
    said = {"town": "t", "name": name, "at": at(second), "version": version, "op": op}
    return {"feed": PASSES, "arrived": at(second if arrived is None else arrived), "gate": gate, "vehicle": vehicle} | said


def cap(most: int, second: float, *, arrived: float) -> Record:
    """From then on so many of each vehicle count."""
    return {"feed": CAPS, "town": "t", "valid_from": at(second), "most": most, "arrived": at(arrived)}


class Hourly:
    """Each gate and window, an hour wide unless told otherwise: a tally by vehicle, and a tally of that."""

    name, version = "hourly", "1"

    def __init__(self, window: timedelta = HOUR) -> None:
        self.window = window

    def fold(self, past: Mapping[str, pl.DataFrame], tables: Callable[[datetime], Mapping[str, Any]], at: datetime) -> pl.DataFrame:
        caps = tables(at)["caps"]
        most = caps[("t",)]["most"] if caps else 2
        begin = pl.col("at").dt.truncate(self.window).alias("begin")
        seen = past["passes"].drop_nulls("gate").group_by("town", "gate", "vehicle", begin)
        of_each = seen.agg(pl.len().alias("passes"), pl.col("at").max())
        capped = pl.min_horizontal("passes", pl.lit(most)).sum().alias("capped")
        whole = of_each.group_by("town", "gate", "begin").agg(pl.col("passes").sum(), capped, pl.col("at").max().alias("time"))
        hour = pl.concat_str("town", "gate", pl.col("begin").dt.strftime("%dT%H"), separator="/")
        return facts(whole, id=hour, ended_at=pl.col("begin") + self.window)


class SinceFirst:
    """Each gate since its first pass, and open until there are five: an earlier pass moves the onset, and so the id."""

    name, version = "since first", "1"

    def fold(self, past: Mapping[str, pl.DataFrame], tables: Callable[[datetime], Mapping[str, Any]], at: datetime) -> pl.DataFrame:
        seen = past["passes"].drop_nulls("gate").group_by("town", "gate").agg(
            pl.col("at").min().alias("first"), pl.col("at").max().alias("time"), pl.len().alias("passes"), pl.len().alias("capped")
        )  # fmt: skip
        closed = pl.when(pl.col("passes") >= 5).then(pl.col("first") + timedelta(minutes=1))
        return facts(seen, id=pl.concat_str("town", "gate", pl.col("first").dt.strftime("%dT%H%M"), separator="/"), ended_at=closed)


def facts(frame: pl.DataFrame, **values: pl.Expr) -> pl.DataFrame:
    """The fields of the feed of counts, in its types."""
    columns = FEEDS[COUNTS].columns
    told = frame.with_columns(pl.lit("counted").alias("state"), **values)
    return told.select(pl.col(name).cast(columns[name]) for name in _VALUES)


def tally(rule: Any = None, *, every: timedelta = HOUR, reach: timedelta = HOUR, where: Any = None) -> Tally:
    """Passes by gate and hour; ``reach`` is the window of the rule."""
    given = {"passes": records(PASSES, reach=reach, where=where), "caps": as_of(CAPS, read="all")}
    return Tally(name="gates", says=COUNTS, together_by="town", given=given, every=every, rule=rule or Hourly())


def span_began(linkage: Tally, time: datetime) -> datetime:
    """When the span began in which a time lies: spans are counted from midnight in Japan, nine hours ahead."""
    midnight = datetime.combine(time.date(), datetime.min.time(), time.tzinfo) - timedelta(hours=9)
    return midnight + (time - midnight) // linkage.every * linkage.every


def by_hand(arrivals: Iterable[Record], until: datetime, window: timedelta = HOUR, most: int = 2) -> dict[str, str]:
    """Id → count of what had arrived by then, told record by record."""
    newest: dict[Any, Record] = {}
    for each in arrivals:
        if each["feed"] == PASSES and each["arrived"] < until and each["arrived"] - each["at"] <= PATIENCE:
            identity = each["name"], each["at"]
            if identity not in newest or each["version"] > newest[identity]["version"]:
                newest[identity] = each
    stand = [each for each in newest.values() if each["op"] == "stated" and each["gate"] is not None]
    begun = [at(0) + (each["at"] - at(0)) // window * window for each in stand]
    of_each = Counter((each["gate"], begin, each["vehicle"]) for each, begin in zip(stand, begun, strict=True))
    out: Counter[str] = Counter()
    capped: Counter[str] = Counter()
    for (gate, begin, _), count in of_each.items():
        out[f"t/{gate}/{begin:%dT%H}"] += count
        capped[f"t/{gate}/{begin:%dT%H}"] += min(count, most)
    return {id_: f"{count} passes, {capped[id_]} counted" for id_, count in out.items()}


class Gates(Run):
    """A run of the tally."""

    def __init__(self, arrivals: Iterable[Record], linkage: Tally | None = None) -> None:
        super().__init__(linkage or tally(), arrivals, FEEDS)

    def standing(self) -> dict[str, str]:
        last = {row["id"]: row for row in self.said}
        return {id_: f"{row['passes']} passes, {row['capped']} counted" for id_, row in last.items() if row["state"] != "withdrawn"}

    def folded(self) -> datetime | None:
        """When the span began in which the last tick lies."""
        ticks = self.logs[CLOCK][: self.read[CLOCK]]
        return span_began(self.linkage, max(each["at"] for each in ticks)) if ticks else None

    def says(self, **counts: int) -> list[str]:
        """One step; what it said, each fact in a few words: ``a/28T00 r1 2 passes``."""
        rows = self.say(self.step(**{name.removesuffix("es") if name == "passes" else name: count for name, count in counts.items()}))
        return [_word(row) for row in rows]


def _word(row: Mapping[str, Any]) -> str:
    what = "withdrawn" if row["state"] == "withdrawn" else f"{row['passes']} passes, {row['capped']} counted"
    other = "" if row["instead_of"] is None else f", instead of {row['instead_of'][2:]}"
    return f"{row['id'][2:]} r{row['revision']} {what}{other}"

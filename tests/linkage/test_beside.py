"""A derive that reads a second past beside the one that it folds along: a well is over when the rain of the last full hour lifts it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipelines.linkage import CLOCK, DeclarationError, Derive, Engine, Start, as_of, hours, minutes, past
from tests.linkage.toy import FACTS, FEEDS, LIMITS, OP, VALUES, Overs, _declared, at, frame, limit, reading, tick, told

RAIN = "toy.rain.v1"
INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
WET = _declared(
    RAIN,
    {"identity": ["sky", "station", "ends_at"], "time": "ends_at", "key": "sky", "patience": "PT1H"},
    {"sky": "string", "station": "string", "ends_at": INSTANT, "version": "long", "op": OP, "fell": ["null", "double"]},
)
HOUR = 60
ALL = {**FEEDS, RAIN: WET}


class Soaked(Overs):
    """Over, where the value and the most that fell in the last full hour reach the limit together."""

    def weigh(self, ground: Any, past: Any, slots: range) -> Mapping[str, Any]:
        weights = super().weigh(ground, past, slots)
        return {**weights, "over": weights["value"] + self._fell(past, slots)[:, None] >= ground}

    @staticmethod
    def _fell(past: Any, slots: range) -> Any:
        rain = past.beside["rain"]
        ended = np.arange(slots.start, slots.stop) * past.every_ms // rain.every_ms
        held = rain.slots.window("value", int(ended[0]), int(ended[-1]) + 1)
        most = np.fmax.reduce(np.nan_to_num(held), axis=1, initial=0.0)
        return most[ended - ended[0]]

    def wake(self, ground: Any, past: Any, slot: int) -> int:
        rain = past.beside["rain"]
        hour = slot * past.every_ms // rain.every_ms + 1
        return min(super().wake(ground, past, slot), hour * rain.every_ms // past.every_ms)


def rain(
    station: str, minute: float, fell: float | None, *, arrived: float | None = None, version: int = 1, op: str = "stated"
) -> dict[str, Any]:
    """What fell in the hour that ends at a minute; it arrives twenty minutes later."""
    return {
        "sky": "s", "station": station, "ends_at": at(minute), "version": version, "op": op, "fell": fell,
        "arrived": at(minute + 20 if arrived is None else arrived),
    }  # fmt: skip


def declared(**changes: Any) -> Derive:
    given = {
        "values": past(VALUES, value="value", reach=hours(3), every=minutes(10)),
        "rain": past(RAIN, value="fell", reach=hours(2), every=hours(1), read="all"),
        "limits": as_of(LIMITS, read="all"),
    }
    parts = {"name": "toy", "says": FACTS, "together_by": "town", "for_each": LIMITS, "given": given, "rule": Soaked()}
    return Derive(**parts | changes)


SOAKED = declared()
Record = dict[str, Any]


def name_of(record: Record) -> str:
    return next(name for name, field in ((CLOCK, "at"), (VALUES, "value"), (LIMITS, "limit"), (RAIN, "fell")) if field in record)


def logs(records: Sequence[Record]) -> dict[str, pl.DataFrame]:
    """Each feed in order of arrival."""
    names = (CLOCK, VALUES, LIMITS, RAIN)
    ordered = sorted(records, key=lambda each: each["arrived"])
    return {name: frame(ALL[name], [each for each in ordered if name_of(each) == name]) for name in names}


def said(records: Sequence[Record], edges: Sequence[float], start: tuple[float, Sequence[Record]] | None = None) -> list[dict[str, Any]]:
    """What is said, stepped through all records with batches that end at these minutes of arrival."""
    running, out, done = Engine(SOAKED, ALL), [], at(-1e6)
    for edge in edges:
        batch = {name: log.filter(pl.col("arrived").is_between(done, at(edge), closed="right")) for name, log in logs(records).items()}
        out += running.step(batch).rows
        done = at(edge)
    return out


def standing(facts: Sequence[dict[str, Any]]) -> set[str]:
    newest = {each["id"]: each for each in facts}
    return {told(each | {"revision": 0, "instead_of": None}) for each in newest.values() if each["state"] != "withdrawn"}


CALM = [limit("a", -600), *(reading("a", minute, 2.0) for minute in range(0, 300, 10)), *(tick(minute) for minute in range(0, 310, 10))]


def test_what_fell_beside_lifts_from_the_end_of_its_hour_on_and_no_earlier() -> None:
    facts = said([*CALM, rain("x", 2 * HOUR, 4.0), rain("x", 3 * HOUR, 0.0)], range(0, 310, 10))
    assert [told(each) for each in facts if "over" in each["id"]] == ["a over@120 r1 value 2.0", "a over@120 r2 cleared at 180 value 2.0"]


def test_silence_beside_is_dry_from_the_end_of_the_next_hour_on() -> None:
    facts = said([*CALM, rain("x", 2 * HOUR, 4.0)], range(0, 310, 10))
    (cleared,) = [each for each in facts if each["state"] == "cleared" and "over" in each["id"]]
    assert cleared["ended_at"] == at(180)


def test_what_comes_late_beside_changes_what_was_said_and_what_is_withdrawn_takes_it_back() -> None:
    late = rain("x", 2 * HOUR, 4.0, arrived=175)
    assert "a over@120 r0 cleared at 180 value 2.0" in standing(said([*CALM, late], range(0, 310, 10)))
    gone = late | {"version": 2, "op": "withdrawn", "arrived": at(178)}
    assert standing(said([*CALM, late, gone], range(0, 310, 10))) == standing(said(CALM, range(0, 310, 10)))


def drawn(seed: int) -> list[Record]:
    g = random.Random(seed)
    out = [limit(well, -600, g.uniform(3, 5)) for well in "ab"]
    for well in "ab":
        out += [reading(well, m, round(g.uniform(0, 4), 1), arrived=m + g.uniform(0, 59)) for m in range(0, 400, 10) if g.random() < 0.8]
    for station in "xyz":
        for minute in range(0, 420, HOUR):
            for version in range(1, g.choice([1, 2, 3])):
                op, fell = g.choice(["stated", "stated", "withdrawn"]), g.choice([None, round(g.uniform(0, 5), 1)])
                out.append(rain(station, minute, fell, version=version, op=op, arrived=minute + g.uniform(0, 59)))
    return out + [tick(minute) for minute in range(0, 520, 10)]


@pytest.mark.parametrize("seed", range(30))
def test_any_batches_and_a_start_in_between_come_to_the_same(seed: int) -> None:
    records, g = drawn(seed), random.Random(seed)
    whole = standing(said(records, [600]))
    assert standing(said(records, range(0, 530, 3))) == whole
    assert standing(said(records, [*sorted(g.sample(range(0, 520), 12)), 600])) == whole
    assert any("over" in each for each in whole)
    assert standing(started_again(records, g.randint(100, 400))) == whole


def started_again(records: Sequence[Record], minute: int) -> list[dict[str, Any]]:
    """Somebody works until a minute; another reads what arrived since line − reach, and goes on."""
    every, first = logs(records), Engine(SOAKED, ALL)
    out = first.step({name: log.filter(pl.col("arrived") <= at(minute)) for name, log in every.items()}).rows
    start = Start(line=first.line, said=pl.DataFrame(out, schema=ALL[FACTS].columns))
    second = Engine(SOAKED, ALL, start)
    since = first.line - SOAKED.reach - timedelta(minutes=10) if first.line else at(-1e6)
    for name, log in every.items():
        old = log.filter(pl.col("arrived") <= at(minute))
        second.recall({name: old if name == LIMITS else old.filter(pl.col("arrived") >= since)})
    out += second.step({}).rows
    return out + second.step({name: log.filter(pl.col("arrived") > at(minute)) for name, log in every.items()}).rows


def test_what_is_held_beside_is_bounded_by_reach_and_patience_and_strangers_are_forgotten() -> None:
    running = Engine(SOAKED, ALL)
    most = 0
    for hour in range(60):
        minute = hour * HOUR
        records = [rain(f"stranger{hour}-{each}", minute, 1.0) for each in range(20)] + [tick(minute + 30), reading("a", minute, 1.0)]
        running.step({**logs(records), **({} if hour else {LIMITS: frame(ALL[LIMITS], [limit("a", -600)])})})
        most = max(most, running.held()["rain"])
    assert most <= 20 * 6
    assert len(running._fold.past.beside["rain"].keys) < 600  # type: ignore[attr-defined]


def test_a_worker_reads_all_of_what_is_read_beside() -> None:
    assert SOAKED.whole(RAIN)
    assert not SOAKED.whole(VALUES)
    assert SOAKED.observes == (VALUES, RAIN)


def test_what_is_read_beside_cannot_be_folded_along() -> None:
    rain = past(RAIN, value="fell", reach=hours(2), every=hours(1), read="all")
    with pytest.raises(DeclarationError) as fault:
        declared(given={"rain": rain, "limits": as_of(LIMITS)})
    assert str(fault.value) == "given of toy must begin with a past that is owned (got ['rain']): a derive folds along it"

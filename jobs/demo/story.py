"""Tells a flood in the terminal as it unfolded: who was told what, and how long before the water came."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import polars as pl

from jobs.demo.told import JST, LEVEL_NAMES, NOT_KNOWN, Entry, entries, lead_quartiles, newest_gauges

__all__ = ["tell"]

WIDTH = 96
_INDENT = " " * 17
_COLOURS = {"told": "33", "water": "1;34", "missed": "1;31", "late": "31", "ended": "2", "unknown": "2", "title": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Something that happened at an instant. ``rank`` orders what happened at once: first the water, then the word."""

    at: datetime
    rank: int
    tone: str
    text: tuple[str, ...]


def tell(
    *,
    notices: pl.DataFrame,
    levels: pl.DataFrame,
    gauges: pl.DataFrame,
    events: pl.DataFrame,
    judged: pl.DataFrame,
    colour: bool = False,
) -> Iterator[str]:
    """Tells the flood line by line, at most 96 columns wide, times in JST.

    Args:
        notices: all revisions of ``river.flood-notice.v1``.
        levels: ``river.level.v1`` of the days that are told.
        gauges: ``river.gauge.v1``.
        events: the table of events that the scorer gives.
        judged: its table of notices.
        colour: with terminal colours; only for a terminal.
    """
    told = entries(notices, gauges, events, judged)
    yield from _painted("title", _title(levels), colour)
    yield from _legend()
    happened = sorted(_happened(told, notices, gauges), key=lambda each: (each.at, each.rank))
    for day, lines in groupby(happened, key=lambda each: each.at.astimezone(JST).date()):
        yield ""
        yield from _painted("title", f"--- {day:%Y-%m-%d (%a)} ".ljust(WIDTH, "-"), colour)
        for line in lines:
            for text in line.text:
                yield from _painted(line.tone, text, colour)
    yield ""
    yield from _painted("title", "--- Summary ".ljust(WIDTH, "-"), colour)
    yield from _summary(told)


def _painted(tone: str, text: str, colour: bool) -> Iterator[str]:
    yield f"\x1b[{_COLOURS[tone]}m{text}\x1b[0m" if colour else text


# Head ---------------------------------------------------------------------------------------------------------


def _title(levels: pl.DataFrame) -> str:
    times = levels["observed_at"]
    if times.is_empty():
        return "早期注意 Early notices: no readings"
    first, last = (each.astimezone(JST) for each in (times.min(), times.max()))  # type: ignore[union-attr]
    return f"早期注意 Early notices, {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} JST, {levels['gauge_id'].n_unique()} gauges"


def _legend() -> Iterator[str]:
    yield "What towns would have been told from the readings as they arrived, and what the river then did."
    yield "  > told     the gauge will probably pass the level: now, chance within 3 h, expected time"
    yield "  ~ WATER    the gauge passed the level; told so long before, or MISSED"
    yield "  . ended    a notice ended to which no water came: in vain, or near (peak within 10 cm)"
    yield "  ? unknown  the gauge cannot be judged; this is no all-clear"
    yield "  Levels: " + ", ".join(f"{level} {japanese} {english}" for level, (japanese, english) in LEVEL_NAMES.items())


# What happened ------------------------------------------------------------------------------------------------


def _happened(told: list[Entry], notices: pl.DataFrame, gauges: pl.DataFrame) -> Iterator[Line]:
    said = set()
    for entry in told:
        if entry.crossed_at is not None:
            yield _water(entry, entry.crossed_at)
        if entry.said_at is not None and (entry.notice_id, entry.said_at) not in said:
            said.add((entry.notice_id, entry.said_at))
            yield _told(entry, entry.said_at)
        if entry.crossed_at is None and entry.over_at is not None and entry.outcome in ("in_vain", "near"):
            yield _ended(entry, entry.over_at)
    yield from _unknown(notices, gauges)


def _told(entry: Entry, at: datetime) -> Line:
    late = [_late(entry.late_min)] if entry.late_min is not None else []
    facts = _INDENT + "; ".join([*late, *_now(entry), *_chance(entry), *_eta(entry)])
    text = (_head(at, "> told", entry).rstrip(), facts.rstrip(), *_because(entry))
    return Line(at=at, rank=2, tone="late" if late else "told", text=text)


def _late(minutes: float) -> str:
    return f"{_span(minutes)} after the water" if minutes >= 1 else "as the water came"


def _because(entry: Entry) -> Iterator[str]:
    """The heaviest reading, if it is one of another gauge: that is what a town downstream could not have seen itself."""
    weighed = (entry.first.get("because") or {}).get("weighed_most") or []
    if weighed and weighed[0]["gauge_id"] != entry.gauge["gauge_id"]:
        heaviest = weighed[0]
        level = "" if heaviest["level_m"] is None else f" {heaviest['level_m']:.2f} m"
        yield _fit(f"{_INDENT}because of {entry.named(heaviest['gauge_id'])}:{level} at {_clock(heaviest['observed_at'])}", WIDTH).rstrip()


def _now(entry: Entry) -> Iterator[str]:
    observed = entry.first.get("observed_m")
    if observed is None:
        return
    yield f"now {observed:.2f} m" + (f", {_below(entry.threshold_m, observed)}" if entry.threshold_m is not None else "")


def _chance(entry: Entry) -> Iterator[str]:
    chance = entry.first.get("p_exceed")
    if chance is not None and chance < 1:
        yield f"{chance:.0%} within 3 h"


def _eta(entry: Entry) -> Iterator[str]:
    low, middle, high = (entry.first.get(f"eta_p{each}") for each in (10, 50, 90))
    if middle is not None:
        yield f"expected {_clock(middle)}" + (f" ({_clock(low)} to {_clock(high)})" if low and high else "")


def _water(entry: Entry, at: datetime) -> Line:
    if entry.outcome == "in_time":
        return Line(at=at, rank=1, tone="water", text=(_head(at, "~ WATER", entry) + f"  told {_span(entry.lead_min)} before",))
    word = "not told yet" if entry.outcome == "late" else "MISSED, nobody told"
    return Line(at=at, rank=1, tone="missed", text=(_head(at, "~ WATER", entry) + f"  {word}",))


def _ended(entry: Entry, at: datetime) -> Line:
    word = "near" if entry.outcome == "near" else "in vain"
    peak = [] if entry.peak_m is None or entry.threshold_m is None else [f"peak {_below(entry.threshold_m, entry.peak_m)}"]
    lasted = [] if entry.hours is None else [f"stood {_span(entry.hours * 60)}"]
    return Line(at=at, rank=3, tone="ended", text=(_head(at, f". {word}", entry).rstrip(), _INDENT + "; ".join([*peak, *lasted])))


def _unknown(notices: pl.DataFrame, gauges: pl.DataFrame) -> Iterator[Line]:
    """Gauges that could no longer be judged, those of one moment and one state in one line."""
    known = newest_gauges(gauges)
    begun = notices.filter(pl.col("state").is_in(list(NOT_KNOWN))).sort("id", "revision").unique("id", keep="first", maintain_order=True)
    for (at, state), rows in sorted(begun.partition_by("said_at", "state", as_dict=True).items()):
        names = [str(known[each]["name"]) for each in rows["gauge_id"]]
        japanese, english = NOT_KNOWN[state]
        text = f"{_clock(at)}  {_fit('? unknown', 9)} {japanese} {english}: {_some(names)}"
        yield Line(at=at, rank=4, tone="unknown", text=(_fit(text, WIDTH).rstrip(),))


def _some(names: list[str], most: int = 2) -> str:
    return "、".join(names) if len(names) <= most else f"{len(names)} gauges, {'、'.join(names[:most])} …"


# Words and columns --------------------------------------------------------------------------------------------


def _head(at: datetime, mark: str, entry: Entry) -> str:
    japanese, english = LEVEL_NAMES[entry.level]
    place = _fit(f"{entry.gauge['river']} {entry.gauge['name']}", 22)
    level = _fit(f"{entry.level} {japanese} {english}", 22)
    return f"{_clock(at)}  {_fit(mark, 9)} {_fit(str(entry.gauge['municipality']), 8)} {place} {level}"


def _clock(at: datetime) -> str:
    return f"{at.astimezone(JST):%H:%M}"


def _span(minutes: float | None) -> str:
    hours, rest = divmod(round(minutes or 0), 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"


def _below(threshold_m: float, level_m: float) -> str:
    below_cm = round((threshold_m - level_m) * 100)
    return f"{below_cm} cm below" if below_cm > 0 else f"{-below_cm} cm above"


def _columns(text: str) -> int:
    """Columns that a text takes in a terminal: Japanese characters take two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _fit(text: str, columns: int) -> str:
    """A text cut or padded to so many columns. Control characters of a name must not reach the terminal."""
    clean = "".join(each if each.isprintable() else "?" for each in text)
    if _columns(clean) <= columns:
        return clean + " " * (columns - _columns(clean))
    while _columns(clean) > columns - 2:
        clean = clean[:-1]
    return _fit(clean + "..", columns)


# Tail ---------------------------------------------------------------------------------------------------------


def _summary(told: list[Entry]) -> Iterator[str]:
    water = [each for each in told if each.crossed_at is not None]
    in_time, late, missed = (_count(water, each) for each in ("in_time", "late", "missed"))
    in_vain, near = _count(told, "in_vain"), _count(told, "near")
    yield f"Water came {_times(len(water))}: told in time {in_time}, too late {late}, missed {missed}."
    quartiles = lead_quartiles(told)
    if quartiles:
        yield f"Told before the water (not in time = 0): median {_span(quartiles[0])}, lower quartile {_span(quartiles[1])}."
    yield f"No water came after {_times(in_vain + near, 'notice')}: in vain {in_vain}, near {near}."
    standing, apart = _count(told, "open"), _count(told, "uncounted") + _count(told, "unscored")
    if standing or apart:
        yield f"Not judged: {_times(standing, 'notice')} still stood at the end, {apart} could not be compared with the river."
    yield from _by_level(water)
    yield from _not_in_time(water)


def _by_level(water: list[Entry]) -> Iterator[str]:
    for level, (japanese, english) in LEVEL_NAMES.items():
        came = [each for each in water if each.level == level]
        if came:
            yield f"  {_fit(f'{level} {japanese} {english}', 24)} in time {_count(came, 'in_time')} of {len(came)}"


def _not_in_time(water: list[Entry]) -> Iterator[str]:
    late = [each for each in water if each.outcome != "in_time"]
    if late:
        yield "Not told in time:"
    for each in late:
        how = _late(each.late_min or 0) if each.outcome == "late" else "nobody told"
        yield f"{_head(each.crossed_at or each.when, each.outcome, each)}  {how}"


def _count(told: Iterable[Entry], outcome: str) -> int:
    return sum(each.outcome == outcome for each in told)


def _times(count: int, noun: str = "time") -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")

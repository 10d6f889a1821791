"""The figures as people read them on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jobs.score.figures import DRAWS, LEAST_FLOODS, OURS, SEED, Judged
from jobs.words import counted, jst

__all__ = ["lines"]

_RATES = {"pod": "POD", "far": "FAR", "far_with_near": "FAR with near", "csi": "CSI"}


def lines(
    about: Mapping[str, Any], groups: Sequence[Judged], index: Sequence[Mapping[str, Any]], high: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """All of a judgement, line by line.

    Args:
        about: what was judged, by what: facts, truth, readings, since, until, unjudged.
        groups: what ``judged`` gives.
        index: rows of persistence indices: forecast, hours, highest, then.
        high: every time that L3 or L4 was passed.
    """
    yield f"facts: {about['facts']}"
    yield f"truth: {about['truth']}: {about['readings']:,} readings that arrived from {jst(about['since'])} to {jst(about['until'])}"
    yield f"in brackets: 90 % intervals, floods drawn again {DRAWS} times (seed {SEED}), where there are {LEAST_FLOODS} floods at least"
    yield "lead: median / lower quartile, a miss counts 0; near: notices whose peak stayed within 10 cm below the level"
    if not groups:
        yield "\nno level can be judged: no gauge has an official level above the one under which its sign is lost"
    for each in groups:
        yield from _group(each)
    yield from _index(index)
    yield f"\nL3 and L4 were passed {counted(len(high), 'time')}" + (":" if high else "")
    yield from map(_high, high)
    for name, count in about["unjudged"].items():
        yield f"\n{name}, of which no level can be judged (its sign is lost above them): {count} notices"


def _group(each: Judged) -> Iterator[str]:
    counts = (counted(each.gauges, "gauge"), counted(each.thresholds, "level"), counted(each.floods, "flood"))
    yield f"\n{each.name}: {each.about}; {', '.join(counts)}"
    rates = "".join(f"{title:18}" for title in _RATES.values())
    yield f"{'level':6}{'forecast':21}{'passed':>6}  {rates}{'lead, min':26}false, h a gauge-year"
    for row in each.rows:
        told = "".join(f"{_share(row[rate]):5}{_ends(row[f'{rate}_90'], _share):13}" for rate in _RATES)
        lead = f"{_whole(row['lead_median_min'])}/{_whole(row['lead_q25_min'])}"
        ends = " ".join(_ends(row[f"{rate}_90"], _whole) for rate in ("lead_median_min", "lead_q25_min"))
        hours = "–" if row["false_h_per_gauge_year"] is None else f"{row['false_h_per_gauge_year']:.1f}"
        level = row["level"] if row["forecast"] == OURS else ""
        yield f"{level:6}{row['forecast']:21}{row['events']:>6}  {told}{lead:8}{ends:18}{hours:>7}".rstrip()
    if each.quiet:
        yield f"{', '.join(each.quiet)}: not passed, and nobody said so"
    if each.sudden:
        yield f"passed less than 3 h after the first reading that followed a silence, which nobody can tell before: {each.sudden}"
    for gain in each.gains:
        if gain["csi"] is not None:
            yield f"CSI of the notices less that of {gain['over']}: {gain['csi']:+.2f} {_ends(gain['csi_90'], '{:+.2f}'.format)}".rstrip()
    if each.told:
        yield "told   came true   times told   (probability that a level that is not passed yet will be, within 3 h)"
        yield from (f"{_share(row['told']):>4}{_share(row['happened']):>12}{row['count']:>13}" for row in each.told)


def _index(index: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not index:
        return
    first = index[0]
    yield f'\npersistence index, {first["group"]} (1: perfect, 0: as good as "the level stays"), of the numbers of {first["model"]}'
    hours = sorted({row["hours"] for row in index})
    yield f"{'forecast':21}{'of':23}{'when':17}" + "".join(f"{f'{each} h':>8}" for each in hours)
    for forecast, of, when in dict.fromkeys((row["forecast"], row["of"], row["when"]) for row in index):
        found = {row["hours"]: row["index"] for row in index if (row["forecast"], row["of"], row["when"]) == (forecast, of, when)}
        yield f"{forecast:21}{of:23}{when:17}" + "".join(f"{'–' if found[each] is None else f'{found[each]:.2f}':>8}" for each in hours)


def _high(row: Mapping[str, Any]) -> str:
    where = f"  {jst(row['crossed_at'])}  {row['gauge_id']} {row['river']} {row['name']}  {row['level']} {row['threshold_m']:.2f} m"
    where += f", peak {row['peak_m']:.2f} m: "
    if row["said_at"] is None:
        return where + "missed"
    when = f"{row['lead_min']:.0f} min before" if row["outcome"] == "hit" else f"{row['late_min']:.0f} min after"
    p = "" if row["p_exceed"] is None else f", p {_share(row['p_exceed'])}"
    model = f", {row['variant']} table of {row['model']}" if row["model"] else ", no model"
    return where + f"told {jst(row['said_at'])[11:16]}, {when}{p}, by {row['rule']}{model}"


def _share(value: float | None) -> str:
    """A share with two digits, without the zero before the point."""
    return "–" if value is None else f"{value:.2f}".removeprefix("0")


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _ends(ends: tuple[float, float] | None, word: Any) -> str:
    return "" if ends is None else f"({word(ends[0])}–{word(ends[1])})"

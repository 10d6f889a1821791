"""Writes a flood as one HTML file that needs nothing else: map, hydrographs, what was told and what came of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from html import escape
from importlib import resources
from typing import Any

import polars as pl

from jobs.demo.told import JST, LEVEL_NAMES, NOT_KNOWN, Entry, entries, lead_quartiles, newest_gauges

__all__ = ["render"]

_LEVEL_FIELDS = ("l1_standby_m", "l2_caution_m", "l3_evacuation_m", "l4_danger_m")
_EMBEDDED = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026", "\u2028": r"\u2028", "\u2029": r"\u2029"})


def render(
    *,
    notices: pl.DataFrame,
    levels: pl.DataFrame,
    gauges: pl.DataFrame,
    events: pl.DataFrame,
    judged: pl.DataFrame,
    place_en: str = "Fukui",
    place_ja: str = "福井県",
) -> str:
    """The page as text.

    Args:
        notices: all revisions of ``river.flood-notice.v1``.
        levels: ``river.level.v1`` of the days that are shown.
        gauges: ``river.gauge.v1``.
        events: the table of events that the scorer gives.
        judged: its table of notices.
        place_en: where it was, in English.
        place_ja: the same in Japanese.

    Raises:
        ValueError: there are no readings to show.
    """
    if levels.is_empty():
        raise ValueError("levels must hold readings (got none): give those of the days to show")
    told = entries(notices, gauges, events, judged)
    start, end = _span(levels)
    known = newest_gauges(gauges)
    data = {
        "start": round(start.timestamp() * 1000),
        "end": _minutes(start, end),
        "names": LEVEL_NAMES,
        "unknown": NOT_KNOWN,
        "gauges": _gauges(known, levels, start),
        "notices": _notices(notices, start),
        "rows": [_row(each, start) for each in told],
    }
    words = {
        "when_en": _day(told, start, "en"), "when_ja": _day(told, start, "ja"), "place_en": place_en, "place_ja": place_ja,
        "answer_en": _answer_en(told), "answer_ja": _answer_ja(told),
    }  # fmt: skip
    filled = {name: escape(text) for name, text in words.items()} | {"data": _embedded(data)}
    template = resources.files("jobs.demo").joinpath("page.html").read_text(encoding="utf-8")
    # One pass: what is filled in is never looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], template)


def _embedded(data: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False).translate(_EMBEDDED)


# Words --------------------------------------------------------------------------------------------------------


def _answer_en(told: Iterable[Entry]) -> str:
    count, median = _counts(told)
    before = f", half of the time at least {_duration_en(median)} before" if count["in_time"] else ""
    return (
        f"Rivers passed an official level {_times(count['water'])}, and {_times(count['in_time'])} the town had been told before "
        f"(counting misses as zero, the middle lead is {_duration_en(median)}). "
        if False
        else f"Rivers passed an official level {_times(count['water'])}; in {count['in_time']} of them the town had been told{before}. "
    ) + (
        f"Word came too late {_times(count['late'])} and not at all {_times(count['missed'])}; after {_times(count['vain'], 'notice')} "
        f"no water came, {count['near']} of them by no more than 10 cm."
    )

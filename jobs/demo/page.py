"""Writes a flood as one HTML file that needs nothing else: map, hydrographs, what was told and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from jobs.demo.template import fill
from jobs.demo.told import JST, LEVEL_NAMES, NOT_KNOWN, Entry, entries, lead_quartiles, newest_gauges
from pipelines.upstream_flood.bulletins import sentence

__all__ = ["render"]

_LEVEL_FIELDS = ("l1_standby_m", "l2_caution_m", "l3_evacuation_m", "l4_danger_m")


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
    start, end = levels.select(first=pl.col("observed_at").min().dt.truncate("1h"), last=pl.col("observed_at").max()).row(0)
    day = _day(told, start)
    data = {
        "start": round(start.timestamp() * 1000),
        "end": _minutes(start, end),
        "names": LEVEL_NAMES,
        "unknown": NOT_KNOWN,
        "gauges": _gauges(newest_gauges(gauges), levels, start),
        "notices": _notices(notices, start),
        "rows": [_row(each, start) for each in told],
    }
    words = {
        "day_en": f"{day.day} {day:%B %Y}",
        "day_ja": f"{day.year}年{day.month}月{day.day}日",
        "place_en": place_en,
        "place_ja": place_ja,
        "answer_en": _answer_en(told),
        "answer_ja": _answer_ja(told),
    }
    return fill("jobs.demo", words, data)


# Words --------------------------------------------------------------------------------------------------------


def _answer_en(told: list[Entry]) -> str:
    count, quartiles = _counted(told), lead_quartiles(told)
    vain = f"{_times(count['in_vain'] + count['near'], 'notice')} had no water after"
    near = f"{count['near']} of them short of the level by 10 cm or less."
    if quartiles is None:
        return f"No gauge passed an official level. {vain}, {near}"
    return (
        f"River gauges passed an official level {_times(count['water'])}, "
        f"and in {count['in_time']} of these the town had been told before; "
        f"the median lead was {_duration_en(quartiles[0])} (not in time counts as 0). "
        f"Word came too late {_times(count['late'])}, nobody was told {_times(count['missed'])}, and {vain}, {near}"
    )


def _answer_ja(told: list[Entry]) -> str:
    count, quartiles = _counted(told), lead_quartiles(told)
    vain = f"水が来なかった早期注意は{count['in_vain'] + count['near']}回（うち{count['near']}回は基準水位まで10cm以内）でした。"
    if quartiles is None:
        return f"基準水位に達した観測所はありませんでした。{vain}"
    return (
        f"基準水位への到達は{count['water']}回、そのうち{count['in_time']}回は到達前に市町へ早期注意を伝えられました"
        f"（猶予の中央値{_duration_ja(quartiles[0])}、間に合わなかったものは0とする）。"
        f"遅れ{count['late']}回、見逃し{count['missed']}回、{vain}"
    )


def _counted(told: list[Entry]) -> dict[str, int]:
    outcomes = ("in_time", "late", "missed", "in_vain", "near")
    count = {outcome: sum(each.outcome == outcome for each in told) for outcome in outcomes}
    return count | {"water": sum(each.crossed_at is not None for each in told)}


def _times(count: int, noun: str = "time") -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _duration_en(minutes: float) -> str:
    hours, rest = divmod(round(minutes), 60)
    return f"{hours}\u00a0h\u00a0{rest:02d}\u00a0min" if hours else f"{rest}\u00a0min"


def _duration_ja(minutes: float) -> str:
    hours, rest = divmod(round(minutes), 60)
    return f"{hours}時間{rest:02d}分" if hours else f"{rest}分"


def _day(told: list[Entry], start: datetime) -> date:
    """The day of the flood: the one on which most of it happened, in JST."""
    days = [each.when.astimezone(JST).date() for each in told]
    return max(days, key=lambda day: (days.count(day), day), default=start.astimezone(JST).date())


# Data: times are minutes since the start, levels centimetres, so that the page stays small ---------------------


def _shown(levels: pl.DataFrame) -> pl.DataFrame:
    """The last word on each reading."""
    last = levels.sort("gauge_id", "observed_at", "version").unique(["gauge_id", "observed_at"], keep="last", maintain_order=True)
    return last.filter(pl.col("op") != "withdrawn")


def _gauges(known: Mapping[str, Mapping[str, Any]], levels: pl.DataFrame, start: datetime) -> list[dict[str, Any]]:
    shown = _shown(levels).select("gauge_id", "observed_at", "level_m").rows_by_key("gauge_id")
    return [_gauge(gauge, shown.get(gauge_id, []), start) for gauge_id, gauge in known.items()]


def _gauge(gauge: Mapping[str, Any], readings: list[tuple[datetime, float | None]], start: datetime) -> dict[str, Any]:
    return {
        "id": gauge["gauge_id"],
        "name": gauge["name"],
        "river": gauge["river"],
        "town": gauge["municipality"],
        "lat": round(gauge["lat_deg"], 5),
        "lon": round(gauge["lon_deg"], 5),
        "down": gauge["downstream_id"],
        "levels": [_cm(_usable(gauge[field], gauge["sign_lost_below_m"])) for field in _LEVEL_FIELDS],
        "t": [_minutes(start, at) for at, _ in readings],
        "z": [_cm(level) for _, level in readings],
    }


def _usable(threshold_m: float | None, sign_lost_below_m: float | None) -> float | None:
    lost = threshold_m is not None and sign_lost_below_m is not None and threshold_m <= sign_lost_below_m
    return None if lost else threshold_m


def _notices(notices: pl.DataFrame, start: datetime) -> list[dict[str, Any]]:
    """Each id with its revisions: said, state, chance, and the time of passing at 10, 50 and 90 %."""
    told = []
    for revisions in notices.sort("id", "revision").partition_by("id", maintain_order=True):
        rows = revisions.rows(named=True)
        said = [[_minutes(start, row["said_at"]), row["state"], row["p_exceed"], *_eta(row, start)] for row in rows]
        told.append({"id": rows[0]["id"], "gauge": rows[0]["gauge_id"], "level": rows[0]["level"], "said": said})
    return told


def _row(entry: Entry, start: datetime) -> dict[str, Any]:
    return {
        "gauge": entry.gauge["gauge_id"],
        "level": entry.level,
        "threshold": _cm(entry.threshold_m),
        "outcome": entry.outcome,
        "ids": list(entry.ids),
        "said": _minutes(start, entry.said_at),
        "over": _minutes(start, entry.over_at),
        "crossed": _minutes(start, entry.crossed_at),
        "lead": entry.lead_min,
        "late": entry.late_min,
        "peak": _cm(entry.peak_m),
        "p": entry.first.get("p_exceed"),
        "eta": _eta(entry.first, start),
        "official": _official(entry.first.get("official")),
        "why": [_weighed(each, start) for each in (entry.first.get("because") or {}).get("weighed_most") or []],
    }


def _official(bulletin: Mapping[str, Any] | None) -> dict[str, str] | None:
    """What was officially said when the notice was; null: nothing was known, or there is no notice."""
    return None if bulletin is None else dict(zip(("ja", "en"), sentence(bulletin), strict=True))


def _weighed(weighed: Mapping[str, Any], start: datetime) -> dict[str, Any]:
    return {
        "gauge": weighed["gauge_id"],
        "what": weighed["what"],
        "at": _minutes(start, weighed["observed_at"]),
        "level": _cm(weighed["level_m"]),
        "adds": _cm(weighed["weight_m"]),
    }


def _eta(row: Mapping[str, Any], start: datetime) -> list[int | None]:
    return [_minutes(start, row.get(f"eta_p{quantile}")) for quantile in (10, 50, 90)]


def _minutes(start: datetime, at: datetime | None) -> int | None:
    return None if at is None else round((at - start) / timedelta(minutes=1))


def _cm(metres: float | None) -> int | None:
    return None if metres is None else round(metres * 100)

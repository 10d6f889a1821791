"""What both the story and the page tell: for each time that water came or a notice was said, one entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import polars as pl

__all__ = ["JST", "LEVEL_NAMES", "NOT_KNOWN", "Entry", "Outcome", "entries", "lead_quartiles", "newest_gauges"]

JST = timezone(timedelta(hours=9), "JST")

LEVEL_NAMES = {
    "L1": ("水防団待機", "standby"),
    "L2": ("氾濫注意", "caution"),
    "L3": ("避難判断", "evacuation"),
    "L4": ("氾濫危険", "danger"),
}
"""Official levels in Japanese and English."""

NOT_KNOWN = {
    "stale": ("古い値のみ", "last reading is old"),
    "no_reading": ("値なし", "no reading"),
    "no_threshold": ("基準水位なし", "no official level set"),
    "not_observed": ("観測開始水位未満", "below where the device starts"),
}
"""States of a gauge that cannot be judged. None of them is an all-clear."""

Outcome = Literal["in_time", "late", "missed", "near", "in_vain", "open", "uncounted", "unscored"]

_OF_EVENT: Mapping[tuple[str, bool], Outcome] = {("hit", False): "in_time", ("miss", True): "late", ("miss", False): "missed"}
# A notice about water that came has its place with the event. One that has none was a second word about water counted
# already, or nobody saw when the water came.
_OF_NOTICE: Mapping[str, Outcome] = {
    "hit": "uncounted", "late": "uncounted", "uncounted": "uncounted", "near": "near",
    "false": "in_vain", "open": "open", "unscored": "unscored",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Water that came, with the notice about it; or a notice to which no water came. Times are UTC, levels metres.

    ``crossed_at`` is null where no water came, ``said_at`` where nobody was told. ``lead_min`` is how long before the water
    it was told, ``late_min`` how long after. ``first`` is the revision that was said first.
    """

    gauge: Mapping[str, Any]
    level: str
    threshold_m: float | None
    outcome: Outcome
    crossed_at: datetime | None
    peak_m: float | None
    lead_min: float | None
    late_min: float | None
    notice_id: str | None
    ids: tuple[str, ...]
    said_at: datetime | None
    over_at: datetime | None
    hours: float | None
    first: Mapping[str, Any]
    gauges: Mapping[str, Mapping[str, Any]]

    def named(self, gauge_id: str) -> str:
        """River and name of any gauge of the region."""
        gauge = self.gauges.get(gauge_id)
        return f"{gauge['river']} {gauge['name']}" if gauge else gauge_id

    @property
    def when(self) -> datetime:
        """When the city first hears of it: by the notice, or by the water."""
        return min(each for each in (self.said_at, self.crossed_at) if each is not None)


def entries(notices: pl.DataFrame, gauges: pl.DataFrame, events: pl.DataFrame, judged: pl.DataFrame) -> list[Entry]:
    """All entries in order of time.

    Args:
        notices: all revisions of ``river.flood-notice.v1``.
        gauges: ``river.gauge.v1``.
        events: the table of events that the scorer gives.
        judged: its table of notices.
    """
    known = newest_gauges(gauges)
    said = {(row["notice_id"], row["said_at"]): row for row in judged.iter_rows(named=True)}
    first = _revisions(notices)
    rows = [_of_event(row, said, known, first) for row in events.iter_rows(named=True)]
    used = {(each.notice_id, each.said_at) for each in rows}
    rows += [_of_notice(row, known, first) for key, row in said.items() if key not in used]
    return sorted(rows, key=lambda each: (each.when, each.gauge["gauge_id"], each.level))


def newest_gauges(gauges: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """The newest record of each gauge, by gauge_id."""
    newest = gauges.sort("valid_from", "version").unique("gauge_id", keep="last", maintain_order=True)
    return {row["gauge_id"]: row for row in newest.filter(pl.col("op") != "withdrawn").iter_rows(named=True)}


def lead_quartiles(told: list[Entry]) -> tuple[float, float] | None:
    """Median and lower quartile of the leads in minutes, misses as 0; null when no water came."""
    leads = pl.Series([each.lead_min or 0.0 for each in told if each.crossed_at is not None], dtype=pl.Float64)
    median, low = (leads.quantile(share, "linear") for share in (0.5, 0.25))
    return None if median is None or low is None else (median, low)


def _revisions(notices: pl.DataFrame) -> dict[tuple[str, datetime], dict[str, Any]]:
    """The last revision said under an id at a time."""
    return {(row["id"], row["said_at"]): row for row in notices.sort("id", "revision").iter_rows(named=True)}


def _of_event(row: dict[str, Any], said: Mapping[Any, Any], known: Mapping[str, Any], first: Mapping[Any, Any]) -> Entry:
    key = (row["notice_id"], row["said_at"])
    notice = said.get(key, {})
    return Entry(
        gauge=known[row["gauge_id"]],
        level=row["level"],
        threshold_m=row["threshold_m"],
        outcome=_OF_EVENT[row["outcome"], row["late_min"] is not None],
        crossed_at=row["crossed_at"],
        peak_m=row["peak_m"],
        lead_min=row["lead_min"] if row["outcome"] == "hit" else None,
        late_min=row["late_min"],
        notice_id=row["notice_id"],
        ids=tuple(notice.get("ids", [row["notice_id"]] if row["notice_id"] else [])),
        said_at=row["said_at"],
        over_at=notice.get("over_at"),
        hours=notice.get("hours"),
        first=first.get(key, {}),
        gauges=known,
    )


def _of_notice(row: dict[str, Any], known: Mapping[str, Any], first: Mapping[Any, Any]) -> Entry:
    return Entry(
        gauge=known[row["gauge_id"]],
        level=row["level"],
        threshold_m=row["threshold_m"],
        outcome=_OF_NOTICE[row["outcome"]],
        crossed_at=None,
        peak_m=row["peak_m"],
        lead_min=None,
        late_min=None,
        notice_id=row["notice_id"],
        ids=tuple(row["ids"]),
        said_at=row["said_at"],
        over_at=row["over_at"],
        hours=row["hours"],
        first=first.get((row["notice_id"], row["said_at"]), {}),
        gauges=known,
    )

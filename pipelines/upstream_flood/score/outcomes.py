"""What came of the notices: each event with the notice that was active for it, each notice with what it was good for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from pipelines.upstream_flood.score.river import BELOW_FOR, PAIR, SEEN_WITHIN, passings, watched

__all__ = ["Scored", "score", "spells", "together"]

NEAR_M = 0.10
"""A peak this little below the level makes a notice a near hit."""

ALARM = timedelta(hours=24)
"""So much useless notice, or part of it, is one false alarm."""

_ROUNDING_M = 1e-9  # 1.90 − 1.80 is a little more than .10 in binary
_NEVER = pl.lit(datetime(9999, 1, 1, tzinfo=UTC), dtype=pl.Datetime("ms", "UTC"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What came of the notices of a period. ``thresholds`` are the pairs that could be scored.

    ``events``: gauge_id, level, threshold_m, crossed_at, arrived, until, peak_m, seen_since (see ``passings``), outcome (hit, miss),
    lead_min (0 for a miss), late_min (how long after the crossing it was said; null unless late), said_at, notice_id (null: never
    said).

    ``notices``: gauge_id, level, threshold_m, notice_id, ids, said_at, over_at (null: it stands), peak_m, outcome, hours (in
    which the river was seen), alarms, useless_h. Outcomes: *hit*; *late* (said when the level was passed already, or less
    than 6 h after it fell below); *uncounted* (nobody saw when, or whether, it was passed); *near* (peak within 10 cm
    below); *open* (the period ends before its verdict); *false*; *unscored* (no usable threshold). ``alarms`` is how many
    false alarms it amounts to; silence of the gauge adds none.

    ``seen``: gauge_id, hours: how long within the period its river was seen.
    """

    events: pl.DataFrame
    notices: pl.DataFrame
    thresholds: pl.DataFrame
    seen: pl.DataFrame


# What was said --------------------------------------------------------------------------------------------------------


def spells(notices: pl.DataFrame) -> pl.DataFrame:
    """Unbroken times in which a notice was active, from all revisions of ``river.flood-notice.v1``.

    An id that is withdrawn in the same breath as another is raised for the same gauge and level goes on as one spell: whoever
    was told has been told all along.

    Returns:
        gauge_id, level, notice_id (the first), ids, said_at, over_at (null: it stands), sorted by gauge, level and time.
    """
    active, over = pl.col("state").is_in(["raised", "updated"]), pl.col("over_at").fill_null(_NEVER)
    return (
        notices.drop_nulls("level")
        .sort("id", "revision")
        .with_columns(active=active, turned=(active != active.shift().over("id")).fill_null(active))
        .filter("turned")
        .with_columns(over_at=pl.col("said_at").shift(-1).over("id"))
        .filter("active")
        .sort(*PAIR, "said_at", "id")
        .with_columns(begins=(pl.col("said_at") > over.cum_max().shift().over(PAIR)).fill_null(True))
        .with_columns(nth=pl.col("begins").cum_sum().over(PAIR))
        .group_by(*PAIR, "nth", maintain_order=True)
        .agg(
            pl.first("id").alias("notice_id"),
            pl.col("id").unique(maintain_order=True).alias("ids"),
            pl.min("said_at"),
            pl.when(pl.col("over_at").null_count() == 0).then(pl.max("over_at")).alias("over_at"),
        )
        .drop("nth")
    )


# The two put together -------------------------------------------------------------------------------------------------


def score(truth: pl.DataFrame, thresholds: pl.DataFrame, notices: pl.DataFrame, period: tuple[datetime, datetime]) -> Scored:
    """What came of the notices that were said in a period, and of the events in it.

    Args:
        truth: what ``clean`` gives, beginning some days before the period.
        thresholds: what ``official`` or ``pseudo`` gives.
        notices: all revisions of ``river.flood-notice.v1`` of the region.
        period: from (inclusive) and to (exclusive), time of arrival.
    """
    start, end = period
    passed = passings(truth, thresholds)
    said = spells(notices).filter(pl.col("said_at") < end).join(thresholds, on=PAIR, how="left", maintain_order="left")
    said = said.with_columns(over_at=pl.when(pl.col("over_at") <= end).then("over_at"))
    events = passed.filter(pl.col("begin") == "observed", pl.col("arrived").is_between(start, end, closed="left"))
    return Scored(
        events=_told(events.drop("begin"), said),
        notices=_judged(said.filter(pl.col("said_at") >= start), passed, truth, end),
        thresholds=thresholds,
        seen=_seen(truth, period),
    )


def _seen(truth: pl.DataFrame, period: tuple[datetime, datetime]) -> pl.DataFrame:
    """How long each river was seen within a period."""
    start, end = (pl.lit(each.astimezone(UTC), pl.Datetime("ms", "UTC")).alias("at") for each in period)
    gauges = truth.select(pl.col("gauge_id").unique().sort())
    clock = watched(truth)
    begun, ended = (_clocked(gauges.with_columns(each), "at", clock).sort("gauge_id")["at_clock"] for each in (start, end))
    return gauges.with_columns(hours=(ended - begun) / timedelta(hours=1))


def _told(events: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Events with the notice that was active when the level was crossed, or else the one that came too late for it."""
    told = said.select(*PAIR, "said_at", "over_at", "notice_id").sort("said_at")
    after = told.select(*PAIR, pl.col("said_at").alias("late_at"), pl.col("notice_id").alias("late_id"))
    on: dict[str, object] = {"left_on": "crossed_at", "by": PAIR, "check_sortedness": False}
    both = (
        events.sort("crossed_at")
        .join_asof(told, right_on="said_at", strategy="backward", allow_exact_matches=False, coalesce=False, **on)  # type: ignore[arg-type]
        .join_asof(after, right_on="late_at", strategy="forward", coalesce=False, **on)  # type: ignore[arg-type]
    )
    hit = pl.col("said_at").is_not_null() & (pl.col("over_at").fill_null(_NEVER) > pl.col("crossed_at"))
    late = ~pl.col("hit") & (pl.col("late_at") < pl.col("until") + BELOW_FOR).fill_null(False)
    return (
        both.with_columns(hit=hit)
        .with_columns(late=late)
        .select(
            *PAIR, "threshold_m", "crossed_at", "arrived", "until", "peak_m", "seen_since",
            pl.when("hit").then(pl.lit("hit")).otherwise(pl.lit("miss")).alias("outcome"),
            pl.when("hit").then(_minutes(pl.col("crossed_at") - pl.col("said_at"))).otherwise(0.0).alias("lead_min"),
            pl.when("late").then(_minutes(pl.col("late_at") - pl.col("crossed_at"))).alias("late_min"),
            pl.when("hit").then("said_at").when("late").then("late_at").alias("said_at"),
            pl.when("hit").then("notice_id").when("late").then("late_id").alias("notice_id"),
        )
        .sort("crossed_at", *PAIR)
    )  # fmt: skip


def _judged(said: pl.DataFrame, passed: pl.DataFrame, truth: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Notices with what came of them."""
    clock = watched(truth)
    ended = said.with_row_index("nth").with_columns(to=pl.col("over_at").fill_null(end))
    ended = _clocked(_clocked(ended, "said_at", clock), "to", clock)
    use = _use(ended, _clocked(_clocked(passed, "crossed_at", clock), "until", clock))
    near = pl.col("peak_m") >= pl.col("threshold_m") - NEAR_M - _ROUNDING_M
    outcome = (
        pl.when(pl.col("threshold_m").is_null()).then(pl.lit("unscored"))
        .when(pl.col("use").is_not_null()).then("use")
        .when(pl.col("over_at").is_null()).then(pl.lit("open"))
        .when(pl.col("peak_m").is_null()).then(pl.lit("uncounted"))
        .when(near).then(pl.lit("near"))
        .otherwise(pl.lit("false"))
    )  # fmt: skip
    hours = (pl.col("to_clock") - pl.col("said_at_clock")) / timedelta(hours=1)
    return (
        ended.with_columns(_peaks(ended, truth))
        .join(use, on="nth", how="left")
        .with_columns(outcome=outcome, hours=hours)
        .with_columns(alarms=_false_alarms(), useless_h=_useless_h())
        .select(*PAIR, "threshold_m", "notice_id", "ids", "said_at", "over_at", "peak_m", "outcome", "hours", "alarms", "useless_h")
        .sort("said_at", *PAIR)
    )


def _clocked(rows: pl.DataFrame, time: str, clock: pl.DataFrame) -> pl.DataFrame:
    """Rows with the reading of that clock at a time of theirs, as ``<time>_clock``."""
    at = clock.rename({"observed_at": "seen_at"}).sort("seen_at")
    since = pl.min_horizontal(pl.col(time) - pl.col("seen_at"), SEEN_WITHIN)
    return (
        rows.sort(time)
        .join_asof(at, left_on=time, right_on="seen_at", by="gauge_id", coalesce=False, check_sortedness=False)
        .with_columns((pl.col("clock") + since).fill_null(timedelta(0)).alias(f"{time}_clock"))
        .drop("clock", "seen_at")
    )


def _false_alarms() -> pl.Expr:
    """How many false alarms a judged notice amounts to. Of an open one only whole days count: the last may yet be of use."""
    outcome, days = pl.col("outcome"), pl.col("hours") / (ALARM / timedelta(hours=1))
    alarms = (
        pl.when(outcome == "open").then(days.floor())
        .when(outcome.is_in(["near", "false"])).then(pl.max_horizontal(days.ceil(), 1))
        .otherwise(pl.col("more_days").fill_null(0))
    )  # fmt: skip
    return alarms.cast(pl.Int64)


def _useless_h() -> pl.Expr:
    """Hours in false alarm of a judged notice; a near hit has none."""
    outcome = pl.col("outcome")
    return (
        pl.when(outcome == "false").then("hours")
        .when(outcome == "open").then((pl.col("hours") / 24).floor() * 24)
        .otherwise(pl.col("more_hours").fill_null(0.0))
    )  # fmt: skip


def _use(said: pl.DataFrame, passed: pl.DataFrame) -> pl.DataFrame:
    """Of notices in whose time the level was passed: to what use, and how many needless days they have beyond the first.

    A notice that never ends would otherwise be right some day. So the time below the level before, between and after the
    passings is free only for its first 24 h each.
    """
    touched = said.join(passed.drop("threshold_m"), on=PAIR).filter(
        pl.col("until") > pl.col("said_at") - BELOW_FOR, pl.col("crossed_at") < pl.col("to")
    )
    earlier = pl.col("until_clock").shift().over("nth", order_by="crossed_at")
    before = pl.col("crossed_at_clock") - pl.max_horizontal("said_at_clock", earlier)
    after = pl.first("to_clock") - pl.max("until_clock")
    early = (pl.col("crossed_at") > pl.col("said_at")) & (pl.col("begin") == "observed")
    return (
        touched.with_columns(before=before, early=early)
        .group_by("nth")
        .agg(
            pl.when(pl.col("early").any()).then(pl.lit("hit"))
            .when((pl.col("crossed_at") <= pl.col("said_at")).any()).then(pl.lit("late"))
            .otherwise(pl.lit("uncounted")).alias("use"),
            (_more_days(pl.col("before")).sum() + _more_days(after)).alias("more_days"),
            (_more_hours(pl.col("before")).sum() + _more_hours(after)).alias("more_hours"),
        )
    )  # fmt: skip


def _more_days(span: pl.Expr) -> pl.Expr:
    """Days, or parts of one, of a time span beyond the first."""
    return pl.max_horizontal((span / ALARM).ceil() - 1, 0)


def _more_hours(span: pl.Expr) -> pl.Expr:
    """Hours of a time span beyond the first 24."""
    return pl.max_horizontal((span - ALARM) / timedelta(hours=1), 0)


def _peaks(said: pl.DataFrame, truth: pl.DataFrame) -> pl.Series:
    """Highest level while each notice was active, metres; the reading that stood when it was said counts. Null: none was seen."""
    seen_ms = SEEN_WITHIN // timedelta(milliseconds=1)
    readings = truth.select("gauge_id", pl.col("observed_at").dt.epoch("ms"), "level_m").partition_by("gauge_id", as_dict=True)
    peaks: list[float | None] = []
    for gauge_id, said_ms, to_ms in said.select("gauge_id", pl.col("said_at", "to").dt.epoch("ms")).iter_rows():
        frame = readings.get((gauge_id,), truth.clear())
        at_ms = frame["observed_at"].to_numpy()
        standing = int(np.searchsorted(at_ms, said_ms, side="right")) - 1
        fresh = standing >= 0 and at_ms[standing] >= said_ms - seen_ms
        during = frame["level_m"].to_numpy()[standing + (not fresh) : np.searchsorted(at_ms, to_ms)]
        peaks.append(float(during.max()) if during.size else None)
    return pl.Series("peak_m", peaks, dtype=pl.Float64)


def _minutes(span: pl.Expr) -> pl.Expr:
    return span / timedelta(minutes=1)


def together(scored: Iterable[Scored]) -> Scored:
    """Several periods as one, for example the floods that were left out one after another.

    Raises:
        ValueError: the periods were scored against different thresholds.
    """
    first, *rest = scored
    if any(not each.thresholds.equals(first.thresholds) for each in rest):
        raise ValueError("thresholds of periods put together must be the same: score each against the same frame")
    return replace(
        first,
        events=pl.concat([first.events, *(each.events for each in rest)]),
        notices=pl.concat([first.notices, *(each.notices for each in rest)]),
        seen=pl.concat([first.seen, *(each.seen for each in rest)]).group_by("gauge_id", maintain_order=True).agg(pl.sum("hours")),
    )

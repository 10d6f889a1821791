"""How good the notices were: what was told in time, what was missed, what was said in vain.

The scorer is independent of the rule. It has its own reading of the feeds and its own quality steps, so that a
fault of the rule cannot hide in the judge. Frames of one region come in, tables go out.

Words: a **passing** is an unbroken time at or above a level (interrupted by less than 6 h below). An **event** is a
passing whose beginning was observed. A **spell** is an unbroken time in which a notice was active for a gauge and
level, be it under one id or under several that followed each other. Verification as in the NWS service manual
((lead = issuance to observed first entry; POD, FAR, CSI as usual), near hits shown separately. ``score`` is given what
``clean`` and ``official`` make of the feeds, and ``summary`` makes the figures of it.

    >>> table = pl.DataFrame({"id": [12, 31], "P1": [1.15, 1.31], "P2": [1.70, None]})
    >>> pairs(pseudo(table), NETP).rows()
    [('12', 'L1'), ('12', 'L2'), ('31', 'L1')]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = [
    "LEVELS",
    "NET",
    "NETP",
    "OTHC",
    "Group",
    "Scored",
    "clean",
    "official",
    "pairs",
    "passings",
    "pseudo",
    "score",
    "spells",
    "summary",
    "together",
]

LEVELS = {"L1": "l1_standby_m", "L2": "l2_caution_m", "L3": "l3_evacuation_m", "L4": "l4_danger_m"}
"""Official levels, and the field of the gauge record that holds each."""

BELOW_FOR = timedelta(hours=6)
"""A level must have been undercut this long before passing it counts as new."""

SEEN_WITHIN = timedelta(minutes=180)
"""The reading before a crossing may be this old; otherwise nobody knows when the level was passed."""

NEAR_M = 0.10
"""A peak this little below the level makes a notice a near hit."""

ALARM = timedelta(hours=24)
"""So much useless notice, or part of it, is one false alarm."""

SPIKE_WITHIN = timedelta(hours=4)
SPIKE_M = 0.8

_ROUNDING_M = 1e-9  # 1.90 − 1.80 is a little more than .10 in binary
_PAIR = ["gauge_id", "level"]
_YEAR = timedelta(days=365.25)
_NEVER = pl.lit(datetime(9999, 1, 1, tzinfo=UTC), dtype=pl.Datetime("ms", "UTC"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Gauges that are reported together: ``these`` ids, or all ``others``; and the levels looked at."""

    name: str
    gauges: tuple[str, ...]
    are: Literal["these", "others"] = "these"
    levels: tuple[str, ...] = tuple(LEVELS)


def _ids(text: str) -> tuple[str, ...]:
    return tuple(text.split())


NET = Group(name="NET", gauges=_ids("1 12 24 25 26 27 31 32 43 62 63 75 76 77 80 88 91 92 107 206 207 208 209 211 212 213"))
"""Gauges in Fukui with usable upstream gauges."""

OTHC = Group(name="OTHC", gauges=(*NET.gauges, *_ids("205 14 16 17 48 134")), are="others")
"""The rest: without 205 (always wrong) and without five where L1 is routine, which are reported apart."""

NETP = Group(
    name="NETp",
    gauges=_ids("4 6 8 12 24 25 26 27 31 32 62 63 75 76 77 80 82 88 91 92 107 206 207 209 211 212"),
    levels=("L1", "L2"),
)
"""Gauges with pseudo-thresholds (see ``pseudo``): many more events, so methods are chosen on these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What came of the notices of a period. ``thresholds`` are the pairs that could be scored.

    ``events``: gauge_id, level, threshold_m, crossed_at, arrived, until, peak_m, outcome (hit, miss), lead_min (0 for
    a miss), late_min (how long after the crossing it was said; null unless late), said_at, notice_id (null: never said).

    ``notices``: gauge_id, level, threshold_m, notice_id, ids, said_at, over_at (null: it stands), peak_m, outcome, hours (in
    which the river was seen), alarms, useless_h. Outcomes: *hit*; *late* (said when the level was passed already, or less
    than 6 h after it fell below); *uncounted* (nobody saw when, or whether, it was passed); *near* (peak within 10 cm
    below); *open* (the period ends before its verdict); *false*; *unscored* (no usable threshold). ``alarms`` is how many
    false alarms it amounts to; silence of the gauge adds none.
    """

    events: pl.DataFrame
    notices: pl.DataFrame
    thresholds: pl.DataFrame
    period: timedelta


# Truth ----------------------------------------------------------------------------------------------------------------


def clean(levels: pl.DataFrame, gauges: pl.DataFrame) -> pl.DataFrame:
    """Readings that can be trusted afterwards: the last word on each, with a level, sign restored, without spikes.

    Give it the whole record rather than one flood: what counts as a spike depends on how high the gauge ever goes.

    Args:
        levels: ``river.level.v1`` of one region.
        gauges: ``river.gauge.v1`` of that region; readings of unknown gauges are kept as they are.

    Returns:
        gauge_id, observed_at, arrived, level_m (metres above the gauge's zero), sorted by gauge and time.
    """
    known = _newest(gauges).select("gauge_id", "sign_lost_below_m", "l1_standby_m")
    readings = (
        _last_word(levels, "gauge_id", "observed_at")
        .drop_nulls("level_m")
        .join(known, on="gauge_id", how="left")
        .with_columns(level_m=pl.max_horizontal("level_m", "sign_lost_below_m"))
        .sort("gauge_id", "observed_at")
        .with_columns(spike_m=_spike_m())
    )
    keep = ~_spikes(
        readings["gauge_id"].rank("dense").to_numpy(),
        readings["observed_at"].dt.epoch("ms").to_numpy(),
        readings["level_m"].to_numpy(),
        readings["spike_m"].to_numpy(),
    )
    return readings.filter(pl.Series(keep)).select("gauge_id", "observed_at", "arrived", "level_m")


def _last_word(records: pl.DataFrame, *identity: str) -> pl.DataFrame:
    """The highest version of each record, the last of equal ones, unless it is withdrawn."""
    ranked = records.sort("version", maintain_order=True) if "version" in records.columns else records
    last = ranked.unique(identity, keep="last", maintain_order=True)
    return last.filter(pl.col("op") != "withdrawn") if "op" in records.columns else last


def _newest(gauges: pl.DataFrame) -> pl.DataFrame:
    """The newest record of each gauge."""
    if "valid_from" not in gauges.columns:
        return gauges
    return _last_word(gauges, "gauge_id", "valid_from").sort("valid_from", maintain_order=True).unique("gauge_id", keep="last")


def _spike_m() -> pl.Expr:
    """How far a reading must stand out to be a spike: 0.8 m, or more where the gauge itself moves more."""
    level, median = pl.col("level_m"), pl.col("level_m").median().over("gauge_id")
    high = level.quantile(0.995, "linear").over("gauge_id") - median
    return pl.max_horizontal(pl.lit(SPIKE_M), high, 0.35 * (pl.col("l1_standby_m") - median))


def _spikes(
    gauge: NDArray[np.uint32], at_ms: NDArray[np.int64], level_m: NDArray[np.float64], by_m: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """True for readings in a run that stands out by more than ``by_m`` against the readings next to it on both sides.

    Both steps must be that steep, and the two sides at most 4 h apart: a flood that climbs over several readings is none.
    """
    spike = np.zeros(len(level_m), dtype=np.bool_)
    within_ms = SPIKE_WITHIN // timedelta(milliseconds=1)
    first = np.flatnonzero((np.diff(level_m) > by_m[1:]) & (np.diff(gauge) == 0)) + 1
    low, length = level_m[first], 0
    while first.size:
        length += 1
        after = np.minimum(first + length, len(level_m) - 1)
        inside = (first + length < len(level_m)) & (gauge[after] == gauge[first]) & (at_ms[after] - at_ms[first - 1] <= within_ms)
        found = inside & (low - np.maximum(level_m[first - 1], level_m[after]) > by_m[first])
        for start in first[found]:
            spike[start : start + length] = True
        going = inside & ~found
        first, low = first[going], np.minimum(low, level_m[after])[going]
    return spike


# Thresholds -----------------------------------------------------------------------------------------------------------


def official(gauges: pl.DataFrame) -> pl.DataFrame:
    """Thresholds that can be scored: those of the gauge records that lie above the level under which the sign is lost.

    Returns:
        gauge_id, level (L1 to L4), threshold_m.
    """
    return (
        _newest(gauges)
        .rename({field: level for level, field in LEVELS.items()})
        .unpivot(on=list(LEVELS), index=["gauge_id", "sign_lost_below_m"], variable_name="level", value_name="threshold_m")
        .drop_nulls("threshold_m")
        .filter(pl.col("sign_lost_below_m").is_null() | (pl.col("threshold_m") > pl.col("sign_lost_below_m")))
        .select("gauge_id", "level", pl.col("threshold_m").cast(pl.Float64))
        .sort("gauge_id", "level")
    )


def pseudo(table: pl.DataFrame) -> pl.DataFrame:
    """Thresholds from a table id, P1, P2, under the names L1 and L2 that notices can carry."""
    named = table.select(pl.col("id").cast(pl.String).alias("gauge_id"), pl.col("P1").alias("L1"), pl.col("P2").alias("L2"))
    return (
        named.unpivot(on=["L1", "L2"], index="gauge_id", variable_name="level", value_name="threshold_m")
        .drop_nulls("threshold_m")
        .sort("gauge_id", "level")
    )


def pairs(thresholds: pl.DataFrame, group: Group) -> pl.DataFrame:
    """The (gauge_id, level) of a group that have a threshold."""
    listed = pl.col("gauge_id").is_in(group.gauges)
    return thresholds.filter(listed if group.are == "these" else ~listed, pl.col("level").is_in(group.levels)).select(_PAIR)


# What the river did, and what was said --------------------------------------------------------------------------------


def passings(truth: pl.DataFrame, thresholds: pl.DataFrame) -> pl.DataFrame:
    """Every time a level was passed.

    Returns:
        gauge_id, level, threshold_m, crossed_at (its first reading at or above), arrived (of that reading), until (its last
        reading at or above), peak_m, and ``begin``: *observed*, or *unobserved* where the reading before is older than
        180 min or there is none.
    """
    seen = pl.col("observed_at") - pl.col("before_at") <= SEEN_WITHIN
    above = (
        truth.sort("gauge_id", "observed_at")
        .with_columns(before_at=pl.col("observed_at").shift().over("gauge_id"))
        .join(thresholds, on="gauge_id")
        .filter(pl.col("level_m") >= pl.col("threshold_m"))
        .sort(*_PAIR, "observed_at")
    )
    fresh = (pl.col("observed_at") - pl.col("observed_at").shift() >= BELOW_FOR).over(_PAIR).fill_null(True)
    return (
        above.with_columns(nth=fresh.cum_sum().over(_PAIR))
        .group_by(*_PAIR, "nth", maintain_order=True)
        .agg(
            pl.first("threshold_m"),
            pl.first("observed_at").alias("crossed_at"),
            pl.first("arrived"),
            pl.last("observed_at").alias("until"),
            pl.max("level_m").alias("peak_m"),
            pl.when(seen.fill_null(False).first()).then(pl.lit("observed")).otherwise(pl.lit("unobserved")).alias("begin"),
        )
        .drop("nth")
    )


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
        .sort(*_PAIR, "said_at", "id")
        .with_columns(begins=(pl.col("said_at") > over.cum_max().shift().over(_PAIR)).fill_null(True))
        .with_columns(nth=pl.col("begins").cum_sum().over(_PAIR))
        .group_by(*_PAIR, "nth", maintain_order=True)
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
    said = spells(notices).filter(pl.col("said_at") < end).join(thresholds, on=_PAIR, how="left", maintain_order="left")
    said = said.with_columns(over_at=pl.when(pl.col("over_at") <= end).then("over_at"))
    events = passed.filter(pl.col("begin") == "observed", pl.col("arrived").is_between(start, end, closed="left"))
    return Scored(
        events=_told(events.drop("begin"), said),
        notices=_judged(said.filter(pl.col("said_at") >= start), passed, truth, end),
        thresholds=thresholds,
        period=end - start,
    )


def _told(events: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """Events with the notice that was active when the level was crossed, or else the one that came too late for it."""
    told = said.select(*_PAIR, "said_at", "over_at", "notice_id").sort("said_at")
    after = told.select(*_PAIR, pl.col("said_at").alias("late_at"), pl.col("notice_id").alias("late_id"))
    on: dict[str, object] = {"left_on": "crossed_at", "by": _PAIR, "check_sortedness": False}
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
            *_PAIR, "threshold_m", "crossed_at", "arrived", "until", "peak_m",
            pl.when("hit").then(pl.lit("hit")).otherwise(pl.lit("miss")).alias("outcome"),
            pl.when("hit").then(_minutes(pl.col("crossed_at") - pl.col("said_at"))).otherwise(0.0).alias("lead_min"),
            pl.when("late").then(_minutes(pl.col("late_at") - pl.col("crossed_at"))).alias("late_min"),
            pl.when("hit").then("said_at").when("late").then("late_at").alias("said_at"),
            pl.when("hit").then("notice_id").when("late").then("late_id").alias("notice_id"),
        )
        .sort("crossed_at", *_PAIR)
    )  # fmt: skip


def _judged(said: pl.DataFrame, passed: pl.DataFrame, truth: pl.DataFrame, end: datetime) -> pl.DataFrame:
    """Notices with what came of them."""
    clock = _watched(truth)
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
        .select(*_PAIR, "threshold_m", "notice_id", "ids", "said_at", "over_at", "peak_m", "outcome", "hours", "alarms", "useless_h")
        .sort("said_at", *_PAIR)
    )


def _watched(truth: pl.DataFrame) -> pl.DataFrame:
    """A clock for each gauge that runs only while its river is seen: for 180 min after each reading, at most."""
    step = pl.min_horizontal(pl.col("observed_at").diff().over("gauge_id").fill_null(timedelta(0)), SEEN_WITHIN)
    return truth.select("gauge_id", "observed_at", clock=step).with_columns(pl.col("clock").cum_sum().over("gauge_id"))


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
    touched = said.join(passed.drop("threshold_m"), on=_PAIR).filter(
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


def _alarms(notices: pl.DataFrame, which: pl.Expr) -> int:
    return int(notices.filter(which)["alarms"].sum())


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


# Rates ----------------------------------------------------------------------------------------------------------------


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
        period=sum((each.period for each in rest), first.period),
    )


def summary(scored: Scored, group: Group) -> pl.DataFrame:
    """One row of figures for a group of gauges and levels.

    Returns:
        group, events, hits, misses, false, near, late, open, pod, far, far_with_near, csi, lead_median_min, lead_q25_min,
        false_h_per_gauge_year. A rate is null when there is nothing to divide by.
    """
    among = pairs(scored.thresholds, group)
    events = scored.events.join(among, on=_PAIR, how="semi")
    notices = scored.notices.join(among, on=_PAIR, how="semi")
    hits = events.filter(pl.col("outcome") == "hit").height
    misses = events.height - hits
    near = _alarms(notices, pl.col("outcome") == "near")
    false = _alarms(notices, pl.col("outcome") != "near")
    gauge_years = among["gauge_id"].n_unique() * (scored.period / _YEAR)
    return pl.DataFrame(
        {
            "group": group.name, "events": events.height, "hits": hits, "misses": misses, "false": false, "near": near,
            "late": notices.filter(pl.col("outcome") == "late").height, "open": notices.filter(pl.col("outcome") == "open").height,
            "pod": _share(hits, hits + misses), "far": _share(false, false + hits),
            "far_with_near": _share(false + near, false + near + hits), "csi": _share(hits, hits + misses + false),
            "lead_median_min": events["lead_min"].median(), "lead_q25_min": events["lead_min"].quantile(0.25, "linear"),
            "false_h_per_gauge_year": _share(float(notices["useless_h"].sum()), gauge_years),
        }
    )  # fmt: skip

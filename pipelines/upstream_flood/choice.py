"""Chooses between ways to fit the flood rule and to raise, by leaving out one flood after the other.

A way is fitted on all floods but one and put to that one, so that none is judged by what it has seen: scales, coefficients and
errors are of the other floods. When notices begin and end is judged by ``FloodRule`` itself; what came of them by ``score``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.derive import Verdict
from pipelines.linkage.grid import Grid, Key, instant, instants, milliseconds
from pipelines.linkage.sliding import Sliding
from pipelines.upstream_flood import rain
from pipelines.upstream_flood.evidence import FEATURES, VARIANTS, Evidence, evidence
from pipelines.upstream_flood.fit import How, Sky, prepared, regressed
from pipelines.upstream_flood.model import TABLES, WITH_RAIN
from pipelines.upstream_flood.network import LEVELS, RAISE_AT, Network, network
from pipelines.upstream_flood.rule import CLEAR_SHARE, EVERY, FloodRule
from pipelines.upstream_flood.score import QUIET, Group, Scored, clean, official, pairs, passings, score, together

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["OPEN_TO_CHOICE", "RAINED", "WAYS", "Floods", "Trial", "Way", "chosen", "floods_apart", "tried", "whole"]

Array = NDArray[Any]
Record = Mapping[str, Any]

WARM_UP = timedelta(hours=48)
RAISES_BY_H = 3
AHEAD = timedelta(hours=RAISES_BY_H)
"""What is passed so soon after the first reading that followed a silence is not judged: nobody can tell it before."""
PART = 720


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to fit and to raise; what is not said is as chosen."""

    name: str
    how: How = field(default_factory=How)
    raise_at: float = RAISE_AT
    net_from: float = CLEAR_SHARE
    """Share of ``raise_at`` from which on the safety net counts: 0 always, infinity never."""
    richest: str = VARIANTS[-1]
    """The richest coefficient table that may be used."""
    hears: float = 1.0
    """Share of the gauges that are heard."""


ALONE, NEVER = 0.0, np.inf
RAISED_AT = (0.15, 0.2, 0.25, 0.3)
WAYS = (
    *(Way(name=f"raised from {at:.2f}", raise_at=at) for at in RAISED_AT),
    *(Way(name=f"raised from {at:.2f}, no safety net", raise_at=at, net_from=NEVER) for at in RAISED_AT),
    *(Way(name=f"raised from {at:.2f}, safety net alone raises, too", raise_at=at, net_from=ALONE) for at in RAISED_AT),
    Way(name="errors of one size", how=How(spread="constant")),
    Way(name="rows count by their full weight", how=How(weight_power=1.0)),
    Way(name="gauges drawn more to the pooled fit", how=How(ridge_gauge=1.0)),
    Way(name="without neighbours", richest="own_upstream"),
    Way(name="own level alone", richest="own"),
    Way(name="safety net alone", raise_at=2.0, net_from=ALONE),
    Way(name="30 % of the gauges not heard", hears=0.7),
)
"""What is tried. The ways of the first line may be chosen; the others show what each part is worth."""
RAINED = Way(name="with rain, where it is known", richest=WITH_RAIN)
"""What is tried, too, where there is rain."""
OPEN_TO_CHOICE = len(RAISED_AT)
"""The safety net stays, whatever it costs: where the river is faster than the forecast a miss weighs more than a false alarm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floods:
    """Recorded readings cut into periods with one flood each."""

    levels: pl.DataFrame
    truth: pl.DataFrame
    gauges: pl.DataFrame
    trial: pl.DataFrame
    """Gauge records with the thresholds to choose on."""
    periods: Sequence[tuple[datetime, datetime]]
    """From (inclusive) and to (exclusive), event time."""
    level_feed: Feed
    region: str
    sky: Sky | None = None

    def rained(self, nth: int) -> bool:
        """Whether rain was recorded in most hours of a period."""
        if self.sky is None:
            return False
        begin, end = self.periods[nth]
        hours = self.sky.rain.filter(pl.col("observed_at").is_between(begin, end, closed="left"))["observed_at"].n_unique()
        return hours * rain.EVERY >= (end - begin) / 2


def floods_apart(
    levels: pl.DataFrame, gauges: pl.DataFrame, trial: pl.DataFrame, on: Group, *, level_feed: Feed, region: str, sky: Sky | None = None
) -> Floods:  # fmt: skip
    """Cuts the record midway between floods: times at which a level of the trial was passed, with more than 72 quiet hours between.

    Args:
        levels: ``river.level.v1`` of the region.
        gauges: ``river.gauge.v1`` with official thresholds.
        trial: the same with the thresholds to choose on.
        on: whose passings make a flood.
        level_feed: the feed of the readings.
        region: which region.
        sky: rain and its stations; None: there is none.
    """
    in_time = levels.filter(pl.col("arrived") - pl.col("observed_at") <= level_feed.patience)
    truth = clean(in_time, gauges)
    passed = passings(truth, official(trial).join(pairs(official(trial), on), on=["gauge_id", "level"], how="semi")).sort("crossed_at")
    begun = passed.with_columns(nth=(pl.col("crossed_at").diff() > QUIET).fill_null(True).cum_sum())
    spans = begun.group_by("nth").agg(pl.min("crossed_at"), pl.max("until")).sort("nth").select("crossed_at", "until").rows()
    cuts = [over + max(begins - over, timedelta(0)) / 2 for (_, over), (begins, _) in pairwise(spans)]
    first, last = in_time["observed_at"].min(), in_time["observed_at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    periods = list(pairwise([first, *cuts, last + timedelta(milliseconds=1)]))
    return Floods(levels=in_time, truth=truth, gauges=gauges, trial=trial, periods=periods, level_feed=level_feed, region=region, sky=sky)


def tried(floods: Floods, ways: Sequence[Way], nth: int, unheard: Array) -> dict[str, tuple[Scored, Scored]]:
    """Fits on all floods but one and judges each way by that one.

    Args:
        floods: what ``floods_apart`` gives.
        ways: what to try.
        nth: which flood to leave out.
        unheard: a number from 0 to 1 for each gauge (by region and id); a way hears those below its share.

    Returns:
        By name of the way what came of its notices on the thresholds of the trial, and on official ones.
    """
    begin, end = floods.periods[nth]
    inside = pl.col("observed_at").is_between(begin, end, closed="left")
    ground, found = prepared(
        floods.levels.filter(~inside), floods.gauges, level_feed=floods.level_feed, region=floods.region, sky=floods.sky
    )
    hows, since = dict.fromkeys(way.how for way in ways), floods.periods[0][0]
    about: dict[str, Any] = {"region": floods.region, "valid_from": since, "fitted_on": "the other floods", "horizons": (RAISES_BY_H,)}
    models = {how: regressed(ground, found, how=how, **about) for how in hows}
    heard = floods.levels.filter(pl.col("observed_at").is_between(begin - WARM_UP, end, closed="left"))
    arrivals = np.unique(instants(heard["arrived"]))
    out = {}
    for share in dict.fromkeys(way.hears for way in ways):
        ids = [key[1] for key, number in zip(ground.keys, unheard, strict=True) if number < share]
        trial = Trial(floods, ground.keys, heard.filter(pl.col("gauge_id").is_in(ids)), begin)
        for way in ways:
            if way.hears == share:
                notices = trial.notices(models[way.how], way, arrivals)
                out[way.name] = tuple(_judged(floods, gauges, notices[name], ids, (begin, end)) for name, gauges in trial.sets.items())
    return {way.name: out[way.name] for way in ways}  # type: ignore[misc]


def _judged(floods: Floods, gauges: pl.DataFrame, notices: pl.DataFrame, heard: Sequence[str], period: tuple[datetime, datetime]) -> Scored:
    thresholds = official(gauges).filter(pl.col("gauge_id").is_in(heard))
    found = score(floods.truth, thresholds, notices, period)
    return replace(found, events=found.events.filter(pl.col("crossed_at") - pl.col("seen_since") >= AHEAD))


class Trial:
    """The readings of one flood, what the rule sees in them, and what it would say of it one way or another."""

    def __init__(self, floods: Floods, keys: Sequence[Key], heard: pl.DataFrame, begin: datetime) -> None:
        self.keys = tuple(keys)
        self.sets = {"trial": floods.trial, "official": floods.gauges}
        self._records = {name: _records(gauges) for name, gauges in self.sets.items()}
        self._past = Grid(floods.level_feed, value="level_m", every=EVERY, bridge=FloodRule.bridge)
        self._past.know(self.keys)
        self._past.add(heard.filter(pl.col("gauge_id").is_in([key[1] for key in self.keys])))
        self._sky = floods.sky
        if floods.sky is not None:
            self._past.beside["rain"] = floods.sky.past(begin - WARM_UP, heard["observed_at"].max())  # type: ignore[arg-type]
        first = max(self._past.slots.first, int(self._past.slot_of(int(begin.timestamp() * 1000))))
        self._slots = range(first, self._past.slots.stop)
        self._seen: dict[bytes, list[Evidence]] = {}

    def notices(self, model: Record, way: Way, arrivals: Array) -> dict[str, pl.DataFrame]:
        """What the way would have said, on each set of thresholds."""
        places = None if self._sky is None else self._sky.places()
        models: dict[Key, Record] = {(model["region"],): model}
        grounds = {name: network(self.keys, records, models, FEATURES, stations=places) for name, records in self._records.items()}
        thresholds = np.concatenate([ground.thresholds_m for ground in grounds.values()], axis=1)
        ground = replace(grounds["official"], thresholds_m=thresholds, raise_at=np.full(len(self.keys), way.raise_at))
        rule = FloodRule()
        rule.net_from = way.net_from
        said = _episodes(*self._verdict(rule, ground, way), self._slots, rule.least[0] // EVERY)
        names = [(name, level) for name in grounds for level in LEVELS]
        rows = [(*names[column], self.keys[row][1], onset, ended) for row, column, onset, ended in said]
        rained = self._rain_came() if way.richest == WITH_RAIN else {}
        return {name: self._told([each[1:] for each in rows if each[0] == name], arrivals, rained) for name in grounds}

    def _rain_came(self) -> dict[int, int]:
        """When the last amount of each hour had come, by its end; both in ms."""
        if self._sky is None:
            return {}
        came = self._sky.rain.group_by("observed_at").agg(pl.col("arrived").max())
        return dict(zip(instants(came["observed_at"]).tolist(), instants(came["arrived"]).tolist(), strict=True))

    def _evidence(self, ground: Network) -> list[Evidence]:
        known = ground.learned.scale_m.tobytes() + ground.learned.median_m.tobytes()
        if known not in self._seen:
            starts = range(self._slots.start, self._slots.stop, PART)
            self._seen[known] = [evidence(ground, self._past, range(at, min(at + PART, self._slots.stop))) for at in starts]
        return self._seen[known]

    def _verdict(self, rule: FloodRule, ground: Network, way: Way) -> tuple[Verdict, int]:
        """The rule's verdict, and of how many thresholds."""
        count = ground.thresholds_m.shape[1]
        fields = {name: (kind, fill, (count,) if name in _OF_LEVELS else tail) for name, (kind, fill, tail) in rule.weights.items()}
        weighed = Sliding(fields)
        weighed.widen(len(self.keys))
        weighed.extend(self._slots.start, self._slots.stop)
        at, richest = self._slots.start, TABLES.index(way.richest)
        for all_seen in self._evidence(ground):
            seen = replace(all_seen, variant=np.minimum(all_seen.variant, richest))
            for name, values in rule.weighed(ground, seen).items():
                weighed.window(name, at, at + len(seen.of))[...] = values[seen.of]
            at += len(seen.of)
        return rule.judge(ground, self._past, weighed, self._slots), count

    def _told(self, rows: Sequence[tuple[str, str, int, int | None]], arrivals: Array, rained: Mapping[int, int]) -> pl.DataFrame:
        """Each notice as it was raised and as it was cleared, said when the first readings of that slot had come, and the rain."""
        hour = milliseconds(rain.EVERY)

        def said(slot: int) -> datetime:
            nth = int(np.searchsorted(arrivals, (slot - 1) * self._past.every_ms, side="right"))
            hour_ms = slot * self._past.every_ms // hour * hour
            return instant(max(int(arrivals[min(nth, len(arrivals) - 1)]), rained.get(hour_ms, 0)))

        turns = []
        for level, gauge_id, onset, ended in rows:
            about = {"id": f"{gauge_id}/{level}/{onset}", "gauge_id": gauge_id, "level": level}
            turns.append(about | {"revision": 1, "state": "raised", "said_at": said(onset)})
            if ended is not None:
                turns.append(about | {"revision": 2, "state": "cleared", "said_at": said(ended)})
        return pl.DataFrame(turns, schema=_TURNS)


_OF_LEVELS = ("p", "raises", "calm", "quiet")
_TURNS: dict[str, Any] = {
    "id": pl.String, "gauge_id": pl.String, "level": pl.String, "revision": pl.Int64, "state": pl.String,
    "said_at": pl.Datetime("ms", "UTC"),
}  # fmt: skip


def _records(gauges: pl.DataFrame) -> dict[Key, Record]:
    return {(row["region"], row["gauge_id"]): row for row in gauges.sort("valid_from").iter_rows(named=True)}


def _episodes(verdict: Verdict, count: int, slots: range, least: int) -> Iterator[tuple[int, int, int, int | None]]:
    """Row, threshold, first slot and end of each notice; None: it stands at the end."""
    opens, closes, void = (each[..., :count] for each in (verdict.opens, verdict.closes, verdict.void))
    onset = np.full(opens.shape[1:], -1)
    some = set(np.flatnonzero(opens.any(axis=(1, 2))).tolist())
    for nth, slot in enumerate(slots):
        is_open = onset >= 0
        if nth not in some and not is_open.any():
            continue
        closing = is_open & closes[nth] & (slot - onset >= least)
        for row, column in np.argwhere(closing).tolist():
            yield row, column, int(onset[row, column]), slot
        onset = np.where(closing, -1, np.where(~is_open & opens[nth] & ~void[nth], slot, onset))
    for row, column in np.argwhere(onset >= 0).tolist():
        yield row, column, int(onset[row, column]), None


def chosen(csi: Mapping[str, float], draws: Mapping[str, Array], lead_min: Mapping[str, float]) -> str:
    """Of the ways that are within one standard error of the best, the one that warns longest before.

    Args:
        csi: critical success index by name of the way.
        draws: the same when floods are drawn again, the same draws for all.
        lead_min: mean lead, minutes.
    """
    best = max(csi, key=lambda name: (csi[name], name))
    near = [name for name in csi if csi[best] - csi[name] <= float(np.nanstd(draws[best] - draws[name]))]
    return max(near, key=lambda name: (lead_min[name], csi[name], name))


def whole(parts: Sequence[Mapping[str, tuple[Scored, Scored]]], name: str) -> tuple[Scored, Scored]:
    """What came of a way over all floods: on the thresholds of the trial, and on official ones."""
    return together(each[name][0] for each in parts), together(each[name][1] for each in parts)

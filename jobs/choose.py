"""``tsunagu fit upstream_flood --choose``: shows what the ways to fit and to raise are worth, by leaving out one flood after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from connectors import gauges, pseudo_thresholds
from jobs.fit import readings
from jobs.linkages import GAUGES
from jobs.score import PSEUDO
from jobs.words import counted, jst
from pipelines.upstream_flood.choice import OPEN_TO_CHOICE, RAINED, WAYS, Floods, Way, chosen, floods_apart, tried, whole
from pipelines.upstream_flood.fit import FitError, Sky
from pipelines.upstream_flood.model import WITH_RAIN
from pipelines.upstream_flood.score import BOTH, NET, NETP, OTHC, Group, Scored, drawn, interval, pairs, summary
from schemas import feed

__all__ = ["Choose", "lines", "run"]

LEVELS = "river.level.v1"
DRAWS, SEED = 1000, 1
"""Floods are drawn again so many times; chance begins here, so that the same readings give the same table."""
HEARD_SEED = 1
"""Which gauges are not heard, where some are not."""
LEAST_FLOODS = 2
BESIDE = (NET, OTHC, BOTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Figures of one way on the thresholds that are chosen on, with draws of its CSI; and on official ones."""

    figures: Mapping[str, Any]
    csi_draws: NDArray[Any]
    lead_mean_min: float
    official: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choose:
    """Settings of a choice. Times are those of arrival."""

    sources: tuple[str, ...]
    gauges: Path = GAUGES
    pseudo: Path = PSEUDO
    since: datetime | None = None
    until: datetime | None = None


def run(settings: Choose) -> int:
    """Prints the table of all ways, the chosen one marked; returns the exit code."""
    known = gauges.read(settings.gauges)
    levels, region, sky = readings(settings.sources, settings.since, settings.until)
    trial = pseudo_thresholds.put(known, pseudo_thresholds.read(settings.pseudo))
    for line in lines(levels, known, trial, region, WAYS if sky is None else (*WAYS, RAINED), sky):
        print(line, flush=True)
    return 0


def lines(
    levels: pl.DataFrame, known: pl.DataFrame, trial: pl.DataFrame, region: str, ways: Sequence[Way] = WAYS, sky: Sky | None = None
) -> Iterator[str]:  # fmt: skip
    """The table of all ways, line by line.

    Args:
        levels: ``river.level.v1`` of the region.
        known: ``river.gauge.v1``.
        trial: the same with the thresholds to choose on.
        region: which region.
        ways: what to try.
        sky: rain and its stations; None: there is none.

    Raises:
        FitError: there is no second flood to fit on.
    """
    floods = floods_apart(levels, known, trial, NETP, level_feed=feed(LEVELS), region=region, sky=sky)
    if len(floods.periods) < LEAST_FLOODS:
        raise FitError(f"readings to choose on must hold {LEAST_FLOODS} floods (got {len(floods.periods)}): give a longer period")
    unheard = np.random.default_rng(HEARD_SEED).random(known.select("region", "gauge_id").n_unique())
    yield f"{levels.height:,} readings, {counted(len(floods.periods), 'flood')}, each judged by a fit on the others:"
    parts = []
    for nth, (begin, end) in enumerate(floods.periods):
        parts.append(tried(floods, ways, nth, unheard))
        passed = summary(parts[-1][ways[0].name][0], NETP)["events"][0]
        yield f"{nth + 1:4}  {jst(begin)} to {jst(end)}: NETp's levels passed {counted(passed, 'time')}"
    rows = {way.name: _row(*whole(parts, way.name), floods) for way in ways}
    open_to_choice = [way.name for way in ways[:OPEN_TO_CHOICE]]
    best = chosen(
        {name: float(rows[name].figures["csi"] or 0.0) for name in open_to_choice},
        {name: rows[name].csi_draws for name in open_to_choice},
        {name: rows[name].lead_mean_min for name in open_to_choice},
    )
    yield from _lines(rows, best)
    yield from _unheard_lines(rows, parts, ways)
    yield from _rain_lines([part for nth, part in enumerate(parts) if floods.rained(nth)], ways)


def _row(on_trial: Scored, on_official: Scored, floods: Floods) -> _Row:
    begins = [begin for begin, _ in floods.periods]
    times = np.random.default_rng(SEED).multinomial(len(begins), [1 / len(begins)] * len(begins), size=DRAWS)
    mean = on_trial.events.join(pairs(on_trial.thresholds, NETP), on=["gauge_id", "level"], how="semi")["lead_min"].mean()
    assert isinstance(mean, float)
    return _Row(
        figures=summary(on_trial, NETP).row(0, named=True),
        csi_draws=drawn(on_trial, NETP, begins, times)["csi"],
        lead_mean_min=mean,
        official={group.name: summary(on_official, group).row(0, named=True) for group in BESIDE},
    )


def _lines(rows: Mapping[str, _Row], best: str) -> Iterator[str]:
    first = next(iter(rows.values()))
    counts = ", ".join(f"{name} {each['events']}" for name, each in first.official.items())
    yield f"levels passed: NETp {first.figures['events']}; official: {counts}"
    yield "lead: median / lower quartile / mean, minutes, a miss counts 0"
    yield "left out: what is passed within 3 h of the first reading that followed a silence, which nobody can tell before"
    yield f"in brackets: 90 % interval of CSI, floods drawn again {DRAWS} times (seed {SEED})"
    yield f"\n{'':2}{'':50}{'NETp':50}" + "".join(f"{name:32}" for name in first.official)
    official = f"{'POD':5}{'FAR':5}{'CSI':5}{'lead':17}" * len(first.official)
    yield f"{'':2}{'way':50}{'POD':5}{'FAR':5}{'CSI':5}{'':14}{'lead':21}{official}".rstrip()
    for name, row in rows.items():
        ends = interval(row.csi_draws)
        told = "" if ends is None else f"[{_share(ends[0])}–{_share(ends[1])}]"
        lead = f"{_lead(row.figures)}/{row.lead_mean_min:.0f}"
        beside = "".join(f"{_rates(each)}{_lead(each):17}" for each in row.official.values())
        yield f"{'→ ' if name == best else '  '}{name:50}{_rates(row.figures)}{told:14}{lead:21}{beside}".rstrip()
    yield f"\n→ {best}: of the ways with a safety net, those within one standard error of the best CSI; of these the longest lead"


def _unheard_lines(rows: Mapping[str, _Row], parts: Sequence[Mapping[str, tuple[Scored, Scored]]], ways: Sequence[Way]) -> Iterator[str]:
    """What CSI falls by where gauges are not heard, on those that are."""
    for way in ways:
        if way.hears < 1:
            heard = whole(parts, way.name)[0]
            same = [each.name for each in ways if each.hears == 1 and (each.how, each.raise_at, each.net_from, each.richest) ==
                    (way.how, way.raise_at, way.net_from, way.richest)]  # fmt: skip
            for name in same:
                ids = pl.col("gauge_id").is_in(heard.thresholds["gauge_id"].unique().to_list())
                full = whole(parts, name)[0]
                group = Group(name="heard", gauges=tuple(full.thresholds.filter(ids)["gauge_id"].unique()), levels=NETP.levels)
                both = [summary(each, group)["csi"][0] for each in (full, heard)]
                yield f"{way.name}: CSI on NETp's gauges that are heard {_share(both[1])}, with all gauges {_share(both[0])}"


def _rain_lines(parts: Sequence[Mapping[str, tuple[Scored, Scored]]], ways: Sequence[Way]) -> Iterator[str]:
    """What rain is worth, on the floods in whose time it was recorded."""
    for way in ways:
        same = [each.name for each in ways if each.richest == "full" and replace(each, name=way.name, richest=way.richest) == way]
        if way.richest != WITH_RAIN or not parts or not same:
            continue
        yield f"\non the {counted(len(parts), 'flood')} with rain:"
        for name in (same[0], way.name):
            on_trial, on_official = whole(parts, name)
            told = [(NETP.name, on_trial, NETP), *((each.name, on_official, each) for each in BESIDE)]
            for of, scored, group in told:
                figures = summary(scored, group).row(0, named=True)
                yield f"  {name:32}{of:12}{figures['events']:4} passed  {_rates(figures)}{_lead(figures)}"


def _rates(figures: Mapping[str, Any]) -> str:
    return "".join(f"{_share(figures[name]):5}" for name in ("pod", "far", "csi"))


def _lead(figures: Mapping[str, Any]) -> str:
    median, low = figures["lead_median_min"], figures["lead_q25_min"]
    return "–" if median is None else f"{median:.0f}/{low:.0f}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.2f}".removeprefix("0")

"""``tsunagu score upstream_flood``: judges notices by what the rivers did, beside forecasts that cost nothing.

The judge has its own reading of the river and shares nothing with the rule. Persistence and rate of rise are put through the
rule's own raising and clearing, so that what differs is the forecast.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from connectors import Arrivals, gauges, model, pseudo_thresholds
from jobs.linkages import DATA, GAUGES, MODEL
from jobs.progress import Progress
from jobs.said import said_in
from jobs.score.beside import notices_of
from jobs.score.figures import DRAWS, OURS, SEED, judged
from jobs.score.lines import lines
from jobs.sink import SinkError, in_folder
from jobs.sources import arrivals
from jobs.words import jst
from pipelines.upstream_flood.foretold import foretold
from pipelines.upstream_flood.reference import REFERENCES, reference
from pipelines.upstream_flood.score import LEVELS as OFFICIAL
from pipelines.upstream_flood.score import (
    NETP,
    Group,
    Scored,
    after,
    clean,
    groups,
    official,
    pairs,
    passings,
    persistence_index,
    scales,
)
from schemas import feed

__all__ = ["PSEUDO", "Score", "ScoreError", "run"]

LEVELS, GAUGE, NOTICE, MODEL_FEED = "river.level.v1", "river.gauge.v1", "river.flood-notice.v1", "river.flood-model.v1"
PSEUDO = DATA / "fukui" / "pseudo-thresholds.csv"
INDEX_H = (1, 3, 6)
"""Horizons of the persistence index, hours."""
EQUAL_M = 1e-6


class ScoreError(ValueError):
    """Notices cannot be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Settings of a judgement. ``since`` and ``until`` are arrival times; None: all of the truth."""

    facts: str
    truth: tuple[str, ...]
    pseudo_facts: str | None = None
    pseudo: Path = PSEUDO
    gauges: Path = GAUGES
    model: Path = MODEL
    since: datetime | None = None
    until: datetime | None = None
    to: Path | None = None


def run(settings: Score) -> int:
    """Prints how good the notices were; returns the exit code."""
    if settings.to is not None and in_folder(settings.to).suffix != ".json":
        raise SinkError(f"--to must be FILE.json (got {str(settings.to)!r}): for example build/score.json")
    every = gauges.read(settings.gauges)
    record = model.read(settings.model, MODEL_FEED).row(0, named=True)
    past = _past(settings, every)
    known = every.filter(pl.col("region") == past.region)
    facts = _facts(settings.facts, known, settings.gauges)
    trial = None if settings.pseudo_facts is None else _trial(settings.pseudo_facts, known, settings.pseudo)
    among = groups(past.region, known)
    told, scored = judged(past.truth, official(known), _beside(facts, past, known), past.period, among)
    if trial is not None:
        told += judged(past.truth, official(trial[1]), _beside(trial[0], past, trial[1]), past.period, (NETP,))[0]
    index = _index(past, known, record, among[0]) if record["region"] == past.region else []
    since, until = past.period
    about = {
        "facts": f"{settings.facts}: {facts.height:,} statements, {_models(facts)}",
        "truth": ", ".join(settings.truth),
        "readings": past.levels.filter(pl.col("arrived").is_between(since, until, closed="left")).height,
        "since": since,
        "until": until,
        "unjudged": _unjudged(facts, known),
    }
    high = _high(scored, facts, known)
    for line in lines(about, told, index, high):
        print(line)
    if trial is None and past.region == "fukui":
        print(f"\n{NETP.name} is told of facts on pseudo-thresholds only: see --pseudo-facts in tsunagu score upstream_flood --help")
    if settings.to is not None:
        whole = about | {"draws": DRAWS, "seed": SEED, "groups": [asdict(each) for each in told], "persistence_index": index, "high": high}
        settings.to.write_text(json.dumps(whole, default=datetime.isoformat, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """What happened: arrivals as they came, all readings among them, those that can be trusted, and the period to judge."""

    region: str
    chunks: Sequence[Arrivals]
    levels: pl.DataFrame
    truth: pl.DataFrame
    period: tuple[datetime, datetime]


def _past(settings: Score, known: pl.DataFrame) -> _Past:
    with Progress() as progress:
        chunks = list(progress.watched(arrivals(settings.truth)))
    levels = pl.concat([feed(LEVELS).empty(), *(chunk[LEVELS] for chunk in chunks if LEVELS in chunk)])
    regions = levels["region"].unique().sort().to_list()
    if len(regions) != 1:
        raise ScoreError(f"truth must be readings of one region (got {', '.join(regions) or 'none'}): judge each on its own")
    first, last = levels["arrived"].min(), levels["arrived"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    of_region = known.filter(pl.col("region") == regions[0])
    if not of_region.height:
        raise ScoreError(f"gauges of {regions[0]} must have a record (got none in {settings.gauges.name}): see --gauges")
    period = (settings.since or first).astimezone(UTC), (settings.until or last + timedelta(milliseconds=1)).astimezone(UTC)
    if not levels["arrived"].is_between(*period, closed="left").any():
        raise ScoreError(
            f"truth must hold readings that arrived in the period (got none from {jst(period[0])} to {jst(period[1])}): check --between"
        )
    return _Past(region=regions[0], chunks=chunks, levels=levels, truth=clean(levels, of_region), period=period)


def _facts(where: str, known: pl.DataFrame, thresholds: Path) -> pl.DataFrame:
    """All that was said, on the very thresholds that it is to be judged by."""
    facts = said_in(where, NOTICE).filter(pl.col("region").is_in(known["region"].implode()))
    if not facts.height:
        raise ScoreError(f"facts must hold a statement of {known['region'][0]} at least (got none in {where}): see tsunagu replay")
    both = facts.drop_nulls(["level", "threshold_m"]).join(official(known), on=["gauge_id", "level"], how="left", suffix="_known")
    other = both.filter((pl.col("threshold_m") - pl.col("threshold_m_known").fill_null(float("inf"))).abs() > EQUAL_M)
    if other.height:
        row = other.row(0, named=True)
        raise ScoreError(
            f"threshold of a notice must be that of the judge (got {row['threshold_m']:g} m in {row['id']}, "
            f"{row['threshold_m_known']} in {thresholds.name}): give what the facts were said on"
        )
    return facts


def _trial(where: str, known: pl.DataFrame, table: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Facts that were said on pseudo-thresholds, and the gauge records with these."""
    put = pseudo_thresholds.put(known, pseudo_thresholds.read(table))
    return _facts(where, put, table), put


def _beside(facts: pl.DataFrame, past: _Past, known: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """The notices to be judged, and those of forecasts that cost nothing."""
    others = {name: notices_of(reference(hours), past.chunks, {GAUGE: known}, past.levels) for name, hours in REFERENCES.items()}
    return {OURS: facts, **others}


def _index(past: _Past, known: pl.DataFrame, record: Mapping[str, Any], group: Group) -> list[dict[str, Any]]:
    """How good the model's numbers are, beside the rise of the last hour carried on: at every reading, and while a flood goes on."""
    thresholds = official(known)
    of = pairs(thresholds, group)["gauge_id"].unique().sort().to_list()
    in_time = pl.col("arrived") - pl.col("observed_at") <= feed(LEVELS).patience
    records: dict[tuple[str, ...], Any] = {(row["region"], row["gauge_id"]): row for row in known.sort("valid_from").iter_rows(named=True)}
    told = foretold(past.levels.filter(in_time), records, record, level_feed=feed(LEVELS), of=of, hours=INDEX_H)
    told = told.filter(pl.col("at").is_between(*past.period, closed="left")).join(scales(past.truth, known), on="gauge_id")
    floods = passings(past.truth, thresholds.join(pairs(thresholds, group), on=["gauge_id", "level"], how="semi")).sort("crossed_at")
    near = told.sort("at").join_asof(floods.select("crossed_at"), left_on="at", right_on="crossed_at", strategy="nearest", tolerance="24h")
    out = []
    for when, rows in (("at all times", told), ("around a flood", near.drop_nulls("crossed_at"))):
        for hours in INDEX_H:
            then = after(past.truth, rows, timedelta(hours=hours))
            carried_on = pl.col("level_m") + hours * pl.col("d1_m")
            for name in ("model", "rise carried on"):
                for of_what, came, foretells in (("highest within", "highest_m", "highest"), ("level after", "then_m", "then")):
                    forecast = pl.col(f"{foretells}_{hours}h_m") if name == "model" else carried_on
                    found = persistence_index(then.with_columns(forecast_m=forecast), came)
                    out.append(
                        {
                            "group": group.name,
                            "model": record["model"],
                            "forecast": name,
                            "of": of_what,
                            "when": when,
                            "hours": hours,
                            "index": found,
                        }
                    )
    return out


def _models(facts: pl.DataFrame) -> str:
    """Who said it."""
    names = [*facts["rule"].unique().sort(), *facts["model"].drop_nulls().unique().sort()]
    return "by " + ", ".join(names)


def _unjudged(facts: pl.DataFrame, known: pl.DataFrame) -> dict[str, int]:
    """Gauges with official levels of which none can be judged, and how many notices were said of them."""
    fields = list(OFFICIAL.values())
    held = known.filter(pl.any_horizontal(pl.col(fields).is_not_null())).unique("gauge_id", keep="last", maintain_order=True)
    none = held.join(official(known), on="gauge_id", how="anti").sort("gauge_id")
    told = facts.drop_nulls("level").unique("id")
    return {
        f"{row['gauge_id']} {row['river']} {row['name']}": told.filter(pl.col("gauge_id") == row["gauge_id"]).height
        for row in none.iter_rows(named=True)
    }


def _high(scored: Scored, facts: pl.DataFrame, known: pl.DataFrame) -> list[dict[str, Any]]:
    """Every time that L3 or L4 was passed, with what was said first of it."""
    said = facts.select(notice_id="id", said_at="said_at", p_exceed="p_exceed", rule="rule", model="model", revision="revision",
                        variant=pl.col("because").struct.field("variant"))  # fmt: skip
    first = said.sort("revision").unique(["notice_id", "said_at"], keep="last")
    names = known.select("gauge_id", "river", "name").unique("gauge_id", keep="last", maintain_order=True)
    events = scored.events.filter(pl.col("level").is_in(["L3", "L4"])).join(names, on="gauge_id", how="left", maintain_order="left")
    return events.join(first.drop("revision"), on=["notice_id", "said_at"], how="left", maintain_order="left").to_dicts()

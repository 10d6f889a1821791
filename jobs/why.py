"""``tsunagu why``: shows the readings, rain and bulletins that a notice rests on and what weighed most, and derives it again from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from connectors import Arrivals
from jobs.again import said_again, shown
from jobs.linkages import GAUGES, LINKAGES
from jobs.replay import references
from jobs.said import said_in
from jobs.sources import STATIONS, arrivals, stations_before
from jobs.start import engine, tick
from jobs.words import counted, jst
from pipelines.linkage import CLOCK, Derive, Linkage, Start
from pipelines.linkage.edge import AHEAD
from pipelines.upstream_flood.bulletins import BULLETIN_FEED, sentence
from schemas import feed

__all__ = ["Why", "WhyError", "derived_again", "run"]

LEVELS, RAIN = "river.level.v1", "weather.rain.v1"
KEYS = {LEVELS: "gauge_id", RAIN: "station_id", BULLETIN_FEED: "area_code"}
"""Field that the keys of a range name."""
CLOSED = ("cleared", "withdrawn")


class WhyError(ValueError):
    """The fact that is asked about is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Which fact, where it was said, and from which sources."""

    fact_id: str
    facts: str
    sources: tuple[str, ...]
    linkage: str = "upstream_flood"
    revision: int | None = None
    gauges: Path = GAUGES
    model: Path | None = None


def run(settings: Why) -> int:
    """Prints why a fact was said; returns 0 where the rule says the same again, 1 where it does not."""
    linkage = LINKAGES[settings.linkage]
    fact = _fact(linkage, settings)
    row = fact.row(0, named=True)
    known = references(linkage, settings.gauges, settings.model)
    if not isinstance(linkage, Derive):
        print("\n".join(shown(row)))
        good, verdict = _verdict(linkage, row, said_again(linkage, row, settings.sources, known))
        print(verdict)
        return 0 if good else 1
    heard = _heard(settings.sources, row)
    named = known["river.gauge.v1"].select("gauge_id", "name"), heard[STATIONS].select("station_id", "name")
    names = {id_: name for frame in named for id_, name in frame.iter_rows()}
    print("\n".join([*_told(row, heard, names), *_bulletins(row, heard[BULLETIN_FEED])]))
    good, verdict = _verdict(linkage, row, derived_again(linkage, fact, heard | known))
    print(verdict)
    return 0 if good else 1


def derived_again(linkage: Linkage, fact: pl.DataFrame, records: Arrivals) -> dict[str, Any] | None:
    """Evaluates the linkage over the records that a fact rests on.

    The episode is taken up where it stood just before the time of the fact (before its onset, where it was withdrawn), and
    nothing else that was ever said is known.

    Args:
        linkage: the linkage that said it.
        fact: one row of the feed that the linkage says.
        records: feed → records: those in the ranges of ``because``, as far as the basis, and the reference records.

    Returns:
        The value that the rule gives to this id, less the envelope; None where it gives none.
    """
    says = feed(linkage.says)
    row = fact.row(0, named=True)
    at = row["onset"] if row["state"] == "withdrawn" else row["time"]
    begun = pl.lit("updated").alias("state"), pl.lit(None, says.columns["ended_at"]).alias("ended_at"), pl.col("onset").alias("time")
    earlier = fact.clear() if at == row["onset"] else fact.with_columns(*begun)
    running = engine(linkage, Start(line=at, said=earlier))
    running.recall({name: frame for name, frame in records.items() if name != CLOCK})
    found = [each for each in running.step({CLOCK: tick(at)}).rows if each["id"] == row["id"]]
    return {name: value for name, value in found[0].items() if name not in says.envelope} if found else None


def _verdict(linkage: Linkage, row: dict[str, Any], again: dict[str, Any] | None) -> tuple[bool, str]:
    if row["state"] == "withdrawn":
        says = "does not say it" if again is None else "says it"
        return again is None, f"withdrawn: over the readings that had arrived by then the rule {says}"
    if again is None:
        return (
            False,
            "derived again: the rule does NOT say it over these readings; are the readings, gauges and model those it was said from?",
        )
    differ = [name for name, value in again.items() if value != row[name] and name != "state"]
    if linkage.later(again["state"]) != linkage.later(row["state"]):
        differ.append("state")
    if differ:
        return False, f"derived again: NOT the same in {', '.join(differ)}; are the readings, gauges and model those it was said from?"
    return True, "derived again from these readings: the same"


def _fact(linkage: Linkage, settings: Why) -> pl.DataFrame:
    facts = said_in(settings.facts, linkage.says)
    mine = facts.filter(pl.col("id") == settings.fact_id).sort("revision")
    if settings.revision is not None:
        mine = mine.filter(pl.col("revision") == settings.revision)
    if not mine.height:
        which = settings.fact_id if settings.revision is None else f"{settings.fact_id} revision {settings.revision}"
        raise WhyError(f"facts in {settings.facts} must hold the one asked about (got {which!r}): ids look like fukui/12/L1/20240528T0710Z")
    return mine.tail(1)


def _heard(sources: Sequence[str], row: dict[str, Any]) -> dict[str, pl.DataFrame]:
    """The records in the ranges of a fact that had arrived when it was said, by feed; and the stations that were known by then."""
    ranges = {each["feed"]: each for each in row["because"]["ranges"]}
    frames = {name: [feed(name).empty()] for name in (*KEYS, STATIONS)}
    begin = min(each["from_time"] for each in ranges.values()) - AHEAD  # a record may come a little before its time
    until = row["said_at"] + timedelta(milliseconds=1)
    for chunk in arrivals(sources, begin, until):
        for name in ranges.keys() & chunk.keys():
            frames[name].append(_within(chunk[name], ranges[name], row["region"]))
    if RAIN in ranges:
        frames[STATIONS] += stations_before(sources, until)
    return {name: pl.concat(some) for name, some in frames.items()}


def _within(records: pl.DataFrame, named: Mapping[str, Any], region: str) -> pl.DataFrame:
    """Those records that a range names; rain and bulletins are of any region."""
    mine = pl.col("region") == region if named["feed"] == LEVELS else pl.lit(True)
    time = pl.col(feed(named["feed"]).time)
    return records.filter(mine, pl.col(KEYS[named["feed"]]).is_in(named["keys"]), time.is_between(named["from_time"], named["to_time"]))


def _told(row: dict[str, Any], heard: Mapping[str, pl.DataFrame], names: Mapping[str, str]) -> Iterator[str]:
    yield f"{row['id']}, revision {row['revision']}: {row['state']}, said {jst(row['said_at'])}"
    yield f"  {row['headline_ja']}"
    yield f"  {row['headline_en']}"
    yield f"rule {row['rule']}, model {row['model'] or 'none'}, coefficient table {row['because']['variant'] or 'none'}"
    yield "what weighed most:"
    for each in row["because"]["weighed_most"]:
        told = "told last of the hour up to" if each["level_m"] is None else f"{each['level_m']:.2f} m at"
        name = names.get(each["gauge_id"], "")
        yield f"  {each['weight_m']:+.2f} m  {each['what']:<14} {name} ({each['gauge_id']}): {told} {jst(each['observed_at'])}"
    if not row["because"]["weighed_most"]:
        yield "  nothing: this is about the gauge itself"
    yield "readings that it rests on:"
    for each in row["because"]["ranges"]:
        if each["feed"] == BULLETIN_FEED:
            continue
        records, one = (heard[RAIN], "rain station") if each["feed"] == RAIN else (heard[LEVELS], "gauge")
        kind = "hours of rain" if each["feed"] == RAIN else "readings"
        yield f"  {jst(each['from_time'])} to {jst(each['to_time'])}, {records.height} {kind} of {counted(len(each['keys']), one)}"
    for gauge_id, observed_at, level_m in _newest(heard[LEVELS], "gauge_id", "level_m"):
        yield f"  {level_m:7.2f} m at {jst(observed_at)}  {names.get(gauge_id, '')} ({gauge_id})"
    for station_id, observed_at, rain_mm in _newest(heard[RAIN], "station_id", "rain_mm"):
        yield f"  {rain_mm:6.1f} mm in the hour up to {jst(observed_at)}  {names.get(station_id, '')} ({station_id})"


def _newest(records: pl.DataFrame, key: str, value: str) -> Iterator[tuple[Any, ...]]:
    """Of each key the newest record with a value, newest first: key, time, value."""
    newest = records.filter(pl.col(value).is_not_null()).sort("observed_at", "offset").group_by(key, maintain_order=True).last()
    return newest.sort("observed_at", descending=True).select(key, "observed_at", value).iter_rows()


def _bulletins(row: dict[str, Any], bulletins: pl.DataFrame) -> Iterator[str]:
    """What is officially said beside it, and every version of every bulletin that this rests on."""
    ranges = [each for each in row["because"]["ranges"] if each["feed"] == BULLETIN_FEED]
    if not ranges:
        return
    yield "official bulletins beside it:"
    yield from (f"  {each}" for each in sentence(row["official"]))
    for each in ranges:
        yield f"  {jst(each['from_time'])} to {jst(each['to_time'])}, {counted(bulletins.height, 'record')} of {', '.join(each['keys'])}"
    for each in bulletins.sort("reported_at", "version", descending=True).iter_rows(named=True):
        level = "" if each["level"] is None else f", level {each['level']}"
        told = f"{each['name'] or ''} code {each['code'] or 'unknown'}".strip()
        what = f"{each['info_type']}, {each['op']}, {each['standing']}{level}"
        yield f"  {jst(each['reported_at'])}  {told}: {what}, arrived {jst(each['arrived'])}"

"""The rule of accident spots: what stands at each place, year by year as the police files come out.

| from | to | when, as the file of a year is out |
|---|---|---|
| nothing | candidate | at most one accident on record in three years, and in the highest 5 % of all or of such places |
| nothing | known | two or more on record, and in the highest 5 % of all places |
| candidate | confirmed | two or more on record in three years |
| any | cleared | score < .7 × the least that would enter now, at two years running |

Scores are compared within a year only, so that a year with less traffic clears nothing. On record are the
accidents in a cell of about 130 m (resolution 10), and those in a cell of about 50 m and the six around it (11).

What stands is a pure function of the set of accidents: each year is judged again from all records that are known, so that an
accident in December that only the next year's file holds changes what December should have said.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.latent_accident_spots.cells import index_of
from pipelines.latent_accident_spots.near import NearMisses, Seen, near_misses
from pipelines.latent_accident_spots.rating import LATENT_AT_MOST, CellModel, Rating, rank_share, rate
from pipelines.latent_accident_spots.tallies import RESOLUTIONS, Tallies, occurred_year, placed, tallies
from pipelines.latent_accident_spots.telling import Spots, empty, told

__all__ = ["CLEAR_SHARE", "TOP_SHARE", "Judged", "judged", "spots"]

Array = NDArray[Any]

TOP_SHARE = 0.05
CLEAR_SHARE = 0.7
CLEAR_RUNNING = 2
WINDOW_YEARS = 3
CANDIDATE, KNOWN, CONFIRMED, CLEARED = "candidate", "known", "confirmed", "cleared"


def spots(accidents: pl.DataFrame, near: pl.DataFrame, passes: pl.DataFrame, models: Mapping[int, Mapping[str, Any]]) -> pl.DataFrame:
    """What stands, and what was cleared, with the files of these years out.

    Args:
        accidents: ``road.accident.v1`` of one region; the highest version of each, none withdrawn; in any order.
        near: ``road.near-miss.v1``, likewise.
        passes: ``road.passes.v1``, likewise.
        models: the years whose files are out, each with the record of ``road.spot-model.v1`` that held when its file came out: a new
            model judges what comes. Years between them without a file are not counted.

    Returns:
        Facts of ``road.spot.v1`` without their envelope, sorted by id. Empty when no file is out.
    """
    out = sorted(models)
    if not out:
        return empty()
    known = placed(accidents).filter(pl.col("year").is_in(out))
    seen = near_misses(near, passes)
    records = accidents.with_columns(occurred_year().alias("year")).filter(pl.col("year").is_in(out))
    frames = []
    for resolution in RESOLUTIONS:
        fitted = {year: (each, models[year]["near_misses"]) for year in out for each in _fitted(models[year], resolution)}
        for found in _episodes(known, seen, fitted):
            frames.append(told(found, records, models[found.year]))
    return pl.concat(frames).sort("id") if frames else empty()


def _fitted(record: Mapping[str, Any], resolution: int) -> list[CellModel]:
    """The numbers of a model for a resolution; none where it was fitted for others only."""
    return [CellModel.of(each) for each in record["cells"] if each["resolution"] == resolution]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One evaluation: all places with what is known through a year. Arrays are in the order of the tallies' cells."""

    year: int
    counted: Tallies
    rated: Rating
    limit: Array
    """The least score that enters: of all places, or of latent ones where that is less."""
    rank: Array
    latent_rank: Array
    """NaN where a place is not latent."""
    enters: Array
    seen: Seen


def judged(known: pl.DataFrame, seen: NearMisses, window: Sequence[int], model: CellModel, term: Mapping[str, Any], also: Array) -> Judged:
    """Rates and ranks all places with what happened in a window of years.

    Args:
        known: what ``placed`` made of the accidents.
        seen: near misses and passes.
        window: years to count; the newest is the year judged.
        model: fitted numbers of a resolution.
        term: ``near_misses`` of the model.
        also: sorted cells at which something stands.
    """
    counted = tallies(known, model.resolution, window, also=also)
    # Near misses come at once, the file of the year after only in the September behind it: until then they belong to this year.
    told = seen.within([*window, window[-1] + 1, window[-1] + 2]).at(counted.cells, model.resolution)
    excess = told.excess(term["rate"], term["steadiness"]) * term["weight"] if term["weight"] else 0.0
    rated = rate(counted, model, excess)
    latent = counted.on_record <= LATENT_AT_MOST
    rank = rank_share(rated.score, rated.score[counted.judged])
    among = rank_share(rated.score, rated.score[counted.judged & latent])
    high = (rank <= TOP_SHARE) | (latent & (among <= TOP_SHARE))
    limit = _least(rated.score[counted.judged & (rank <= TOP_SHARE)])
    latent_limit = min(limit, _least(rated.score[counted.judged & latent & (among <= TOP_SHARE)]))
    return Judged(
        year=window[-1], counted=counted, rated=rated, limit=np.where(latent, latent_limit, limit), rank=rank,
        latent_rank=np.where(latent, among, np.nan), enters=counted.judged & high, seen=told,
    )  # fmt: skip


def _least(scores: Array) -> float:
    return float(scores.min(initial=np.inf))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """Episodes that stand, one for each cell, sorted by cell."""

    cells: Array
    state: Array
    onset: Array
    below: Array
    """Evaluations running below the exit level."""

    def part(self, rows: Array) -> _Standing:
        return _Standing(cells=self.cells[rows], state=self.state[rows], onset=self.onset[rows], below=self.below[rows])


def _episodes(known: pl.DataFrame, seen: NearMisses, fitted: Mapping[int, tuple[CellModel, Mapping[str, Any]]]) -> Iterator[Spots]:
    """What was cleared in each year, and at last what stands; ``fitted``: for each year the numbers and the near-miss term of its model."""
    years = sorted(fitted)
    standing = _Standing(cells=np.zeros(0, np.uint64), state=np.zeros(0, "<U9"), onset=np.zeros(0, np.int64), below=np.zeros(0, np.int64))
    for at, year in enumerate(years):
        window = [each for each in years[: at + 1] if each > year - WINDOW_YEARS]
        now = judged(known, seen, window, *fitted[year], standing.cells)
        ended, standing = _advanced(standing, now)
        last = year == years[-1]
        for episodes, is_over in ((ended, True), *(((standing, False),) if last else ())):
            if len(episodes.cells):
                yield _told(episodes, now, is_over=is_over)


def _advanced(standing: _Standing, now: Judged) -> tuple[_Standing, _Standing]:
    """The table of transitions, for all places at once: what is cleared, and what stands after this year."""
    low = now.rated.score < CLEAR_SHARE * now.limit
    row = index_of(now.counted.cells, standing.cells)[0]
    on_record = now.counted.on_record
    below = np.where(low[row], standing.below + 1, 0)
    state = np.where((standing.state == CANDIDATE) & (on_record[row] > LATENT_AT_MOST), CONFIRMED, standing.state)
    moved = replace(standing, state=state, below=below)
    over = below >= CLEAR_RUNNING
    enters = now.enters.copy()
    enters[row] = False
    fresh = np.flatnonzero(enters)
    stays = moved.part(~over)
    began = np.where(on_record[fresh] > LATENT_AT_MOST, KNOWN, CANDIDATE)
    cells = np.concatenate([stays.cells, now.counted.cells[fresh]])
    order = np.argsort(cells)
    after = _Standing(
        cells=cells,
        state=np.concatenate([stays.state, began.astype("<U9")]),
        onset=np.concatenate([stays.onset, np.full(len(fresh), now.year)]),
        below=np.concatenate([stays.below, np.zeros(len(fresh), np.int64)]),
    )
    return moved.part(over), after.part(order)


def _told(episodes: _Standing, now: Judged, *, is_over: bool) -> Spots:
    row = index_of(now.counted.cells, episodes.cells)[0]
    return Spots(
        cells=episodes.cells,
        state=np.full(len(row), CLEARED) if is_over else episodes.state,
        onset=episodes.onset,
        ended=is_over,
        year=now.year,
        row=row,
        counted=now.counted,
        rated=now.rated,
        rank=now.rank[row],
        latent_rank=now.latent_rank[row],
        seen=now.seen,
    )

"""One side of a match: the recent past of a feed, found by place and by id in spans of time.

Records are rows of arrays in order of arrival. Rows are found through sorted runs, one pair of them for each span of event
time: one over H3 cells (or over the fields that must be equal), one over identities. What a record costs so depends on how
crowded its own hour is, and not on how much is held. A span is forgotten as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipelines.linkage.errors import DeclarationError
from pipelines.linkage.runs import Runs
from pipelines.linkage.space import cells, covering, disks, geodesic_m

if TYPE_CHECKING:
    from pipelines.linkage.declaration import Match, Records
    from schemas.feeds import Feed

__all__ = ["Rows", "Side"]

Rows = NDArray[np.int64]

_COLUMNS: dict[str, Any] = {
    "time": np.int64, "until": np.int64, "version": np.int64, "lat": np.float64, "lon": np.float64, "cell": np.uint64, "stands": np.bool_,
    "newest": np.bool_, "placed": np.bool_, "partners": np.int32, "together": np.int32, "same": np.uint64,
}  # fmt: skip
_LAT_M = 110_500.0
"""A degree of latitude is at least so long, metres."""


class _Span:
    """The rows whose event time lies in one span."""

    def __init__(self) -> None:
        self.by_place, self.by_id = Runs(), Runs()


class Side:
    """The records of one side that may still find a partner.

    Args:
        declared: which records of which feed.
        match: how pairs are made.
        feed: the feed.
        span_ms: width of a span of event time.

    Raises:
        DeclarationError: the match names a field that the feed has not, or distances where the feed has no place.
    """

    def __init__(self, declared: Records, match: Match, feed: Feed, span_ms: int) -> None:
        _check(declared, match, feed)
        self.feed, self._where = feed, declared.where
        self._span_ms, self._within_m = span_ms, match.within_m
        self._ends = match.valid == "right" and declared is match.right
        self._resolution, self._k = (0, 0) if match.within_m is None else covering(match.within_m)
        self._together_by, self._same = match.together_by, match.same
        self._named = [name for name in feed.identity if name != match.together_by]
        self._held: dict[str, NDArray[Any]] = {name: np.zeros(0, dtype) for name, dtype in _COLUMNS.items()}
        self._count = 0
        self._names = pl.Series("name", [], pl.String)
        self._equal = pl.Series("same", [], pl.String)
        self._groups: dict[str, int] = {}
        self._group_names: list[str] = []
        self._spans: dict[int, _Span] = {}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._held[name][: self._count]

    def names(self, rows: Rows) -> pl.Series:
        """What identifies records within their key."""
        return self._names.gather(rows)

    def together(self, rows: Rows) -> pl.Series:
        """Their key."""
        return pl.Series(self._group_names, dtype=pl.String).gather(self["together"][rows].astype(np.int64))

    def admit(self, batch: pl.DataFrame) -> tuple[Rows, Rows]:
        """Takes records in.

        Returns:
            Rows of records that stand from now on, and rows of what stood until now under the same identities.
        """
        frame = self._told(batch)
        held = self._find(frame)
        version = frame["version"].to_numpy()
        news = np.flatnonzero((held < 0) | (version > self["version"][np.maximum(held, 0)] if self._count else held < 0))
        replaced = held[news]
        replaced = replaced[replaced >= 0]
        stood = replaced[self["stands"][replaced]]
        self._held["stands"][replaced] = False
        self._held["newest"][replaced] = False
        rows = self._append(frame[news] if len(news) < frame.height else frame)
        return rows[self["stands"][rows]], stood

    def _told(self, batch: pl.DataFrame) -> pl.DataFrame:
        """What a batch says of each identity, by its highest version."""
        feed = self.feed
        stands = pl.lit(True)
        if "op" in batch.columns:
            stands &= pl.col("op") != "withdrawn"
        for field, values in self._where.items():
            stands &= pl.col(field).is_in(values).fill_null(False)
        lat, lon = (pl.col(each) for each in feed.place) if self._within_m is not None and feed.place else (pl.lit(None), pl.lit(None))
        until = pl.col("valid_until").to_physical() if self._ends and "valid_until" in batch.columns else pl.lit(None)
        frame = batch.select(
            pl.concat_str([_text(name, feed) for name in self._named], separator="@").alias("name"),
            pl.col(self._together_by).alias("together"),
            pl.concat_str([pl.col(each).cast(pl.String) for each in self._same], separator="\0").alias("same")
            if self._same
            else pl.lit("").alias("same"),
            pl.col(feed.time).to_physical().alias("time"),
            until.cast(pl.Int64).fill_null(np.iinfo(np.int64).max).alias("until"),
            (pl.col(feed.version).cast(pl.Int64) if feed.version else pl.lit(0, pl.Int64)).alias("version"),
            lat.cast(pl.Float64).alias("lat"),
            lon.cast(pl.Float64).alias("lon"),
            stands.alias("stands"),
        )
        frame = frame.with_columns(pl.struct("together", "name").hash(_SEED).alias("id"))
        if frame["id"].n_unique() < frame.height:
            frame = frame.sort("version", maintain_order=True).unique(["together", "name"], keep="last", maintain_order=True)
        return frame

    def _find(self, frame: pl.DataFrame) -> Rows:
        """The row that stands for each identity, −1 where there is none."""
        found = np.full(frame.height, -1, np.int64)
        ids, times = frame["id"].to_numpy(), frame["time"].to_numpy()
        for span, at in self._by_span(times, times):
            asked, rows = span.by_id.find(ids[at])
            if len(rows):
                asked = at[asked]
                same = self["newest"][rows] & (self["time"][rows] == times[asked])
                asked, rows = asked[same], rows[same]
                equal = (self.names(rows) == frame["name"].gather(asked)).to_numpy()
                found[asked[equal]] = rows[equal]
        return found

    def _append(self, frame: pl.DataFrame) -> Rows:
        rows = np.arange(self._count, self._count + frame.height)
        self._widen(frame.height)
        for name in ("time", "until", "version", "lat", "lon", "stands"):
            self._held[name][rows] = frame[name].to_numpy()
        self._held["together"][rows] = self._grouped(frame["together"])
        self._held["newest"][rows], self._held["partners"][rows] = True, 0
        self._held["same"][rows] = frame["same"].hash(_SEED).to_numpy() if self._same else 0
        placed = np.isfinite(self["lat"][rows]) & np.isfinite(self["lon"][rows]) if self._within_m is not None else np.ones(len(rows), bool)
        placed &= frame["same"].is_not_null().to_numpy()
        if self._within_m is not None:
            self._held["cell"][rows[placed]] = cells(self["lat"][rows[placed]], self["lon"][rows[placed]], self._resolution)
        self._held["placed"][rows] = placed & self["stands"][rows]
        self._names = _longer(self._names, frame["name"])
        if self._same:
            self._equal = _longer(self._equal, frame["same"].fill_null(""))
        self._index(rows, frame["id"].to_numpy())
        return rows

    def _index(self, rows: Rows, ids: NDArray[np.uint64]) -> None:
        spans = self["time"][rows] // self._span_ms
        keys = self._keys(rows)
        for number in np.unique(spans).tolist():
            at = spans == number
            span = self._spans.setdefault(number, _Span())
            span.by_id.add(ids[at], rows[at])
            at &= self["placed"][rows]
            span.by_place.add(keys[at], rows[at])

    def _keys(self, rows: Rows) -> NDArray[np.uint64]:
        keys: NDArray[np.uint64] = self["same" if self._within_m is None else "cell"][rows]
        return keys

    def partners(self, other: Side, rows: Rows, *, earliest_ms: int, latest_ms: int) -> tuple[Rows, Rows]:
        """Pairs of rows of the other side and own rows that belong together.

        Args:
            other: the other side.
            rows: of the other side.
            earliest_ms: own time minus the other's, at least.
            latest_ms: own time minus the other's, at most.
        """
        rows = rows[other["placed"][rows]]
        times = other["time"][rows]
        found = [
            self._near(other, rows[at], span, earliest_ms, latest_ms)
            for span, at in self._by_span(times + earliest_ms, times + latest_ms)
        ]  # fmt: skip
        if not found:
            return _NONE, _NONE
        return np.concatenate([each for each, _ in found]), np.concatenate([each for _, each in found])

    def _near(self, other: Side, rows: Rows, span: _Span, earliest_ms: int, latest_ms: int) -> tuple[Rows, Rows]:
        """Pairs within one span: candidates by cell, then by time, key and equal fields, then by distance."""
        keys = other._keys(rows)
        if self._within_m is None:
            asked, own = span.by_place.find(keys)
            theirs = rows[asked]
        else:
            unique, back = np.unique(keys, return_inverse=True)
            origin, disk = disks(unique, self._k)
            asked, own = span.by_place.find(disk)
            theirs, own = _spread(origin[asked], own, back, rows)
        lag = self["time"][own] - other["time"][theirs]
        good = self["stands"][own] & (lag >= earliest_ms) & (lag <= latest_ms)
        if self._ends or other._ends:
            good &= (self["time"][own] < other["until"][theirs]) & (other["time"][theirs] < self["until"][own])
        if self._same:
            good &= self["same"][own] == other["same"][theirs]
        theirs, own = theirs[good], own[good]
        if len(self._group_names) > 1 or self._group_names != other._group_names:
            good = (self.together(own) == other.together(theirs)).to_numpy()
            theirs, own = theirs[good], own[good]
        if self._same:
            good = (self._equal.gather(own) == other._equal.gather(theirs)).to_numpy()
            theirs, own = theirs[good], own[good]
        if self.feed.name == other.feed.name:
            theirs, own = self._others(other, theirs, own)
        return (theirs, own) if self._within_m is None else self._within(other, theirs, own, self._within_m)

    def _others(self, other: Side, theirs: Rows, own: Rows) -> tuple[Rows, Rows]:
        """Those of which the two are not one and the same record."""
        at_once = np.flatnonzero(self["time"][own] == other["time"][theirs])
        itself = at_once[(self.names(own[at_once]) == other.names(theirs[at_once])).to_numpy()]
        return np.delete(theirs, itself), np.delete(own, itself)

    def _within(self, other: Side, theirs: Rows, own: Rows, within_m: float) -> tuple[Rows, Rows]:
        """Those that are near enough on the ground: first by a box that is a little too large, then exactly."""
        north = np.abs(self["lat"][own] - other["lat"][theirs]) * _LAT_M
        good = np.flatnonzero(north <= within_m)
        theirs, own = theirs[good], own[good]
        good = np.flatnonzero(self.metres(own, other, theirs) <= within_m)
        return theirs[good], own[good]

    def metres(self, own: Rows, other: Side, theirs: Rows) -> NDArray[np.float64]:
        """How far apart rows of both sides lie, metres."""
        return geodesic_m(self["lat"][own], self["lon"][own], other["lat"][theirs], other["lon"][theirs])

    def lonely(self, begin_ms: int, stop_ms: int) -> Rows:
        """Rows that stand, with event time in [begin, stop), that have no partner."""
        w = self._span_ms
        rows = [span.by_id.rows for at, span in self._spans.items() if (at + 1) * w > begin_ms and at * w < stop_ms]
        all_ = np.concatenate([_NONE, *rows])
        time = self["time"][all_]
        lonely: Rows = all_[self["stands"][all_] & (self["partners"][all_] == 0) & (time >= begin_ms) & (time < stop_ms)]
        return lonely

    def count(self, rows: Rows, by: int) -> None:
        """Notes that rows have so many partners more."""
        np.add.at(self._held["partners"], rows, by)

    def standing(self) -> Rows:
        """All rows that stand."""
        return np.flatnonzero(self["stands"])

    def held(self) -> int:
        """How many records are held."""
        return sum(len(span.by_id) for span in self._spans.values())

    def forget(self, before_ms: int) -> None:
        """Drops the spans that lie before an instant altogether."""
        gone = [number for number in self._spans if (number + 1) * self._span_ms <= before_ms]
        for number in gone:
            del self._spans[number]
        if gone and self.held() * 2 < self._count and self._count > _ROOM:
            self._compact()

    def _compact(self) -> None:
        keep = np.concatenate([_NONE, *(span.by_id.rows for span in self._spans.values())])
        keep.sort()
        now = np.full(self._count, -1, np.int64)
        now[keep] = np.arange(len(keep))
        self._names, self._equal = self._names.gather(keep), self._equal.gather(keep) if self._same else self._equal
        self._held = {name: values[keep] for name, values in self._held.items()}
        self._count = len(keep)
        for span in self._spans.values():
            span.by_id.renumber(now)
            span.by_place.renumber(now)

    def _by_span(self, begin_ms: Rows, end_ms: Rows) -> Iterator[tuple[_Span, Rows]]:
        """Each span that is there with the indexes of the intervals that touch it."""
        first, last = begin_ms // self._span_ms, end_ms // self._span_ms
        if not len(first):
            return
        for number in range(int(first.min()), int(last.max()) + 1) if _dense(first, last, self._spans) else sorted(self._spans):
            if number in self._spans:
                at = np.flatnonzero((first <= number) & (last >= number))
                if at.size:
                    yield self._spans[number], at

    def _grouped(self, keys: pl.Series) -> NDArray[np.int32]:
        unique = keys.unique(maintain_order=True).to_list()
        for each in unique:
            if each not in self._groups:
                self._groups[each] = len(self._group_names)
                self._group_names.append(each)
        if len(unique) == 1:
            return np.full(len(keys), self._groups[unique[0]], np.int32)
        return np.fromiter((self._groups[each] for each in keys.to_list()), np.int32, len(keys))

    def _widen(self, more: int) -> None:
        self._count += more
        room = len(self._held["time"])
        if self._count > room:
            new = max(self._count, 2 * room, _ROOM)
            for name, values in self._held.items():
                self._held[name] = np.concatenate([values, np.zeros(new - room, values.dtype)])


_NONE = np.zeros(0, np.int64)
_ROOM = 4096
_SEED = 0


def _dense(first: Rows, last: Rows, spans: dict[int, _Span]) -> bool:
    """Whether counting through the spans is quicker than looking at all that are there."""
    return int(last.max()) - int(first.min()) < len(spans)


def _check(declared: Records, match: Match, feed: Feed) -> None:
    for name in (match.together_by, *match.same, *declared.where):
        if name not in feed.columns:
            raise DeclarationError(f"{match.name} must name fields of {feed.name} (got {name!r}): the fields are {', '.join(feed.columns)}")
    if match.within_m is not None and feed.place is None:
        raise DeclarationError(
            f"{feed.name} must tell where its records are (got no place): name the place in its schema, or match {match.name} by same"
        )


def _text(name: str, feed: Feed) -> pl.Expr:
    """A field of an identity as text; times as milliseconds since the epoch."""
    column = pl.col(name)
    return (column.to_physical() if feed.columns[name].is_temporal() else column).cast(pl.String)


def _longer(series: pl.Series, more: pl.Series) -> pl.Series:
    """A series with more at its end; in one piece from time to time, since many pieces are slow to look up."""
    series = series.append(more)
    return series.rechunk() if series.n_chunks() > 32 else series


def _spread(origin: Rows, own: Rows, back: Rows, rows: Rows) -> tuple[Rows, Rows]:
    """Candidates of cells as candidates of the rows in them.

    ``origin``: index of the unique cell of each candidate ``own``; ``back``: of each of ``rows`` the index of its unique cell.
    """
    by_cell = np.argsort(back, kind="stable")
    count = np.bincount(back)
    begin = np.concatenate([[0], np.cumsum(count)])
    times = count[origin]
    first = np.repeat(begin[origin] - np.concatenate([[0], np.cumsum(times)[:-1]]), times) if len(times) else _NONE
    return rows[by_cell[first + np.arange(len(first))]], np.repeat(own, times)

"""Route: records under new keys, copied to wherever they are needed, corrected wherever they went.

A place that is split into shards loses pairs at its edges, unless a record near an edge reaches the neighbour too. A route gives
each record to its own shard, its *home*, and copies to the shards within a halo. What it says are records, not facts: they keep
version, time and arrival, and saying one twice is harmless. A correction that moves a record is a withdrawal where it was and a
statement where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from pipelines.linkage.declaration import CLOCK, Route
from pipelines.linkage.errors import DeclarationError
from pipelines.linkage.grid import NEVER
from pipelines.linkage.said import WITHDRAWN
from pipelines.linkage.space import cells, covering, disks, named, parents

if TYPE_CHECKING:
    from schemas.feeds import Feed

__all__ = ["RouteFold", "shards"]


def shards(frame: pl.DataFrame, place: tuple[str, str], *, resolution: int, halo_m: float) -> pl.Series:
    """The shards that a record is given to: lists of H3 cells as text, home first; empty where it has no place.

    Args:
        frame: records.
        place: names of the columns of latitude and longitude, degrees.
        resolution: of the shards.
        halo_m: whatever lies nearer than this to a record of a shard reaches that shard, metres.
    """
    fine, k = covering(halo_m)
    placed = frame.select(pl.all_horizontal(pl.col(name).is_not_null() for name in place)).to_series()
    there = frame.filter(placed)
    own = cells(there[place[0]].to_numpy(), there[place[1]].to_numpy(), fine)
    origin, around = disks(own, k)
    near = pl.DataFrame({"at": origin, "shard": named(parents(around, resolution))})
    home = pl.DataFrame({"at": range(len(own)), "shard": named(parents(own, resolution))}, schema=near.schema)
    lists = pl.concat([home, near]).group_by("at", maintain_order=True).agg(pl.col("shard").unique(maintain_order=True)).sort("at")
    at = pl.DataFrame({"row": placed.arg_true(), "shards": lists["shard"]}, schema={"row": pl.UInt32, "shards": pl.List(pl.String)})
    rows = pl.DataFrame({"row": pl.int_range(frame.height, dtype=pl.UInt32, eager=True)})
    return rows.join(at, on="row", how="left", maintain_order="left")["shards"].fill_null([])


class RouteFold:
    """A route at work over the keys of one partition."""

    wakes_ms = NEVER

    def __init__(self, linkage: Route, feeds: Mapping[str, Feed]) -> None:
        self._linkage, self._feed, self._says = linkage, feeds[linkage.records.feed], feeds[linkage.says]
        if self._feed.version is None or self._feed.place is None or "op" not in self._feed.columns:
            raise DeclarationError(f"records of {linkage.name} must have a version, an op and a place (got {self._feed.name})")
        if not self._says.handed_on or self._says.patience != self._feed.patience:  # judged once: who is on time stays so
            got = f"handed_on {self._says.handed_on}, patience {self._says.patience}"
            rule = f"feed that {linkage.name} says must be handed_on, with the patience of {self._feed.name}, {self._feed.patience}"
            raise DeclarationError(f"{rule} (got {self._says.name}: {got}): see its schema")
        self._identity, self._version, self._place = list(self._feed.identity), self._feed.version, self._feed.place
        known: dict[str, Any] = {name: self._feed.columns[name] for name in self._identity}
        self._none = pl.DataFrame(schema=known | _HELD)
        self._held: dict[int, pl.DataFrame] = {}
        self._pending: list[pl.DataFrame] = []

    def hear(self, feed: str, batch: pl.DataFrame) -> None:
        """Takes in records that are neither late nor unreadable."""
        if feed == CLOCK:
            return
        newest = batch.sort(self._version, maintain_order=True).unique(self._identity, keep="last", maintain_order=True)
        to = shards(newest, self._place, resolution=self._linkage.resolution, halo_m=self._linkage.halo_m)
        stands = newest["op"] != WITHDRAWN
        told = newest.with_columns(pl.when(stands).then(to).otherwise(pl.lit([], pl.List(pl.String))).alias("to"))
        told = told.with_columns((pl.col(self._feed.time).to_physical() // _SPAN_MS).alias("span"))
        held = pl.concat([self._none, *(self._held[span] for span in told["span"].unique(maintain_order=True) if span in self._held)])
        told = told.join(held.drop("span"), on=self._identity, how="left", maintain_order="left")
        told = told.filter(pl.col(self._version) > pl.col("was_version").fill_null(-1))
        went = pl.col("was_to").fill_null([]).list.set_difference("to")
        self._pending += [self._copies(told, pl.col("to"), None), self._copies(told, went, WITHDRAWN)]
        now = told.select(*self._identity, "span", pl.col(self._version).alias("was_version"), pl.col("to").alias("was_to"))
        held = pl.concat([held.join(now, on=self._identity, how="anti"), now])
        self._held |= {span: part for (span, *_), part in held.partition_by("span", as_dict=True).items()}

    def _copies(self, told: pl.DataFrame, to: pl.Expr, op: str | None) -> pl.DataFrame:
        """The records under each of some shards."""
        own = pl.col("to").list.first().alias("_home")
        rows = told.select(*self._feed.frame_schema.keys(), own, to.alias(self._linkage.by)).explode(self._linkage.by, empty_as_null=False)
        rows = rows.with_columns((pl.col("_home") == pl.col(self._linkage.by)).fill_null(False).alias("home"))
        return rows.with_columns(pl.lit(op).alias("op")) if op else rows

    def due(self, tick_ms: int) -> bool:
        """Always: a step that heard nothing but a tick moves the line, which others wait for."""
        return True

    def recall(self, said: pl.DataFrame, line_ms: int) -> None:
        """What was handed on before need not be known: it is the same again."""

    def speak(self, *, line_ms: int, next_line_ms: int, tick_ms: int, until_ms: int) -> pl.DataFrame | None:
        """The records that came since the last time, under their new keys, in order of arrival.

        Not those that are settled: of some that a start reads again it does not read what corrected them earlier.
        """
        if not self._pending:
            return None
        rows = pl.concat(self._pending)
        self._pending.clear()
        rows = rows.filter(pl.col(self._feed.time).to_physical() >= line_ms)
        return rows.select(*self._says.columns.keys(), "arrived").sort("arrived", self._linkage.by, *self._identity)

    def settle(self, line_ms: int) -> None:
        """Forgets where records went that can no longer be corrected."""
        if line_ms != NEVER:
            self._held = {span: part for span, part in self._held.items() if (span + 1) * _SPAN_MS > line_ms}

    def held(self) -> Mapping[str, int]:
        """How many records are known by where they went."""
        return {"records": sum(part.height for part in self._held.values())}


_HELD: dict[str, Any] = {"span": pl.Int64, "was_version": pl.Int64, "was_to": pl.List(pl.String)}
_SPAN_MS = 3_600_000
"""Where records went is held by the hour in which they happened: what one costs depends on how crowded its own hour is."""

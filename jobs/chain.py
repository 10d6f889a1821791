"""A linkage with the routes that lead to it, in one process: what they hand on reaches it within the same step.

A cluster and its archive hold what routes have handed on, too. Once a route has read anything itself, that is left out: it would come
twice, and would outlive a record that was erased.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import polars as pl

from connectors import Arrivals
from jobs.linkages import routes_to
from jobs.start import engine
from pipelines.linkage import Derive, Engine, Linkage, Route, Spoken, Start
from pipelines.linkage.engine import together

__all__ = ["Chain"]


class Chain:
    """Steps a linkage over what its routes read, and over what it reads itself.

    Args:
        linkage: the last of the chain.
        start: from where the linkage goes on; None: from the beginning of time.
        late: what becomes of a record that is later than patience, as for the engine.
        key: only what is kept together under this value; None: all.
    """

    def __init__(
        self, linkage: Linkage, start: Start | None = None, *, late: Literal["apart", "used"] = "apart", key: str | None = None
    ) -> None:  # fmt: skip
        self._linkage, self._key = linkage, key
        self._engine = engine(linkage, start and replace(start, said=self._own(linkage.says, start.said)), late=late)
        self._routes: list[tuple[Route, Engine]] = [(each, engine(each, late=late)) for each in routes_to(linkage)]
        self._handed_on: dict[str, int] = {}
        self.feeds = tuple(dict.fromkeys(name for each in (*routes_to(linkage), linkage) for name in each.feeds))

    @property
    def wakes_at(self) -> datetime | None:
        """The earliest tick after which anything can follow from time alone; None: any may."""
        return self._engine.wakes_at

    def recall(self, batch: Arrivals) -> None:
        """Takes in what arrived earlier, and says nothing."""
        self._engine.recall(self._read(batch)[0])

    def step(self, batch: Arrivals) -> Spoken:
        """Reads a batch and says what follows."""
        read, routed = self._read(batch)
        spoken = self._engine.step(read)
        every = (*routed, spoken)
        return replace(spoken, late=together(each.late for each in every), dead=together(each.dead for each in every))

    def _read(self, batch: Arrivals) -> tuple[dict[str, pl.DataFrame], list[Spoken]]:
        """What the linkage reads of a batch and of what its routes make of it, and what else they say."""
        read = {name: frame for name, frame in batch.items() if name in self._linkage.feeds}
        routed = []
        for route, running in self._routes:
            spoken = running.step({name: frame for name, frame in batch.items() if name in route.feeds})
            if route.records.feed in batch:
                self._handed_on.setdefault(route.says, 0)
            if route.says in self._handed_on:
                read.pop(route.says, None)
            if spoken.facts is not None:
                read[route.says] = self._placed(route.says, spoken.facts)
            routed.append(spoken)
        return {name: self._own(name, frame) for name, frame in read.items()}, routed

    def _own(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """What lies under the key; what is read whole beside it, such as rain beyond a border, has no bounds."""
        by, linkage = self._linkage.together_by, self._linkage
        beside = isinstance(linkage, Derive) and linkage.whole(name) and name != linkage.for_each
        return frame if self._key is None or beside or by not in frame.columns else frame.filter(pl.col(by) == self._key)

    def _placed(self, name: str, records: pl.DataFrame) -> pl.DataFrame:
        """Records that were handed on, as they would lie in their feed: one partition, offsets from 0."""
        first = self._handed_on[name]
        self._handed_on[name] += records.height
        offsets: Mapping[str, Any] = {"offset": pl.int_range(first, first + records.height, dtype=pl.Int64)}
        return records.with_columns(pl.lit(0, pl.Int32).alias("partition"), **offsets)

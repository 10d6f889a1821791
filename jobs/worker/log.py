"""The inputs of one partition as they lie in Kafka: what a start reads again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import polars as pl
from confluent_kafka import Message

from connectors.kafka_reader import Place, Reader
from connectors.lines import Lines, least
from jobs.start import Positions
from pipelines.linkage import CLOCK, Linkage
from schemas import feed

__all__ = ["Log", "Places", "places_of"]

Places = tuple[Place, ...]


def places_of(linkage: Linkage, reader: Reader, partition: int) -> Places:
    """All that is read for a partition: of inputs read by all every partition, of the others this one."""
    out: list[Place] = []
    for name in linkage.feeds:
        count = reader.partitions(name)
        out += [(name, each) for each in range(count)] if linkage.whole(name) else [(name, partition)]
    return tuple(out)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Inputs of one partition. ``starts``: of each place the offset of the oldest record that is still there."""

    linkage: Linkage
    reader: Reader
    places: Places
    starts: Positions

    def newest_tick(self, until: Positions) -> datetime | None:
        """The last tick before a position; None: there is none."""
        newest: datetime | None = None
        for place in self._of(CLOCK):
            newest = max(filter(None, [newest, self._last_tick(place, until[place])]), default=None)
        return newest

    def unread(self, after: Positions) -> dict[str, datetime]:
        """Of each feed the arrival of the next record; feeds that were read to their end are absent."""
        ends = self.reader.committed_ends(self.places)
        behind = {place: after[place] for place in self.places if after[place] < ends[place]}
        out: dict[str, datetime] = {}
        for (name, _), arrived in self.reader.first(behind, ends).items():
            out[name] = min(arrived, out.get(name, arrived))
        return out

    def lines(self, until: Positions) -> dict[str, datetime | None]:
        """Of each feed that a route writes the line that came with it before a position; None: none did."""
        told = self.told(until)
        return {name: least(lines for (of, _), lines in told.items() if of == name) for name, _ in told}

    def told(self, until: Positions) -> dict[Place, Lines]:
        """Of each place that a route writes the lines that came before a position."""
        return {place: self._lines(place, until[place]) for place in self.places if feed(place[0]).handed_on}

    def oldest(self) -> datetime | None:
        """Arrival of the oldest event that is still there, where older ones were deleted; None: none were."""
        events = [place for place in self.places if place[0] != CLOCK and not self.linkage.refers_to(place[0])]
        cut = {place: self.starts[place] for place in events if self.starts[place] > 0}
        return max(self.reader.first(cut, self.reader.committed_ends(cut)).values(), default=None)

    def arrivals(self, feed_name: str, since: datetime | None, until: Positions) -> Iterator[pl.DataFrame]:
        """What arrived since an instant (None: all), as far as a position; of ticks also the last one before."""
        places = self._of(feed_name)
        begin = {place: self.starts[place] for place in places}
        if since is not None:
            found = self.reader.since(places, since)
            begin = {place: max(begin[place], found[place] - (feed_name == CLOCK)) for place in places}
        for messages in self.reader.between(begin, until):
            for frame in self.reader.hear(messages).frames.values():
                yield frame if since is None or feed_name == CLOCK else frame.filter(pl.col("arrived") >= since)

    def _of(self, feed_name: str) -> list[Place]:
        return [place for place in self.places if place[0] == feed_name]

    def _lines(self, place: Place, until: int) -> Lines:
        lines = Lines()
        for window in self._back(place, until):
            for message in chain.from_iterable(window):
                lines.hear(message)
            if lines.complete:
                break
        return lines

    def _last_tick(self, place: Place, until: int) -> datetime | None:
        for window in self._back(place, until):
            ticks = [frame["at"].max() for messages in window for frame in self.reader.hear(messages).frames.values()]
            if ticks:
                newest: datetime = max(ticks)  # type: ignore[type-var, assignment]
                return newest
        return None

    def _back(self, place: Place, until: int) -> Iterator[Iterator[list[Message]]]:
        """Messages before an offset, from the newest back, twice as many each time: those nearest may tell nothing.

        Each window is to be read to its end; it may be as long as the partition, where somebody has long told nothing.
        """
        width, end = 16, until
        while end > self.starts[place]:
            begin = max(end - width, self.starts[place])
            yield self.reader.between({place: begin}, {place: end})
            end, width = begin, 2 * width

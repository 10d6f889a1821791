"""The match with Faust, whose joins raise ``NotImplementedError``: each side holds its recent events in a table by cell.

An agent for each topic adds its event to the list of its cell and looks through the list of the other side. Faust reads topics in any
order, so a list forgets what is too old for the side that lags behind. Tables lie in memory, with the change log that Faust asks for.
"""

from __future__ import annotations

from typing import Any

from infra.peers.asked import Asked, Event, Told, asked

__all__ = ["run"]


class _Side:
    """The recent events of one side."""

    def __init__(self, table: Any) -> None:
        self.table, self.newest_ms = table, 0


def run(given: Asked) -> None:
    """Works until it is stopped."""
    import faust  # type: ignore[import-not-found]

    app = faust.App(
        given.name,
        broker=f"kafka://{given.brokers}",
        store="memory://",
        datadir=given.folder,
        topic_disable_leader=True,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    told = Told(given)
    left, right = (_Side(app.Table(name, default=list, partitions=1, key_type=bytes)) for name in ("brakes", "reports"))

    def taken(own: _Side, cell: bytes, event: Event) -> list[Event]:
        own.newest_ms = max(own.newest_ms, event[1])
        before_ms = min(left.newest_ms, right.newest_ms) - given.within_ms - given.late_ms
        own.table[cell] = [each for each in own.table[cell] if each[1] >= before_ms] + [event]
        theirs: list[Event] = (right if own is left else left).table[cell]
        return theirs

    async def brakes(stream: Any) -> None:
        async for cell, event in stream.items():
            for other in taken(left, cell, event):
                if given.pair(event, other):
                    told.pair(event, other)
            told.message()

    async def reports(stream: Any) -> None:
        async for cell, event in stream.items():
            for other in taken(right, cell, event):
                if given.pair(other, event):
                    told.pair(other, event)
            told.message()

    for name, agent in ((given.left, brakes), (given.right, reports)):
        app.agent(app.topic(name, key_type=bytes, value_serializer="json"), name=agent.__name__)(agent)
    faust.Worker(app, loglevel="WARNING", logging_config=None, quiet=True).execute_from_commandline()


if __name__ == "__main__":
    run(asked())

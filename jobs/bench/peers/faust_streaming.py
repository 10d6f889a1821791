"""The flood rule with Faust: an agent for each topic; ``take`` gives it several records at once where it may have them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from jobs.bench.peers.port import Given, Message, Port, arguments
from jobs.bench.recording import FLOOD, LEVELS
from pipelines.linkage import CLOCK

__all__ = ["run"]

WITHIN_S = 0.02


def run(given: Given) -> None:
    """Works until it is stopped."""
    import faust  # type: ignore[import-not-found]

    app = faust.App(
        given.group,
        broker=f"kafka://{given.cluster.brokers}",
        store="memory://",
        datadir=given.folder,
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        broker_commit_interval=given.commit_s,
        consumer_auto_offset_reset="earliest",
    )
    port = Port()

    def topic(name: str) -> Any:
        return app.topic(given.cluster.topic(name), key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    out = topic(FLOOD.says)

    async def readings(stream: Any) -> None:
        async for messages in _taken(stream, given.at_once):
            for key, value in port.readings(messages):
                await out.send(key=key, value=value, timestamp=messages[-1].arrived_ms / 1000)
            await asyncio.sleep(0)  # otherwise its sender has no turn while readings wait

    async def ticks(stream: Any) -> None:
        async for event in stream.events():
            port.tick(_message(event))

    app.agent(topic(LEVELS), name="readings")(readings)
    app.agent(topic(CLOCK), name="ticks")(ticks)
    faust.Worker(app, loglevel="WARNING", logging_config=None, quiet=True).execute_from_commandline()


async def _taken(stream: Any, at_once: int) -> AsyncIterator[list[Message]]:
    if at_once == 1:
        async for event in stream.events():
            yield [_message(event)]
    else:
        async for events in stream.take_events(at_once, within=WITHIN_S):
            yield [_message(event) for event in events]


def _message(event: Any) -> Message:
    return Message(value=event.value, arrived_ms=round(event.message.timestamp * 1000), offset=event.message.offset)


if __name__ == "__main__":
    run(arguments())

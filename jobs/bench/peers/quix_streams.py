"""The flood rule with Quix Streams: ``apply`` calls a function for each record, ``to_topic`` says what it gave."""

from __future__ import annotations

from typing import Any

from jobs.bench.peers.port import Given, Message, Port, arguments
from jobs.bench.recording import FLOOD, LEVELS
from pipelines.linkage import CLOCK

__all__ = ["run"]


def run(given: Given) -> None:
    """Works until it is stopped."""
    from quixstreams import Application, message_context  # type: ignore[import-not-found]
    from quixstreams.models import Serializer  # type: ignore[import-not-found]

    class Second(Serializer):  # type: ignore[misc]
        """Of a statement's key and value the value."""

        def __call__(self, value: Any, ctx: Any) -> bytes:
            said: bytes = value[1]
            return said

    app = Application(
        given.cluster.brokers,
        consumer_group=given.group,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        processing_guarantee=given.guarantee,
        commit_interval=given.commit_s,
        state_dir=given.folder,
        loglevel="WARNING",
    )
    port = Port()

    def topic(name: str, **more: Any) -> Any:
        return app.topic(given.cluster.topic(name), key_deserializer="bytes", key_serializer="bytes", value_deserializer="bytes", **more)

    def message(value: bytes, _: Any, arrived_ms: int, __: Any) -> Message:
        return Message(value=value, arrived_ms=arrived_ms, offset=message_context().offset)

    said = app.dataframe(topic(LEVELS)).apply(lambda *each: list(port.readings([message(*each)])), expand=True, metadata=True)
    said.to_topic(topic(FLOOD.says, value_serializer=Second()), key=lambda each: each[0])
    app.dataframe(topic(CLOCK)).update(lambda *each: port.tick(message(*each)), metadata=True)
    app.run()


if __name__ == "__main__":
    run(arguments())

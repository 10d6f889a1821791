"""The match with Quix Streams: its interval join by cell, the pair itself judged in ``on_merge``.

The join looks only back from each message. Events overtake each other, so it goes by their arrival, which never runs back, over a span
that is longer by as much as an event may be late; what lies too far apart in time is left out with what lies too far away. Stores have
no change log.

It does not promise to read its topics in the order of their time stamps, and an event that is read behind its partner misses it. How long
events are held is left at its default, seven days: held only as long as the span, nearly half of the pairs were lost in a trial.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from infra.peers.asked import Asked, Event, Told, asked

__all__ = ["run"]


def run(given: Asked) -> None:
    """Works until it is stopped."""
    from quixstreams import Application  # type: ignore[import-not-found]

    told = Told(given)

    def judged(left: Event, right: Event) -> None:
        if given.pair(left, right):
            told.pair(left, right)

    app = Application(
        given.brokers,
        consumer_group=given.name,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        use_changelog_topics=False,
        state_dir=given.folder,
        loglevel="WARNING",
        # After the join, so a message that is counted has met its partners.
        on_message_processed=lambda *_: told.message(),
    )
    left, right = (
        app.dataframe(app.topic(name, key_deserializer="bytes", value_deserializer="json")) for name in (given.left, given.right)
    )
    span: Any = timedelta(milliseconds=given.within_ms + given.late_ms)
    left.join_interval(right, on_merge=judged, backward_ms=span, forward_ms=span)
    app.run()


if __name__ == "__main__":
    run(asked())

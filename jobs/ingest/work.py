"""An ingest at work: begins again where its producer is lost, and tells what it published."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from connectors import SourceError, clock, mqtt
from connectors.kafka import read_client
from connectors.publish import LostError
from jobs.ingest.desk import Desk
from jobs.ingest.live import Receiver, observed, publish_ticks
from jobs.ingest.plan import REFERENCES, Ingest, kind, named
from jobs.ingest.recorded import Recorded, publish_references
from jobs.sources import SOURCES
from jobs.speed import Pace

__all__ = ["run"]


def run(settings: Ingest) -> int:
    """Publishes until sources end (live ones do not), and prints how much; returns the exit code."""
    sources = named(settings)
    print(f"ingest: {settings}", file=sys.stderr, flush=True)
    kept: Counter[str] = Counter()
    while True:
        ours = kept.total()
        desk = Desk(settings.cluster)
        try:
            with desk:
                lay_there, left = _publish(desk, settings, sources)
        except LostError as fault:
            print(f"ingest: {fault}", file=sys.stderr, flush=True)
        else:
            break
        finally:
            kept += desk.publisher.kept
    topics = ", ".join(f"{count} to {topic}" for topic, count in sorted(kept.items()))
    left_out = f"; {left} facts and late records left out, which linkages say anew" if left else ""
    print(f"{kept.total()} records published{': ' if topics else ''}{topics}; {lay_there - ours} lay there already{left_out}")
    return 0


def _publish(desk: Desk, settings: Ingest, sources: Mapping[str, str]) -> tuple[int, int]:
    """Publishes once; returns how many records lay there before, and how many were left out."""
    recorded = Recorded(desk, [name for name, source in sources.items() if kind(source) in SOURCES])
    for name, source in sources.items():
        what, _, path = source.partition(":")
        if what in REFERENCES:
            feed_name, read = REFERENCES[what]
            recorded.lay_there += publish_references(desk, name, feed_name, read(Path(path)))
        elif what == "clock":
            publish_ticks(desk, name, clock.open(path))
        elif what == "mqtt":
            _receive(desk, settings, name, path)
    arrivals = [source for source in sources.values() if kind(source) in SOURCES]
    if arrivals:
        recorded.publish(arrivals, settings.since, settings.until, Pace(speed=settings.speed))
    return recorded.lay_there, recorded.left


def _receive(desk: Desk, settings: Ingest, name: str, at: str) -> None:
    broker = _broker(settings, name, at)
    feeds = observed(desk)
    if not feeds:
        raise SourceError(f"feeds of {name} must have topics (got none in this namespace): run tsunagu topics apply")
    print(f"ingest: {broker}, topics {', '.join(mqtt.PREFIX + each for each in feeds)}", file=sys.stderr, flush=True)
    with closing(mqtt.open(broker, feeds)) as inbox:
        Receiver(desk, name, inbox, feeds, broker.at_most).run()


def _broker(settings: Ingest, name: str, at: str) -> mqtt.MqttSettings:
    """The MQTT broker ``HOST:PORT``, with what a file or the environment tells of it."""
    host, _, port = at.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SourceError(f"source mqtt must be mqtt:HOST:PORT (got {'mqtt:' + at!r}): for example mqtt:127.0.0.1:1883")
    path = settings.mqtt or os.environ.get("TSUNAGU_MQTT")
    told = read_client(Path(path)) if path else {}
    for each in ("user", "password"):
        told |= {each: value} if (value := os.environ.get(f"TSUNAGU_MQTT_{each.upper()}")) else {}
    # A name of its own for each namespace: a drill may not take the session of what is live.
    return mqtt.settings_from(told, host, int(port), f"tsunagu-{settings.cluster.drill or 'live'}-{name.replace(':', '-')}")

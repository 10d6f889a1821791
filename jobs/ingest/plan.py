"""What an ingest is asked for: its settings, and which sources it has by which names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from connectors import SourceError, gauges, model
from connectors.kafka import KafkaSettings
from jobs.sources import SOURCES

__all__ = ["LIVE", "REFERENCES", "Ingest", "kind", "named"]

REFERENCES: Mapping[str, tuple[str, Callable[[Path], pl.DataFrame]]] = {
    "gauges": ("river.gauge.v1", gauges.read),
    "model": ("river.flood-model.v1", model.read),
    "spot-model": ("road.spot-model.v1", partial(model.read, of="road.spot-model.v1")),
}
LIVE = ("clock", "mqtt")
EXERCISES = ("jma-drills",)
"""Sources of what was sent as an exercise or a test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """Settings of an ingest.

    Attributes:
        cluster: where to publish.
        sources: ``KIND:PATH``.
        speed: recorded seconds in a second; None: as fast as can be.
        names: a name for each source; none: kind and last part of the path.
        since: arrival times of recorded sources; None: from the first.
        until: None: to the last.
        mqtt: file with user, password and certificates for the MQTT broker.
    """

    cluster: KafkaSettings
    sources: tuple[str, ...]
    speed: float | None = 1.0
    names: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    mqtt: Path | None = None


def named(settings: Ingest) -> dict[str, str]:
    """Sources by their names.

    Raises:
        SourceError: a kind is unknown, a live source is not alone, an exercise would go out live, or two have one name.
    """
    for source in settings.sources:
        if kind(source) not in (*SOURCES, *REFERENCES, *LIVE) or ":" not in source:
            known = ", ".join([*SOURCES, *REFERENCES, *LIVE])
            raise SourceError(f"source must be KIND:PATH with KIND one of {known} (got {source!r}): for example clock:60s")
        if kind(source) in EXERCISES and settings.cluster.drill is None:
            raise SourceError(f"source {kind(source)} must be published to a drill (got the live namespace): name one with --drill")
    if len(settings.sources) > 1 and any(kind(source) in LIVE for source in settings.sources):
        raise SourceError(f"live source must be the only one (got {', '.join(settings.sources)}): start an ingest for each")
    if settings.names and len(settings.names) != len(settings.sources):
        raise SourceError(f"--as must name every source or none (got {len(settings.names)} names): give as many as there are sources")
    names = settings.names or tuple(map(_name, settings.sources))
    if len(set(names)) < len(names):
        raise SourceError(f"names of sources must differ (got {', '.join(names)}): name them with --as")
    return dict(zip(names, settings.sources, strict=True))


def kind(source: str) -> str:
    return source.partition(":")[0]


def _name(source: str) -> str:
    """The name that a source has unless it is given one: kind and last part of the path."""
    kind, _, path = source.partition(":")
    return source if kind in LIVE else f"{kind}:{Path(path).resolve().name}"

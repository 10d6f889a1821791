"""Every kind of source by name: the recordings that connectors read, and those that need a rule to be told from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from connectors import SOURCES as RECORDED
from connectors import Source, probe, ticked
from connectors import open_source as opened
from pipelines.latent_accident_spots.braking import near_misses

__all__ = ["SOURCES", "open_source"]

SOURCES: Mapping[str, Callable[[Path], Source]] = {**RECORDED, "probe": ticked(partial(probe.open, detect=near_misses))}


def open_source(name: str) -> Source:
    """The source that ``kind:PATH`` names.

    Raises:
        SourceError: the kind is unknown, or there is nothing at the path.
    """
    return opened(name, SOURCES)

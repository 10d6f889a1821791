"""The linkages that can be run, by name: one for each folder of ``pipelines/`` that declares one under its own name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pipelines
from pipelines.linkage import Derive

__all__ = ["DATA", "GAUGES", "LINKAGES", "MODEL"]


def _declared() -> Iterator[Derive]:
    for each in iter_modules(pipelines.__path__):
        found = getattr(import_module(f"pipelines.{each.name}"), each.name, None)
        if isinstance(found, Derive):
            yield found


LINKAGES: Mapping[str, Derive] = {each.name: each for each in _declared()}

DATA = Path(__file__).parent.parent / "data"
GAUGES = DATA / "fukui" / "gauges.csv"
MODEL = DATA / "fukui" / "flood-model.avro"

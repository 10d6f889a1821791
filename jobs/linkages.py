"""The linkages that can be run, by name: those that the folders of ``pipelines/`` declare in their ``linkage.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pipelines
from pipelines.linkage import Derive, Linkage, Match, Route, Tally

__all__ = ["DATA", "GAUGES", "LINKAGES", "MODEL", "MODELS", "routes_to"]


def _declared() -> Iterator[Linkage]:
    for folder in iter_modules(pipelines.__path__):
        if not any(each.name == "linkage" for each in iter_modules([str(Path(each) / folder.name) for each in pipelines.__path__])):
            continue
        for found in vars(import_module(f"pipelines.{folder.name}.linkage")).values():
            if isinstance(found, Derive | Match | Route | Tally):
                yield found


LINKAGES: Mapping[str, Linkage] = {each.name: each for each in _declared()}


def routes_to(linkage: Linkage) -> tuple[Route, ...]:
    """The routes that write what a linkage reads."""
    return tuple(each for each in LINKAGES.values() if isinstance(each, Route) and each.says in linkage.feeds)


DATA = Path(__file__).parent.parent / "data"
GAUGES = DATA / "fukui" / "gauges.csv"
MODEL = DATA / "fukui" / "flood-model.avro"
MODELS: Mapping[str, Path] = {"river.flood-model.v1": MODEL, "road.spot-model.v1": DATA / "npa" / "spot-model.avro"}
"""The fitted model of each feed of models that is used unless another is named."""

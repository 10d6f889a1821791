"""The linkages that can be run, by name: those that the folders of ``pipelines/`` declare in their ``linkage.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules

import pipelines
from pipelines.linkage import Derive, Linkage, Match, Route, Tally

__all__ = ["DATA", "GAUGES", "LINKAGES", "MODEL", "MODELS", "OF_FACTS", "routes_to"]


def _declared() -> Iterator[Linkage]:
    for folder in iter_modules(pipelines.__path__):
        declares = f"pipelines.{folder.name}.linkage"
        if find_spec(declares) is not None:
            yield from (each for each in vars(import_module(declares)).values() if isinstance(each, Derive | Match | Route | Tally))


LINKAGES: Mapping[str, Linkage] = {each.name: each for each in _declared()}

OF_FACTS: Mapping[str, Linkage] = {name: each for name, each in LINKAGES.items() if not isinstance(each, Route)}
"""Those that say facts; a route hands records on, and runs by itself wherever one that reads them is replayed."""


def routes_to(linkage: Linkage) -> tuple[Route, ...]:
    """The routes that write what a linkage reads."""
    return tuple(each for each in LINKAGES.values() if isinstance(each, Route) and each.says in linkage.feeds)


DATA = Path(__file__).parent.parent / "data"
GAUGES = DATA / "fukui" / "gauges.csv"
MODEL = DATA / "fukui" / "flood-model.avro"
MODELS: Mapping[str, Path] = {"river.flood-model.v1": MODEL, "road.spot-model.v1": DATA / "npa" / "spot-model.avro"}
"""The fitted model of each feed of models that is used unless another is named."""

"""The linkages that can be run, by name, and the reference data that each is run with where none is given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipelines.linkage import Derive
from pipelines.upstream_flood import upstream_flood

__all__ = ["DATA", "GAUGES", "LINKAGES", "MODEL"]

LINKAGES: Mapping[str, Derive] = {each.name: each for each in (upstream_flood,)}

DATA = Path(__file__).parent.parent / "data"
GAUGES = DATA / "fukui" / "gauges.csv"
MODEL = DATA / "fukui" / "flood-model.avro"

"""The engine and its verbs. A linkage is declared with these names; everything else is private to the engine."""

from pipelines.linkage.declaration import (
    CLOCK,
    AsOf,
    Derive,
    Linkage,
    Match,
    Past,
    Records,
    Route,
    Tally,
    as_of,
    hours,
    minutes,
    past,
    records,
)
from pipelines.linkage.derive import Episode, Rule, Verdict
from pipelines.linkage.edge import AHEAD
from pipelines.linkage.engine import Came, Engine, Spoken, Start
from pipelines.linkage.errors import BatchError, DeclarationError, LinkageError

__all__ = [
    "AHEAD",
    "CLOCK",
    "AsOf",
    "BatchError",
    "Came",
    "DeclarationError",
    "Derive",
    "Engine",
    "Episode",
    "Linkage",
    "LinkageError",
    "Match",
    "Past",
    "Records",
    "Route",
    "Rule",
    "Spoken",
    "Start",
    "Tally",
    "Verdict",
    "as_of",
    "hours",
    "minutes",
    "past",
    "records",
]

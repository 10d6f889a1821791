"""The engine and its verbs. A linkage is declared with these names; everything else is private to the engine."""

from pipelines.linkage.declaration import CLOCK, AsOf, Derive, Past, as_of, hours, minutes, past
from pipelines.linkage.derive import Episode, Rule, Verdict
from pipelines.linkage.engine import AHEAD, Engine, Spoken, Start
from pipelines.linkage.errors import BatchError, DeclarationError, LinkageError

__all__ = [
    "AHEAD",
    "CLOCK",
    "AsOf",
    "BatchError",
    "DeclarationError",
    "Derive",
    "Engine",
    "Episode",
    "LinkageError",
    "Past",
    "Rule",
    "Spoken",
    "Start",
    "Verdict",
    "as_of",
    "hours",
    "minutes",
    "past",
]

"""How good the notices were: what was told in time, what was missed, what was said in vain.

The scorer is independent of the rule. It has its own reading of the feeds and its own quality steps, so that a
fault of the rule cannot hide in the judge. Frames of one region come in, tables go out.

Words: a **passing** is an unbroken time at or above a level (interrupted by less than 6 h below). An **event** is a
passing whose beginning was observed. A **spell** is an unbroken time in which a notice was active for a gauge and
level, be it under one id or under several that followed each other. Verification as in the NWS service manual
((lead = issuance to observed first entry; POD, FAR, CSI as usual), near hits shown separately. ``score`` is given what
``clean`` and ``official`` make of the feeds, ``summary`` makes the figures of it, and ``drawn`` says how sure they are.

    >>> import polars as pl
    >>> table = pl.DataFrame({"id": [12, 31], "P1": [1.15, 1.31], "P2": [1.70, None]})
    >>> pairs(pseudo(table), NETP).rows()
    [('12', 'L1'), ('12', 'L2'), ('31', 'L1')]
"""

from pipelines.upstream_flood.score.forecasts import BINS, after, persistence_index, reliability
from pipelines.upstream_flood.score.groups import BOTH, NET, NETP, OTHC, ROUTINE, Group, groups, pairs
from pipelines.upstream_flood.score.outcomes import Scored, score, spells, together
from pipelines.upstream_flood.score.rates import OF_EVENTS, QUIET, RATES, drawn, floods, interval, spread, summary
from pipelines.upstream_flood.score.river import LEVELS, clean, official, passings, pseudo, scales

__all__ = [
    "BINS",
    "BOTH",
    "LEVELS",
    "NET",
    "NETP",
    "OF_EVENTS",
    "OTHC",
    "QUIET",
    "RATES",
    "ROUTINE",
    "Group",
    "Scored",
    "after",
    "clean",
    "drawn",
    "floods",
    "groups",
    "interval",
    "official",
    "pairs",
    "passings",
    "persistence_index",
    "pseudo",
    "reliability",
    "scales",
    "score",
    "spells",
    "spread",
    "summary",
    "together",
]

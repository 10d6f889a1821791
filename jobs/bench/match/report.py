"""What the bench of the match found, in tables for people or as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jobs.bench.figures import Layout, factor, number, table
from jobs.bench.match.held import Held
from jobs.bench.match.measure import Matched
from jobs.bench.match.spent import STAGES

__all__ = ["grown", "rows", "spent"]


def rows(measured: Sequence[Matched], layout: Layout) -> str:
    """Who matched how many; the factors are of the first."""
    head = ("", "events", "events/s", "µs of CPU each", "peak MiB", "pairs lost", "pairs too many", "×", "× CPU")
    return table(head, (_row(each, measured[0]) for each in measured), layout)


def _row(each: Matched, ours: Matched) -> Sequence[str]:
    name = each.name if each.compared else f"{each.name} (not done in {number(each.seconds, 's')})"
    lost, extra = ("–", "–") if each.compared is None else (_of(each.compared.lost, each.compared.pairs), f"{each.compared.extra:,}")
    cells = [name, f"{each.given:,}", number(each.per_s), number(each.cpu_us), number(each.peak_mb), lost, extra]
    factors = ["", ""] if each is ours else [factor(ours.per_s, each.per_s), factor(each.cpu_us, ours.cpu_us)]
    return [*cells, *factors]


def _of(lost: int, pairs: int) -> str:
    return f"{lost:,} of {pairs:,}"


def spent(stages: Mapping[str, float], events: int, layout: Layout) -> str:
    """Where the time of our match goes."""
    whole = sum(stages.values()) or 1.0
    told = ((what, stages.get(name, 0.0)) for name, what in STAGES.items())
    return table(
        ("stage", "µs of CPU an event", "of all"), ((what, number(s / events * 1e6), f"{s / whole:.0%}") for what, s in told), layout
    )


def grown(found: Sequence[Held], layout: Layout) -> str:
    """What a record costs while more is held; the factors are of the first."""
    head = ("records held", "µs of CPU each, mostly", "×", "on average", "×", "longest step, ms")
    return table(head, (_grown(each, found[0]) for each in found), layout)


def _grown(each: Held, first: Held) -> Sequence[str]:
    factors = ["", ""] if each is first else [factor(each.typical_us, first.typical_us), factor(each.mean_us, first.mean_us)]
    return [f"{each.held:,}", number(each.typical_us), factors[0], number(each.mean_us), factors[1], number(each.longest_ms)]

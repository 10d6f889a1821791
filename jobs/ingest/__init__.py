"""``tsunagu ingest``: publishes what sources give to the topics of their feeds.

Sources are recorded ones (``fukui:PATH``, ``archive:PATH``; arrivals of several are merged), references (``gauges:FILE``, ``model:FILE``;
published before all others, at once) and live ones, each alone (``clock:60s``, ``mqtt:HOST:PORT``). Killed at any point and called again it
goes on where it was: nothing is left out, nothing doubled. What a linkage says (facts and late records) is not published again.
"""

from jobs.ingest.plan import Ingest

__all__ = ["Ingest", "run"]


def run(settings: Ingest) -> int:
    """Publishes until sources end (live ones do not), and prints how much; returns the exit code."""
    from jobs.ingest import work  # it needs the broker's clients

    return work.run(settings)

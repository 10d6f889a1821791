"""``tsunagu bench``: how many readings a second, and how long until a statement is seen.

``replay`` tells a recorded month again on one core and says where the time goes; ``width`` does so for as many gauges as a nation
has. ``live`` starts a broker of its own and measures one worker on it, then the same rule given to peers, frameworks that call a
function for each record.
"""

from jobs.bench import live, match, replay, width
from jobs.bench.live import Bench

__all__ = ["Bench", "run"]


def run(settings: Bench) -> int:
    """Measures, and prints what was measured; returns the exit code."""
    if settings.what == "match":
        return match.run(settings)
    if settings.what == "width":
        return width.run(settings)
    return replay.run() if settings.what == "replay" else live.run(settings)

"""Matches and arrivals drawn at random: crowds of records near and just too far, told late, again, and otherwise."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

import h3ronpy.vector
import numpy as np
from hypothesis import strategies as st

from pipelines.linkage import Match, records
from pipelines.linkage.space import cells, covering
from tests.linkage.near import ANSWERS, CALLS, HOUR_S, PATIENCE_S, Record, at, call, match, metres, tick

END_S = 30 * HOUR_S
"""Behind everything in a drawn script, the widest span included."""


def corners(lat_deg: float, lon_deg: float, resolution: int) -> np.ndarray:
    """The corners of the cell of a place, lat before lon."""
    (wkb,) = h3ronpy.vector.cells_to_wkb_polygons(cells(np.array([lat_deg]), np.array([lon_deg]), resolution)).to_pylist()
    return np.frombuffer(bytes(wkb)[13:], "<f8").reshape(-1, 2)[:-1, ::-1]


def drawn_place(g: Random, crossing: tuple[float, float], within_m: float) -> dict[str, float | None]:
    """Anywhere around a crossing: on it, near the radius, on corners and edges of cells; a few nowhere."""
    lat, lon = crossing
    if g.random() < 0.05:
        return g.choice([{"lat_deg": None, "lon_deg": None}, {"lat_deg": lat, "lon_deg": None}])
    if g.random() < 0.4:
        outline = corners(lat, lon, covering(within_m)[0])
        nth, share = g.randrange(len(outline)), g.choice([0.0, 0.5, g.random()])
        lat, lon = outline[nth] * (1 - share) + outline[(nth + 1) % len(outline)] * share
    apart_m, bearing = within_m * g.choice([0, 0.5, 0.999, 1, 1.001, 2.5]), g.uniform(0, 2 * np.pi)
    north, east = apart_m * np.cos(bearing), apart_m * np.sin(bearing)
    return {"lat_deg": float(lat + north / 111_000), "lon_deg": float(lon + east / (111_300 * np.cos(np.radians(lat))))}


def drawn(linkage: Match, g: Random) -> tuple[Match, list[Record]]:
    """A match and arrivals: crowds of records, told late, again, moved, withdrawn, changed; the radius may be that of a pair."""
    within_s, within_m = linkage.within.total_seconds(), linkage.within_m or 100.0
    out = []
    for crowd in range(g.randint(1, 3)):
        crossing, base_s = (g.uniform(24, 45.5), g.uniform(123, 146)), g.uniform(0, 4 * within_s)
        for number in range(g.randint(2, 9)):
            second = round(base_s + within_s * g.choice([0, 1, -1, 0.5, g.uniform(-1.5, 1.5)]) + g.choice([0, 0, 0.001, -0.001]), 3)
            out += told_in_versions(linkage, g, f"n{crowd}{number}", max(second, 0.0), crossing, within_m)
    one, other = g.choice(out), g.choice(out)
    apart_m = 0.0 if None in (one["lat_deg"], one["lon_deg"], other["lat_deg"], other["lon_deg"]) else metres(one, other)
    if linkage.within_m is not None and 1 <= apart_m <= 6500 and g.random() < 0.5:
        linkage = match_like(linkage, within_m=apart_m)
    return linkage, out


def told_in_versions(linkage: Match, g: Random, name: str, second: float, crossing: tuple[float, float], within_m: float) -> list[Record]:
    """Up to three versions of a record, each once or twice; those that follow change anything but who it is."""
    of = g.choice([linkage.left.feed, linkage.right.feed])
    who = {"of": of, "kind": g.choice(["call", "answer", "answer"]), "town": g.choice("tttu")}
    record = call(name, second, **who, **drawn_place(g, crossing, within_m))
    out = []
    for version in range(1, g.choice([2, 2, 3, 4])):
        for _ in range(g.choice([1, 1, 2])):
            delay_s = g.choice([0, g.uniform(0, 600), g.uniform(0, PATIENCE_S[of]), PATIENCE_S[of], PATIENCE_S[of] + g.uniform(1, 9000)])
            out.append(record | {"version": version, "arrived": at(second + round(delay_s, 3))})
        record |= g.choice([
            {"op": "withdrawn"}, {"op": "stated"}, {"kind": g.choice(["call", "answer", None])}, {"band": g.choice(["a", "b", None])},
            drawn_place(g, crossing, within_m), {"valid_until": at(second + g.uniform(0, linkage.within.total_seconds()))},
        ])  # fmt: skip
    return out


def match_like(linkage: Match, **changes: Any) -> Match:
    names = ("left", "right", "within", "within_m", "same", "valid", "alone")
    return match(**{name: getattr(linkage, name) for name in names} | changes)


def ticks(g: Random, until_s: float = END_S) -> list[Record]:
    return [tick(second) for second in sorted(g.sample(range(0, int(until_s)), 12))] + [tick(until_s)]


TWO_FEEDS = {"left": records(CALLS), "right": records(ANSWERS)}
ONE_FEED = {"left": records(CALLS, where={"kind": ("call",)}), "right": records(CALLS, where={"kind": ("answer",)})}
EACH_OTHER = {"left": records(ANSWERS), "right": records(ANSWERS)}
matches = st.builds(
    lambda sides, within, within_m, same, valid, alone: match(
        **sides, within=timedelta(seconds=within), within_m=within_m if same else within_m or 50.0, same=same, valid=valid, alone=alone
    ),
    sides=st.sampled_from([TWO_FEEDS, ONE_FEED, EACH_OTHER]),
    within=st.sampled_from([5, 600, 4 * HOUR_S]),
    within_m=st.sampled_from([10.0, 50.0, 100.0, 365.0, 1000.0, 5000.0, None]),
    same=st.sampled_from([(), ("band",), ("band", "kind")]),
    valid=st.sampled_from(["any", "right"]),
    alone=st.sampled_from(["said", "unsaid"]),
)

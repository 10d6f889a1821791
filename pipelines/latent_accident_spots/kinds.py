"""Kinds of accidents that tell something of the place: what the police's codes say of road, crossing and parties."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

__all__ = ["KINDS", "NEAR_M", "SHARES", "kinds_of"]

_shape, _width, _route, _type = (pl.col(name) for name in ("road_shape", "width", "route", "accident_type"))

KINDS: Mapping[str, pl.Expr] = {
    "intersection": _shape.is_in(["01", "31"]),
    "near_intersection": _shape.is_in(["07", "37"]),
    "signal": pl.col("signal").is_in(["1", "2", "3", "4", "5", "6", "8"]),
    "wide": _width.is_in(["05", "06", "13", "14", "15", "16", "17", "18", "19"]),
    "major": _route.str.contains("^[0-5]"),
    "national": _route.str.contains("^0"),
    "prefectural": _route.str.contains("^[12]"),
    "off_road": _shape == "00",
    "narrow": _width.is_in(["01", "02", "11"]),
    "pedestrian": _type == "01",
    "single": _type.is_in(["41", "28"]),
}
"""道路形状, 信号機 (8 are lights that part walkers from cars), 車道幅員, 路線コード (0 national, 1 and 2 prefectural, 3 to 5 other roads
with a name or number; 6 to 9 are none of them), 事故類型."""

SHARES: Mapping[str, tuple[str, ...]] = {
    "intersection": ("intersection", "near_intersection"),
    "signal": ("signal",),
    "wide": ("wide",),
    "major": ("major",),
}
"""What a place is like, by the accidents in the cell and in the six around it."""

NEAR_M: Mapping[int, tuple[float, ...]] = {10: (35.0, 57.0, 79.0, 96.0, 114.0), 11: (13.5, 21.5, 30.0, 36.5, 43.0)}
"""By resolution: up to where an accident is central and from where it is at the edge, and three distances up to which one in the
ring is near. All are from the centre of the cell, metres: half the edge of a cell, .8, 1.1, 1.35 and 1.6 of it."""


def kinds_of(accidents: pl.DataFrame) -> pl.DataFrame:
    """A column 0 or 1 for each kind, in the order of the rows; what is not told counts as no."""
    return accidents.select(each.fill_null(value=False).cast(pl.UInt8).alias(name) for name, each in KINDS.items())

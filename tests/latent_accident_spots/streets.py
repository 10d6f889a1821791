"""Builders: accidents on made-up streets, near misses and passes there, and a model of a few plain numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import h3
import numpy as np
import polars as pl

from pipelines.latent_accident_spots.rating import OWN, TERMS
from schemas import feed

LAT, LON = 36.0, 136.2
_SERIAL = count(1)


def accident(lat_deg: float = LAT, lon_deg: float = LON, year: int = 2020, **told: Any) -> dict[str, Any]:
    """One accident, at noon in June unless told otherwise."""
    serial = next(_SERIAL)
    return {
        "region": "jp", "accident_id": f"{year}52101{serial:06d}", "occurred_at": datetime(year, 6, 1, 3, 0, tzinfo=UTC), "version": 1,
        "op": "stated", "published_year": year, "lat_deg": lat_deg, "lon_deg": lon_deg, "deaths": 0, "injured": 1,
        "municipality": "18201", "road_shape": "14", "signal": "7", "width": "03", "route": "30000", "weather": "1", "daylight": "12",
        "accident_type": "21", "arrived": datetime(year + 1, 8, 31, 15, tzinfo=UTC), "partition": 0, "offset": serial,
    } | told  # fmt: skip


def frame(rows: list[dict[str, Any]], name: str = "road.accident.v1") -> pl.DataFrame:
    """Rows as a frame of their feed."""
    return pl.DataFrame(rows, schema=feed(name).frame_schema)


def town(seed: int, accidents: int, years: tuple[int, ...] = (2019, 2020, 2021), span_deg: float = 0.01) -> pl.DataFrame:
    """Accidents scattered over a town, of all kinds."""
    chance = np.random.default_rng(seed)
    codes = {
        "road_shape": ["01", "07", "14", "13", "00", "31"], "signal": ["1", "7", "8", "3"], "width": ["02", "03", "05", "15", "11"],
        "route": ["00080", "10010", "30000", "99000"], "accident_type": ["01", "21", "41"],
    }  # fmt: skip
    return frame(
        [
            accident(
                LAT + chance.normal() * span_deg, LON + chance.normal() * span_deg, int(chance.choice(years)),
                **{name: str(chance.choice(values)) for name, values in codes.items()},
            )
            for _ in range(accidents)
        ]
    )  # fmt: skip


def near_miss(lat_deg: float = LAT, lon_deg: float = LON, year: int = 2020, vehicle: str | None = "a", **told: Any) -> dict[str, Any]:
    """One hard brake."""
    serial = next(_SERIAL)
    at = datetime(year, 6, 1, tzinfo=UTC) + timedelta(minutes=serial)
    return {
        "region": "jp", "event_id": f"e{serial}", "occurred_at": at, "version": 1, "op": "stated", "lat_deg": lat_deg, "lon_deg": lon_deg,
        "kind": "hard_brake", "vehicle": vehicle, "source": "test", "arrived": at, "partition": 0, "offset": serial,
    } | told  # fmt: skip


def passes(cell: str, vehicle: str, day: datetime, number: int) -> dict[str, Any]:
    """How often a vehicle passed a cell on a day."""
    return {
        "region": "jp", "cell": cell, "vehicle": vehicle, "day": day, "version": 1, "op": "stated", "passes": number, "arrived": day,
        "partition": 0, "offset": next(_SERIAL),
    }  # fmt: skip


def model(**weights: float) -> dict[str, Any]:
    """A record of ``road.spot-model.v1`` in which the terms named weigh something."""
    told = {"one": -1.0, "ring1": 1.5} | weights
    entries = [
        {
            "resolution": each, "terms": list(TERMS), "weights": [told.get(term, 0.0) for term in TERMS], "own_kinds": list(OWN),
            "own_weights": [told.get(kind, 0.0) for kind in OWN], "shape": 0.5, "shape_power": 0.3,
        }
        for each in (10, 11)
    ]  # fmt: skip
    near = {"weight": 0.0, "steadiness": 1.0, "rate": 0.0, "p": None, "reason": "made up"}
    return {"region": "jp", "model": "made-up", "cells": entries, "near_misses": near}


def centre(lat_deg: float, lon_deg: float, resolution: int = 10) -> tuple[float, float]:
    """The middle of the cell at a place."""
    return h3.cell_to_latlng(h3.latlng_to_cell(lat_deg, lon_deg, resolution))

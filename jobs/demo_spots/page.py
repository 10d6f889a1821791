"""Writes spots as one HTML file that needs nothing else: a map, the ranked list, and why each is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import h3ronpy
import polars as pl
import shapely
from h3ronpy.vector import cells_to_wkb_polygons

from jobs.demo.template import fill

__all__ = ["render"]

_DIGITS = 5
"""Of degrees: about a metre."""


def render(*, spots: pl.DataFrame, accidents: pl.DataFrame, place_en: str, place_ja: str, model: Mapping[str, Any]) -> str:
    """The page as text.

    Args:
        spots: the newest revision of each fact of ``road.spot.v1`` that is not withdrawn.
        accidents: ``road.accident.v1``, all that were judged.
        place_en: where it is, in English.
        place_ja: the same in Japanese.
        model: the record of ``road.spot-model.v1``.

    Raises:
        ValueError: there are no spots to show.
    """
    if spots.is_empty():
        raise ValueError("spots must hold statements (got none): give accidents of two years at least")
    rows = spots.sort("resolution", "rank_share", "id").to_dicts()
    count = Counter(row["state"] for row in rows if row["resolution"] == 10)
    years = accidents["occurred_at"].dt.convert_time_zone("Asia/Tokyo").dt.year()
    data = {
        "spots": [_spot(row, outline) for row, outline in zip(rows, _outlines([row["cell"] for row in rows]), strict=True)],
        "accidents": [
            [round(lon, _DIGITS), round(lat, _DIGITS), year, id_]
            for id_, lon, lat, year in zip(
                accidents["accident_id"].to_list(),
                accidents["lon_deg"].to_list(),
                accidents["lat_deg"].to_list(),
                years.to_list(),
                strict=True,
            )
        ],
    }
    words = {
        "place_en": place_en,
        "place_ja": place_ja,
        "model": model["near_misses"]["reason"],
        "weight": f"{model['near_misses']['weight']:g}",
        "through": str(rows[0]["through_year"]),
        "accidents": f"{accidents.height:,}",
        "first": str(accidents["published_year"].min()),
        **{state: f"{count[state]:,}" for state in ("candidate", "known", "confirmed", "cleared")},
    }
    return fill("jobs.demo_spots", words, data)


def _outlines(cells: list[str]) -> list[list[list[float]]]:
    """The corners of cells: longitude and latitude, degrees."""
    polygons = shapely.from_wkb(pl.Series(cells_to_wkb_polygons(h3ronpy.cells_parse(cells))).to_list())
    return [[[round(x, _DIGITS), round(y, _DIGITS)] for x, y in polygon.exterior.coords[:-1]] for polygon in polygons]


def _spot(row: dict[str, Any], outline: list[list[float]]) -> dict[str, Any]:
    return {
        "id": row["id"], "cell": row["cell"], "res": row["resolution"], "state": row["state"], "revision": row["revision"],
        "lat": round(row["lat_deg"], _DIGITS), "lon": round(row["lon_deg"], _DIGITS), "outline": outline,
        "score": row["score"], "low": row["interval"]["low"], "high": row["interval"]["high"], "level": row["interval"]["level"],
        "rank": row["rank_share"], "latentRank": row["latent_rank_share"], "ring": row["ring1"],
        "years": [[each["year"], each["count"]] for each in row["accidents"]], "shares": row["shares"],
        "near": row["near_misses"], "passes": row["passes"], "vehicles": row["vehicles"],
        "evidence": [[each["what"], each["count"]] for each in row["evidence"]],
        "onset": row["onset"].year, "ended": row["ended_at"].year if row["ended_at"] else None,
        "ja": row["headline_ja"], "en": row["headline_en"], "reason": row["reason"], "rule": row["rule"], "model": row["model"],
        "because": [each["accident_id"] for each in row["because"]["weighed_most"]],
    }  # fmt: skip

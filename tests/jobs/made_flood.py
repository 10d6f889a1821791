"""A small flood made by hand, for the story and the page: six gauges, one day, all times JST.

下 (downstream of 上) passes L1 at 10:00, told at 8:30 because of 上, and L2 at 12:00, told at 12:20. 上 passes L1 at 8:00
and nobody was told. About 横 two notices were in vain: its highest is 1.50 m during the first, 1.95 m during the second.
古 is silent from 9:00 to 14:00; 無 has no official level; 眠 reports only above its start level.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from pipelines.upstream_flood.score import clean, official, score
from schemas.feeds import feed

MIDNIGHT = datetime(2024, 5, 27, 15, tzinfo=UTC)

HEIGHTS = {
    "上": [1.0] * 7 + [1.5, 2.2, 2.3, 2.4, 2.0, 1.6] + [1.2] * 11,
    "下": [1.0] * 8 + [1.4, 1.8, 2.2, 2.7, 3.1, 2.8, 2.2, 1.8] + [1.4] * 8,
    "横": [1.0] * 9 + [1.4, 1.5, 1.3, 1.2, 1.6, 1.95, 1.5] + [1.1] * 8,
    "無": [0.5] * 24,
    "古": [0.3] * 10 + [None] * 4 + [0.4] * 10,
}


def at(hour: int, minute: int = 0) -> datetime:
    return MIDNIGHT + timedelta(hours=hour, minutes=minute)


def gauge(gauge_id: str, municipality: str, lat_deg: float, lon_deg: float, **fields: Any) -> dict[str, Any]:
    known = {
        "region": "r", "gauge_id": gauge_id, "valid_from": at(-999), "version": 1, "op": "stated", "name": gauge_id, "river": "足羽川",
        "municipality": municipality, "manager": "", "lat_deg": lat_deg, "lon_deg": lon_deg, "l1_standby_m": 2.0, "l2_caution_m": 3.0,
    }  # fmt: skip
    return dict.fromkeys(feed("river.gauge.v1").columns) | known | fields


def gauges(**hostile: Any) -> pl.DataFrame:
    """The six gauges; ``hostile`` fields replace those of 下."""
    rows = [
        gauge("上", "池田町", 35.90, 136.34, downstream_id="下"),
        gauge("下", "福井市", 36.00, 136.24) | hostile,
        gauge("横", "鯖江市", 35.95, 136.18),
        gauge("無", "坂井市", 36.20, 136.20, l1_standby_m=None, l2_caution_m=None),
        gauge("古", "大野市", 35.98, 136.48),
        gauge("眠", "勝山市", 36.06, 136.50, reports="above_start", start_level_m=1.0),
    ]
    return pl.DataFrame(rows, schema=feed("river.gauge.v1").columns)


def levels() -> pl.DataFrame:
    rows = [
        {"region": "r", "gauge_id": name, "observed_at": at(hour), "version": 1, "op": "stated", "level_m": height, "arrived": at(hour, 10)}
        for name, heights in HEIGHTS.items()
        for hour, height in enumerate(heights)
    ]
    return pl.DataFrame(rows, schema=feed("river.level.v1").frame_schema)


def said(id: str, gauge_id: str, level: str | None, *revisions: tuple[datetime, str], **fields: Any) -> list[dict[str, Any]]:
    """The revisions of one notice; ``fields`` hold for all of them."""
    nothing = dict.fromkeys(feed("river.flood-notice.v1").columns)
    because = {"ranges": [], "weighed_most": [], "variant": ""}
    about = {"id": id, "region": "r", "gauge_id": gauge_id, "level": level, "because": because, "basis": []}
    return [
        nothing | about | {"revision": nth, "state": state, "onset": revisions[0][0], "time": when, "said_at": when} | fields
        for nth, (when, state) in enumerate(revisions, 1)
    ]


def notices(*more: dict[str, Any]) -> pl.DataFrame:
    weighed = [
        {"gauge_id": "上", "what": "upstream mid", "observed_at": at(8), "level_m": 2.2, "weight_m": 0.42},
        {"gauge_id": "下", "what": "own rise", "observed_at": at(8), "level_m": 1.4, "weight_m": 0.2},
    ]
    eta = {"eta_p10": at(9, 40), "eta_p50": at(10, 10), "eta_p90": at(11, 20)}
    rows = [
        *said("r/下/L1/1", "下", "L1", (at(8, 30), "raised"), (at(9, 30), "updated"), (at(17), "cleared"), p_exceed=0.45, observed_m=1.4,
              because={"ranges": [], "weighed_most": weighed, "variant": "full"}, **eta),
        *said("r/下/L2/1", "下", "L2", (at(12, 20), "raised"), (at(16), "cleared"), p_exceed=1.0, observed_m=3.1),
        *said("r/横/L1/1", "横", "L1", (at(9, 10), "raised"), (at(11, 10), "cleared"), p_exceed=0.3, observed_m=1.4),
        *said("r/横/L1/2", "横", "L1", (at(13, 10), "raised"), (at(16, 10), "cleared"), p_exceed=0.5, observed_m=1.6),
        *said("r/古/gauge/1", "古", None, (at(11), "stale"), (at(14, 10), "cleared")),
        *said("r/無/gauge/1", "無", None, (at(0), "no_threshold")),
        *said("r/眠/gauge/1", "眠", None, (at(0), "not_observed")),
        *more,
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=feed("river.flood-notice.v1").columns).sort("said_at", maintain_order=True)


def flood(**hostile: Any) -> dict[str, pl.DataFrame]:
    """What ``tell`` and ``render`` ask for."""
    known, told = gauges(**hostile), notices()
    result = score(clean(levels(), known), official(known), told, (at(0), at(24)))
    return {"notices": told, "levels": levels(), "gauges": known, "events": result.events, "judged": result.notices}

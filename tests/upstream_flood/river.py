"""A small river made for the tests, and builders of its records with defaults.

    90 ──────── 91 ──── 92 ── 93        97 (beside, no river known)      205 (sign lost: nobody's input)      400 (crisis gauge)
    30 km       15 km   5 km  0          10 km east of 93                 near 93                              near 93

Kilometres are along the river to 93. L1 … L4 of 90 to 93 and 97 are 2, 3, 4 and 5 m, the scale of each is 1 m and its median
1 m, so that a level of 1.5 m is half a scale over the median. Minutes are counted from 2024-05-28 00:00 UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from pipelines.linkage import CLOCK, Engine, Spoken, Start
from pipelines.linkage.grid import Grid
from pipelines.upstream_flood import upstream_flood
from schemas.feeds import feed

START = datetime(2024, 5, 28, tzinfo=UTC)
EVERY_MS = 600_000
LEVEL, GAUGE, MODEL, NOTICE = "river.level.v1", "river.gauge.v1", "river.flood-model.v1", "river.flood-notice.v1"
RAIN, STATION, BULLETIN = "weather.rain.v1", "weather.station.v1", "river.flood-bulletin.v1"
FEEDS = {name: feed(name) for name in (LEVEL, RAIN, GAUGE, MODEL, STATION, BULLETIN, NOTICE, CLOCK)}
KM_NORTH = 1 / 111.195
"""Degrees of latitude in a kilometre."""

FEATURES = [
    "u", "lev", "d1", "d2", "d3", "d6", "d12", "rise", "rise_high", "rise_faster", "one",
    *(f"{which}_{name}" for which in ("near", "mid", "far") for name in ("u", "d1", "d2", "d3", "d6", "ahead")),
    *(f"around_{name}" for name in ("u", "d1", "d2", "d3", "d6", "share", "most", "wet")),
]  # fmt: skip
VARIANTS = ["own", "own_upstream", "full"]
RAIN_COLUMNS = ["rain_1h", "rain_3h", "rain_on_wet", "rain_on_high"]
COLUMNS = {"own": 11, "own_upstream": 29, "full": 37}
HORIZONS_H = [1, 2, 3, 6]
ERROR_STEPS = [round(-1.0 + 0.05 * step, 2) for step in range(101)]

BETA = {"d1": (0.6, 1.0, 1.3, 1.7), "near_d1": (0.2, 0.4, 0.6, 0.8), "mid_d1": (0.0, 0.2, 0.4, 0.9), "far_d1": (0.0, 0.0, 0.2, 0.8)}
"""What the default model has learned: a rise goes on, and comes down the river."""


def at(minute: float) -> datetime:
    return START + timedelta(minutes=minute)


def slot(minute: float) -> int:
    """The slot that ends at or after a minute."""
    return -int(-(int(START.timestamp()) * 1000 + minute * 60_000) // EVERY_MS)


# --- records ---------------------------------------------------------------------------------------------------


def reading(gauge_id: str, minute: float, level_m: float | None = 1.0, *, arrived: float | None = None, **fields: Any) -> dict[str, Any]:
    """A level of a gauge, which arrives five minutes after it was taken."""
    known = {"region": "r", "gauge_id": gauge_id, "observed_at": at(minute), "version": 1, "op": "stated", "level_m": level_m}
    return known | {"arrived": at(minute + 5 if arrived is None else arrived)} | fields


def levels(gauge_id: str, *heights: float | None, first: float = 0, every: float = 60) -> list[dict[str, Any]]:
    """Levels of a gauge at regular times, an hour apart."""
    return [reading(gauge_id, first + nth * every, each) for nth, each in enumerate(heights)]


def tick(minute: float) -> dict[str, Any]:
    return {"at": at(minute), "arrived": at(minute)}


def gauge(gauge_id: str = "93", *, north_km: float = 0.0, arrived: float = -9999, since: float = -9999, **fields: Any) -> dict[str, Any]:
    """What is known of a gauge: a river gauge at 36 °N 136 °E with official levels of 2, 3, 4 and 5 m."""
    known = {
        "region": "r", "gauge_id": gauge_id, "valid_from": at(since), "version": 1, "op": "stated", "valid_until": None,
        "name": f"観測所{gauge_id}", "river": "足羽川", "municipality": "福井市", "manager": "",
        "lat_deg": 36.0 + north_km * KM_NORTH,
        "lon_deg": 136.0, "downstream_id": None, "l1_standby_m": 2.0, "l2_caution_m": 3.0, "l3_evacuation_m": 4.0, "l4_danger_m": 5.0,
        "l1_is": "rare", "sign_lost_below_m": None, "kind": "river", "as_input": "used", "reports": "always", "start_level_m": None,
        "raise_at_p": None, "thresholds_differ": None, "forecast_area": None, "arrived": at(arrived),
    }  # fmt: skip
    return known | fields


def rained(station_id: str, hour: float, rain_mm: float | None = 0.0, *, arrived: float | None = None, **fields: Any) -> dict[str, Any]:
    """What fell on a station in the hour that ends so many hours after the start; it arrives twenty minutes later."""
    known = {"region": "r", "station_id": station_id, "observed_at": at(60 * hour), "version": 1, "op": "stated", "rain_mm": rain_mm}
    return known | {"arrived": at(60 * hour + 20 if arrived is None else arrived)} | fields


def station(station_id: str, *, north_km: float = 0.0, arrived: float = -9999, since: float = -9999, **fields: Any) -> dict[str, Any]:
    """What is known of a weather station: it measures rain, so far north of 93."""
    known = {
        "region": "r", "station_id": station_id, "valid_from": at(since), "version": 1, "op": "stated", "valid_until": None,
        "name": station_id, "name_kana": "", "prefecture": "福井県", "lat_deg": 36.0 + north_km * KM_NORTH, "lon_deg": 136.0,
        "elevation_m": 10.0, "rain": "measured", "arrived": at(arrived),
    }  # fmt: skip
    return known | fields


NO_LEVELS: dict[str, None] = dict.fromkeys(("l1_standby_m", "l2_caution_m", "l3_evacuation_m", "l4_danger_m"))


def river(**of_93: Any) -> list[dict[str, Any]]:
    """The seven gauges; ``of_93`` changes the lowest one."""
    return [
        gauge("90", north_km=24, downstream_id="91"),
        gauge("91", north_km=12, downstream_id="92"),
        gauge("92", north_km=4, downstream_id="93"),
        gauge("93", **of_93),
        gauge("97", lon_deg=136.0 + 10 * KM_NORTH / np.cos(np.radians(36.0))),
        gauge(
            "205",
            north_km=-2,
            sign_lost_below_m=2.8,
            as_input="unused",
            l1_standby_m=1.7,
            l2_caution_m=2.3,
            l3_evacuation_m=2.6,
            l4_danger_m=2.8,
        ),
        gauge("400", north_km=-3, reports="above_start", start_level_m=0.5, as_input="unused", **NO_LEVELS | {"l4_danger_m": 3.0}),
    ]


def model(
    judges: Iterable[str] = ("90", "91", "92", "93", "97", "205", "400"), beta: Mapping[str, Sequence[float]] | None = None, **fields: Any
) -> dict[str, Any]:
    """Learned numbers: the same coefficients for every gauge, in each variant as far as it has the column."""
    flat = coefficients(BETA if beta is None else beta)
    return {
        "region": "r", "valid_from": at(-9999), "version": 1, "op": "stated", "model": "r-made", "fitted_on": "by hand",
        "features": FEATURES, "horizons_h": HORIZONS_H, "variants": VARIANTS,
        "gauges": [
            {"gauge_id": each, "median_m": 1.0, "scale_m": 1.0, "group": "network", "coefficients": flat, "level_coefficients": []}
            for each in judges
        ],
        "errors": [errors(group, variant, horizon) for group in ("network", "rest") for variant in VARIANTS for horizon in HORIZONS_H],
        "keeps_rising": [{"group": "network", "share": 0.5}, {"group": "rest", "share": 0.25}],
        "mu_edges": [], "error_steps": rounded(ERROR_STEPS), "arrived": at(-9999),
    } | fields  # fmt: skip


def with_rain(known: Mapping[str, Any], beta: Mapping[str, Sequence[float]] | None = None) -> dict[str, Any]:
    """A model with a table for rain beyond another's: as the full one, and what rain adds by horizon."""
    of_rain = np.zeros((len(HORIZONS_H), len(RAIN_COLUMNS)))
    for name, by_horizon in ({"rain_3h": (0.5, 1.0, 2.0, 3.0)} if beta is None else beta).items():
        of_rain[:, RAIN_COLUMNS.index(name)] = by_horizon

    def widened(each: Mapping[str, Any]) -> dict[str, Any]:
        table = np.zeros((len(VARIANTS) + 1, len(HORIZONS_H), len(FEATURES) + len(RAIN_COLUMNS)))
        table[:-1, :, : len(FEATURES)] = np.array(each["coefficients"]).reshape(len(VARIANTS), len(HORIZONS_H), len(FEATURES))
        table[-1] = np.concatenate([table[-2, :, : len(FEATURES)], of_rain], axis=1)
        return {**each, "coefficients": rounded(table.ravel().tolist()), "level_coefficients": []}

    return {
        **known, "features": [*FEATURES, *RAIN_COLUMNS], "variants": [*VARIANTS, "with_rain"],
        "gauges": [widened(each) for each in known["gauges"]],
        "errors": [*known["errors"], *(each | {"variant": "with_rain"} for each in known["errors"] if each["variant"] == "full")],
    }  # fmt: skip


def rounded(numbers: Iterable[float]) -> list[float]:
    """As the feed holds them: in single precision."""
    return [float(np.float32(each)) for each in numbers]


AREA = "890904000100"
KINDS = {2: ("22", "氾濫注意情報（警戒情報解除）"), 3: ("30", "氾濫警戒情報"), 4: ("40", "氾濫危険情報"), 5: ("51", "氾濫発生情報")}


def bulletin(minute: float, level: int | None = 3, *, arrived: float | None = None, **fields: Any) -> dict[str, Any]:
    """An official bulletin of 六角川, which arrives eleven minutes after it was published; no level: a release."""
    code, name = KINDS[level] if level else ("10", "氾濫注意情報解除")
    known = {
        "status": "actual", "area_code": AREA, "reported_at": at(minute), "version": 1, "op": "stated", "info_type": "issued",
        "rivers_are": "forecast", "area": "六角川", "standing": "stands" if level else "released", "level": level, "code": code,
        "name": name, "event_id": AREA, "title": "", "headline": "", "offices": [], "sent_at": at(minute), "rivers": [],
        "prefectures": [], "municipalities": [], "stations": [], "arrived": at(minute + 11 if arrived is None else arrived),
    }  # fmt: skip
    return known | fields


def not_understood(minute: float, **fields: Any) -> dict[str, Any]:
    """One with a code that nobody knows."""
    return bulletin(minute, None, standing="unknown", code="60", name=None) | fields


def coefficients(beta: Mapping[str, Sequence[float]]) -> list[float]:
    table = np.zeros((len(VARIANTS), len(HORIZONS_H), len(FEATURES)))
    for name, by_horizon in beta.items():
        column = FEATURES.index(name)
        for v, variant in enumerate(VARIANTS):
            if column < COLUMNS[variant]:
                table[v, :, column] = by_horizon
    return rounded(table.ravel().tolist())


def errors(group: str, variant: str, horizon: int, *, spread: float = 0.3) -> dict[str, Any]:
    """A forecast is off by at most ``spread`` (in s), and by any amount up to that equally often."""
    share = np.clip((spread - np.array(ERROR_STEPS)) / (2 * spread), 0, 1)
    about = {"group": group, "variant": variant, "horizon_h": horizon}
    return about | {"exceedance": rounded(share.tolist()), "spread": [1.0, 0.0, 0.0]}


# --- frames ----------------------------------------------------------------------------------------------------


def frame(feed_name: str, records: Iterable[Mapping[str, Any]], offset: int = 0) -> pl.DataFrame:
    rows = [{"partition": 0, "offset": offset + nth, **each} for nth, each in enumerate(records)]
    return pl.DataFrame(rows, schema=FEEDS[feed_name].frame_schema)


def feed_of(record: Mapping[str, Any]) -> str:
    fields = {
        CLOCK: "at", LEVEL: "level_m", GAUGE: "downstream_id", MODEL: "features", RAIN: "rain_mm", STATION: "name_kana",
        BULLETIN: "standing",
    }  # fmt: skip
    return next(name for name, field in fields.items() if field in record)


def past_of(keys: Sequence[tuple[str, ...]], records: Iterable[Mapping[str, Any]], *, until: float | None = None) -> Grid:
    """Readings as the rule finds them."""
    made = Grid(FEEDS[LEVEL], value="level_m", every=timedelta(minutes=10), bridge=timedelta(minutes=400))
    made.know(keys)
    made.add(frame(LEVEL, records))
    if until is not None:
        made.extend(made.slots.first, slot(until) + 1)
    return made


# --- the linkage at work ---------------------------------------------------------------------------------------


class Watch:
    """The flood linkage over a river, and all that it has said."""

    def __init__(self, *references: Mapping[str, Any], start: Start | None = None) -> None:
        self.engine = Engine(upstream_flood, FEEDS, start)
        self.said: list[dict[str, Any]] = []
        self._next: dict[str, int] = {}
        self.engine.recall(self.batch(*references))

    def batch(self, *records: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
        out = {}
        for name in dict.fromkeys(map(feed_of, records)):
            mine = [each for each in records if feed_of(each) == name]
            out[name] = frame(name, mine, self._next.get(name, 0))
            self._next[name] = self._next.get(name, 0) + len(mine)
        return out

    def step(self, *records: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What one batch makes it say."""
        spoken: Spoken = self.engine.step(self.batch(*records))
        facts = [] if spoken.facts is None else spoken.facts.to_dicts()
        self.said += facts
        return facts

    def hears(self, *records: Mapping[str, Any], ticks: float | None = None) -> list[dict[str, Any]]:
        """All that it says to records in order of arrival, one instant after the other; a tick every so many minutes."""
        arrivals = [*records, *(_ticks(records, ticks) if ticks else [])]
        instants = sorted({each["arrived"] for each in arrivals})
        return [fact for now in instants for fact in self.step(*(each for each in arrivals if each["arrived"] == now))]

    def standing(self) -> dict[str, dict[str, Any]]:
        """The latest revisions that are not withdrawn, by id."""
        newest = {each["id"]: each for each in self.said}
        return {id_: each for id_, each in newest.items() if each["state"] != "withdrawn"}

    def now(self) -> list[str]:
        """What stands and has not ended, each in a word: ``93 L1 raised``."""
        return sorted(
            f"{each['gauge_id']} {subject(each)} {each['state']}" for each in self.standing().values() if each["ended_at"] is None
        )


def _ticks(records: Sequence[Mapping[str, Any]], every: float) -> list[dict[str, Any]]:
    first, last = (pick(minute_of(each["arrived"]) for each in records) for pick in (min, max))
    return [tick(minute) for minute in np.arange(np.ceil(first / every) * every, last + every, every).tolist()]


def minute_of(instant: datetime) -> float:
    return (instant - START) / timedelta(minutes=1)


def subject(fact: Mapping[str, Any]) -> str:
    return str(fact["id"].split("/")[2])


def story(facts: Iterable[Mapping[str, Any]], gauge_id: str = "93", about: str = "L1") -> list[tuple[float, str]]:
    """Of one gauge and subject: minute of the statement's event time, and state."""
    return [(minute_of(each["time"]), each["state"]) for each in facts if each["gauge_id"] == gauge_id and subject(each) == about]

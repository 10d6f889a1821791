"""What stands after a day and a half of random readings is what the plain oracle says should stand.

Readings come hourly or oftener, off the slots, in any order within patience, some twice, corrected, withdrawn or without a
level; a threshold changes on the way. In every other run it rains, and the model reads it. The oracle reads them one by one
(``tests.upstream_flood.oracle``).
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import pytest

from tests.upstream_flood.oracle import Oracle, slot_of
from tests.upstream_flood.river import (
    AREA,
    ERROR_STEPS,
    NO_LEVELS,
    Watch,
    at,
    bulletin,
    errors,
    gauge,
    minute_of,
    model,
    not_understood,
    rained,
    reading,
    river,
    rounded,
    station,
    subject,
    tick,
    with_rain,
)

HOURS = 36
Record = Mapping[str, Any]

ODD = {"l1_standby_m": 1.8037, "l2_caution_m": 2.3041, "l3_evacuation_m": 2.9043, "l4_danger_m": 3.4047}
"""Heights that no reading in whole centimetres meets exactly."""


def gauges(random: Random) -> list[dict[str, Any]]:
    """The river, with one gauge that learns a new threshold, one that asks for more certainty, one that is new."""
    known = [each | ODD if each["gauge_id"] not in ("205", "400") else each for each in river(raise_at_p=random.choice([None, 0.5]))]
    changed = random.uniform(12, 24) * 60
    known = [each | {"forecast_area": AREAS.get(each["gauge_id"])} for each in known]
    known.append(known[1] | {"valid_from": at(changed), "l1_standby_m": 1.6033, "arrived": at(changed - 600)})
    known.append(gauge("98", north_km=8, downstream_id="92", since=random.uniform(2, 9) * 60, arrived=0, **ODD))
    known.append(gauge("99", north_km=1, kind="reservoir", **NO_LEVELS))
    return known


def learned(random: Random) -> dict[str, Any]:
    """A model that says something else in each table, group, horizon and bin."""
    made = model(("90", "91", "92", "93", "97", "98", "99", "400"))
    for each in made["gauges"]:
        each["scale_m"], each["median_m"] = random.uniform(0.6, 1.4), random.uniform(0.8, 1.2)
        each["group"] = random.choice(["network", "rest"])
        noise = np.array([random.gauss(0, 0.02) for _ in each["coefficients"]])
        each["coefficients"] = rounded((np.array(each["coefficients"]) + noise).tolist())
    made["errors"] = [any_errors(each["group"], each["variant"], each["horizon_h"], random) for each in made["errors"]]
    return made


def any_errors(group: str, variant: str, horizon: int, random: Random) -> dict[str, Any]:
    spread, shift = random.uniform(0.2, 0.6), random.uniform(-0.1, 0.1)
    table = np.clip((spread + shift - np.array(ERROR_STEPS)) / (2 * spread), 0, 1).tolist()
    size = [random.uniform(-0.2, 1.2), random.uniform(-0.3, 0.6), random.uniform(0, 0.6)]
    return errors(group, variant, horizon) | {"exceedance": rounded(table), "spread": rounded(size)}


def hydrograph(random: Random, lag_h: float, height_m: float) -> Any:
    """Level by minute: calm, a wave or two, and a little noise."""
    waves = [(random.uniform(4, 26) + lag_h, random.uniform(0.8, 2.5), random.uniform(0.2, 1) * height_m) for _ in range(2)]

    def level(minute: float) -> float:
        hour = minute / 60
        rise = sum(top * np.exp(-(((hour - peak) / (width if hour < peak else 2.5 * width)) ** 2)) for peak, width, top in waves)
        return round(1.0 + float(rise) + random.gauss(0, 0.01), 2)

    return level


def readings_of(random: Random, gauge_id: str, lag_h: float, height_m: float) -> list[dict[str, Any]]:
    level, every = hydrograph(random, lag_h, height_m), random.choice([10, 20, 30, 60])
    silent = random.uniform(0, HOURS - 5) * 60
    out = []
    for nominal in range(0, HOURS * 60, every):
        minute = nominal + random.choice([0, 0, 0, random.uniform(-4, 4)])
        if minute < 0 or silent <= minute < silent + random.choice([0, 100, 200, 240]):
            continue
        out += versions(random, gauge_id, minute, level(minute))
    return out


def versions(random: Random, gauge_id: str, minute: float, level_m: float) -> list[dict[str, Any]]:
    """A reading, now and then without level, as a spike, late within patience, corrected or withdrawn later."""
    dice = random.random()
    shown = None if dice < 0.03 else round(level_m + 1.2, 2) if dice < 0.04 else level_m
    arrived = minute + (random.uniform(0, 170) if random.random() < 0.15 else 5)
    out = [reading(gauge_id, minute, shown, arrived=arrived)]
    if random.random() < 0.04:
        later = random.uniform(arrived, minute + 175) if arrived < minute + 175 else arrived
        out.append(reading(gauge_id, minute, level_m, arrived=later, version=2, op=random.choice(["stated", "withdrawn"])))
    return out


def script(random: Random) -> list[dict[str, Any]]:
    heights = {
        "90": (0, 1.5),
        "91": (1, 1.8),
        "98": (1, 1.2),
        "92": (1.5, 2.0),
        "93": (2, 2.2),
        "97": (1, 1.5),
        "205": (1, 2.0),
        "99": (0, 1),
    }
    records = [each for gauge_id, (lag_h, height_m) in heights.items() for each in readings_of(random, gauge_id, lag_h, height_m)]
    records += [reading("400", 60 + 1440 * day, 0.3) for day in (0, 1)]
    records += [reading("400", 60 * hour, 0.3 + max(0, 12 - abs(hour - 16)) / 5) for hour in range(10, 23) if random.random() < 0.9]
    unique = {(each["gauge_id"], each["observed_at"], each["version"]): each for each in records}
    return [each | {"gauge_id": each["gauge_id"]} for each in unique.values()]


def weather(random: Random) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rain since the day before: hours that nobody recorded, stations that fall silent, amounts corrected, withdrawn and late; stations,
    one of another region, one that measures no rain, one that moves."""
    places = {"n": 20.0, "m": 9.0, "s": -4.0, "beyond": 3.0, "cold": 1.0, "far": 90.0, "p": 12.0, "q": 15.0}
    region = {"beyond": "other"}
    known = [station(name, north_km=km, region=region.get(name, "r")) for name, km in places.items()]
    known[4] |= {"rain": "unmeasured"}
    moved = random.uniform(12, 24) * 60
    known.append(station("m", north_km=-8, since=moved, arrived=moved - 600))
    rain = []
    for name in places:
        silent = random.uniform(-24, HOURS)
        for hour in range(-30, HOURS):
            if hour % 24 == 0 or silent <= hour < silent + random.choice([0, 0, 3, 14]):
                continue
            fell = round(2 * random.choice([0, 0, 1, random.uniform(0, 30)])) / 2
            late = random.choice([20, 20, 20, random.uniform(0, 175)])
            shown = None if random.random() < 0.03 else fell
            rain.append(rained(name, hour, shown, arrived=60 * hour + late, region=region.get(name, "r")))
            if random.random() < 0.05:
                op = random.choice(["stated", "withdrawn"])
                later = 60 * hour + random.uniform(late, 176)
                rain.append(rained(name, hour, fell + 5, arrived=later, version=2, op=op, region=region.get(name, "r")))
    return rain, known


def batches(random: Random, records: list[Record]) -> list[list[Record]]:
    """In order of arrival, with ticks, some records twice, cut anywhere."""
    ticks = [tick(minute) for minute in range(-30, HOURS * 60 + 240, 30)]
    arrivals = sorted([*records, *random.sample(records, len(records) // 20), *ticks], key=lambda each: each["arrived"])
    cuts = sorted(random.sample(range(1, len(arrivals)), 120))
    return [arrivals[a:b] for a, b in zip([0, *cuts], [*cuts, len(arrivals)], strict=True)]


def stands(watch: Watch) -> set[tuple[Any, ...]]:
    """What stands; whether it is called raised or updated rests on what was said before."""
    return {
        (
            each["gauge_id"],
            subject(each),
            each["onset"],
            each["ended_at"],
            each["state"].replace("raised", "updated"),
            each["p_exceed"],
            times(each),
            official(each),
        )
        for each in watch.standing().values()
    }


def times(fact: Record) -> tuple[Any, ...]:
    return tuple(fact[name] for name in ("eta_p10", "eta_p50", "eta_p90"))


def official(fact: Record) -> tuple[Any, ...] | None:
    held = fact["official"]
    return None if held is None else tuple(held[name] for name in ("standing", "level", "code", "reported_at"))


AREAS = {"92": AREA, "93": AREA, "97": "8201813100"}


def bulletins(random: Random) -> list[dict[str, Any]]:
    """Of both stretches and of none, understood or not, corrected, withdrawn, late, and some for an exercise."""
    out = []
    for area_code in (*AREAS.values(), "4301310200"):
        for _ in range(random.randint(2, 6)):
            minute, level = random.randrange(-300, HOURS * 60), random.choice([None, 2, 3, 4, 5])
            made = not_understood(minute) if random.random() < 0.2 else bulletin(minute, level)
            made |= {"area_code": area_code, "status": random.choice(["actual"] * 5 + ["exercise"])}
            out.append(made | {"arrived": at(minute + random.choice([2, 15, 100, 400]))})
            if random.random() < 0.4:
                over = {"op": random.choice(["stated", "withdrawn"]), "level": 3, "standing": "stands", "code": "31", "version": 2}
                out.append(made | over | {"arrived": at(minute + random.choice([20, 150, 500]))})
    unique = {(each["status"], each["area_code"], each["reported_at"], each["version"]): each for each in out}
    return list(unique.values())


def run(seed: int) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]], Watch]:
    random = Random(seed)
    known, numbers, records = gauges(random), learned(random), script(random)
    said = bulletins(Random(-1 - seed))
    rain, stations = weather(Random(f"weather {seed}")) if seed % 2 else ([], [])
    if seed % 2:
        numbers = with_rain(numbers, {name: (0.2, 0.4, 0.6, 0.8) for name in ("rain_1h", "rain_3h", "rain_on_wet", "rain_on_high")})
    watch = Watch(*known, *stations, numbers)
    for each in batches(random, [*records, *rain, *said]):
        watch.step(*each)
    end = max(slot_of(at(HOURS * 60 + 210)), *(slot_of(each["observed_at"]) for each in records))
    return stands(watch), Oracle(records, known, numbers, slot_of(at(-30)), end, said, rain, stations).standing(), watch


@pytest.mark.parametrize("seed", range(12))
def test_what_stands_is_what_the_oracle_says(seed: int) -> None:
    found, expected, _ = run(seed)
    assert sorted(found - expected, key=str) == []
    assert sorted(expected - found, key=str) == []


def test_the_scripts_are_worth_playing() -> None:
    """Every state and level occurs, notices end and are taken back, and times of passing are told."""
    _, expected, watch = run(3)
    assert {fact[1] for fact in expected} >= {"L1", "L2", "stale", "no_reading", "no_threshold", "not_observed"}
    assert {each["state"] for each in watch.said} >= {"raised", "updated", "cleared", "withdrawn"}
    assert any(each["eta_p50"] for each in watch.said)
    assert {each["because"]["variant"] for each in watch.said} >= {"full", "with_rain"}
    assert any(minute_of(each["onset"]) > 0 for each in watch.said)


def test_official_bulletins_of_every_standing_are_shown() -> None:
    shown = [each["official"]["standing"] for seed in (0, 1, 2) for each in run(seed)[2].said if each["official"]]
    assert set(shown) == {"stands", "released", "unknown"}

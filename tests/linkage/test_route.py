"""Shards with a halo come to what the whole comes to, and nobody says a pair twice."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipelines.linkage import CLOCK, DeclarationError, Engine, Match, Route, minutes, records
from pipelines.linkage.route import shards
from pipelines.linkage.space import geodesic_m
from schemas.feeds import Feed, feed, parse

START = datetime(2024, 5, 28, tzinfo=UTC)
INSTANT = {"type": "long", "logicalType": "timestamp-millis"}
OP = {"type": "enum", "name": "Op", "symbols": ["stated", "withdrawn"]}
OR_NOT = ["null", "double"]
CALLS, NEAR, PAIRS = "toy.call.v1", "toy.call-near.v1", "toy.pair.v1"
RESOLUTION, HALO_M = 8, 60.0


def record(called: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": called, "fields": [{"name": name, "type": kind} for name, kind in fields.items()]}


def declared(name: str, identity: list[str], key: str, **more: Any) -> Feed:
    told = {"name": name, "identity": identity, "key": key, "time": "at", "version": "version", "place": ["lat_deg", "lon_deg"]}
    told |= {"patience": "PT1H", "retention": "P1D", "handed_on": key == "shard"}
    fields = record("Call", town="string", who="string", at=INSTANT, version="long", op=OP, lat_deg=OR_NOT, lon_deg=OR_NOT, **more)
    return parse(fields | {"feed": told})


def pairs_feed(key: str) -> Feed:
    one, other = (record(name, feed="string", name="string", time=INSTANT, version="long") for name in ("One", "Other"))
    position = record("Position", feed="string", partition="int", offset="long")
    told = {"name": PAIRS, "identity": ["id"], "key": "id", "time": "time", "version": "revision", "place": None, "patience": "PT0S"}
    told |= {"retention": "P1D", "envelope": ["revision", "basis", "said_at"]}
    fields = record(
        "Pair", id="string", revision="int", state="string", **{key: "string"}, time=INSTANT, distance_m=OR_NOT, lag_s=OR_NOT,
        because=record("Because", left=one, right=other), rule="string", basis={"type": "array", "items": position}, said_at=INSTANT,
    )  # fmt: skip
    return parse(fields | {"feed": told})


CALL = declared(CALLS, ["town", "who", "at"], "town")
CALL_NEAR = declared(NEAR, ["shard", "town", "who", "at"], "shard", shard="string", home="boolean")
ROUTE = Route(name="near", says=NEAR, together_by="town", records=records(CALLS), by="shard", resolution=RESOLUTION, halo_m=HALO_M)


def call(who: str, second: float, lat: float | None, lon: float | None, version: int = 1, op: str = "stated") -> dict[str, Any]:
    at = START + timedelta(seconds=round(second))
    return {"town": "t", "who": who, "at": at, "version": version, "op": op, "lat_deg": lat, "lon_deg": lon, "arrived": at}


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    numbered = [row | {"partition": 0, "offset": at} for at, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=CALL.frame_schema)


def routed(rows: list[dict[str, Any]], step: int = 10**9) -> pl.DataFrame:
    running = Engine(ROUTE, {CALLS: CALL, NEAR: CALL_NEAR, CLOCK: feed(CLOCK)})
    said = [running.step({CALLS: each}).facts for each in frame(rows).iter_slices(step)]
    return pl.concat([each for each in said if each is not None])


def paired(of: Feed, key: str, rows: pl.DataFrame, **left: Any) -> list[tuple[str, str]]:
    pairs = pairs_feed(key)
    linkage = Match(
        name="pairs", says=PAIRS, together_by=key, left=records(of.name, **left), right=records(of.name),
        within=minutes(5), within_m=HALO_M,
        rule="toy 1",
    )  # fmt: skip
    running = Engine(linkage, {of.name: of, PAIRS: pairs, CLOCK: feed(CLOCK)})
    places = pl.int_range(rows.height, dtype=pl.Int64, eager=True).alias("offset")
    batch = rows.with_columns(pl.lit(0, pl.Int32).alias("partition"), places).select(*of.frame_schema)
    said = running.step({of.name: batch}).rows
    names = [(row["because"]["left"]["name"].split("@"), row["because"]["right"]["name"].split("@")) for row in said]
    return sorted(("@".join(a[-2:]), "@".join(b[-2:])) for a, b in names)


def drawn(seed: int, count: int = 300) -> list[dict[str, Any]]:
    """Calls in a few square kilometres, so that many lie near an edge; some are corrected, moved or withdrawn."""
    g, rows = random.Random(seed), []
    for n in range(count):
        second, lat, lon = g.uniform(0, 1500), g.uniform(36.05, 36.08), g.uniform(136.2, 136.23)
        rows.append(call(f"c{n}", second, lat, lon))
        if g.random() < 0.3:
            how = g.choice(["moved", "withdrawn", "lost"])
            where = (g.uniform(36.05, 36.08), g.uniform(136.2, 136.23)) if how == "moved" else (None, None)
            rows.append(call(f"c{n}", second, *where, version=2, op="stated" if how != "withdrawn" else "withdrawn"))
    g.shuffle(rows)
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_pairs_of_shards_are_the_pairs_of_the_whole_each_once(seed: int) -> None:
    rows = drawn(seed)
    copies = routed(rows, step=37)
    assert copies["shard"].n_unique() > 5
    assert copies.filter(~pl.col("home") & (pl.col("op") == "stated")).height > 0
    assert paired(CALL_NEAR, "shard", copies, where={"home": (True,)}) == paired(CALL, "town", frame(rows))


def given_to(places: list[tuple[float, float]]) -> list[list[str]]:
    frame = pl.DataFrame(places, schema=["lat", "lon"], orient="row")
    return shards(frame, ("lat", "lon"), resolution=RESOLUTION, halo_m=HALO_M).to_list()


def test_whatever_lies_within_the_halo_of_a_record_reaches_its_home() -> None:
    g = random.Random(7)
    one = [(g.uniform(30, 45), g.uniform(129, 145)) for _ in range(3000)]
    other = [(lat + g.uniform(-1, 1) * 5e-4, lon + g.uniform(-1, 1) * 5e-4) for lat, lon in one]
    near = [float(geodesic_m(*a, *b)) <= HALO_M for a, b in zip(one, other, strict=True)]
    given = zip(given_to(one), given_to(other), near, strict=True)
    crossed = [(mine[0], theirs) for mine, theirs, close in given if close and mine[0] != theirs[0]]
    assert len(crossed) > 50
    assert [home for home, other in crossed if home not in other] == []


def test_a_record_that_moves_is_withdrawn_where_it_was() -> None:
    said = routed([call("a", 0, 36.0, 136.0), call("a", 0, 36.5, 136.5, version=2)], step=1)
    was, gone, now = (said.filter(pl.col("version") == v, pl.col("op") == op) for v, op in ((1, "stated"), (2, "withdrawn"), (2, "stated")))
    assert set(gone["shard"]) == set(was["shard"])
    assert was.filter("home").height == now.filter("home").height == 1
    assert not set(was["shard"]) & set(now["shard"])


def test_a_withdrawal_without_a_place_reaches_every_copy() -> None:
    rows = [call("a", 0, 36.0, 136.0), call("a", 0, None, None, version=2, op="withdrawn")]
    said = routed(rows, step=1)
    assert set(said.filter(pl.col("op") == "withdrawn")["shard"]) == set(said.filter(pl.col("op") == "stated")["shard"])


def test_an_older_version_and_a_copy_are_not_handed_on() -> None:
    newer = call("a", 0, 36.0, 136.0, version=2)
    assert routed([newer, call("a", 0, 36.5, 136.5), newer], step=1).filter("home")["version"].to_list() == [2]


def test_arrival_is_kept() -> None:
    said = routed([call("a", 5, 36.0, 136.0)])
    assert set(said["arrived"]) == {START + timedelta(seconds=5)}


def test_a_record_that_cannot_be_corrected_any_more_is_forgotten() -> None:
    running = Engine(ROUTE, {CALLS: CALL, NEAR: CALL_NEAR, CLOCK: feed(CLOCK)})
    running.step({CALLS: frame([call("a", 0, 36.0, 136.0)])})
    assert running.held() == {"records": 1}
    at = START + timedelta(hours=2)
    tick = pl.DataFrame([{"at": at, "arrived": at, "partition": 0, "offset": 0}], schema=feed(CLOCK).frame_schema)
    running.step({CLOCK: tick, CALLS: frame([call("b", 7200, 36.0, 136.0)])})
    assert running.held() == {"records": 1}


def test_records_that_cannot_move_are_no_matter_of_a_route() -> None:
    placeless = parse({**CALL.schema, "feed": CALL.schema["feed"] | {"place": None}})
    with pytest.raises(DeclarationError) as told:
        Engine(ROUTE, {CALLS: placeless, NEAR: CALL_NEAR, CLOCK: feed(CLOCK)})
    assert str(told.value) == "records of near must have a version, an op and a place (got toy.call.v1)"


@pytest.mark.parametrize(
    ("differs", "got"),
    [({"handed_on": False}, "handed_on False, patience 1:00:00"), ({"patience": "PT2H"}, "handed_on True, patience 2:00:00")],
)
def test_what_a_route_says_is_declared_as_handed_on_and_as_patient(differs: dict[str, Any], got: str) -> None:
    other = parse({**CALL_NEAR.schema, "feed": CALL_NEAR.schema["feed"] | differs})
    with pytest.raises(DeclarationError) as told:
        Engine(ROUTE, {CALLS: CALL, NEAR: other, CLOCK: feed(CLOCK)})
    rule = "feed that near says must be handed_on, with the patience of toy.call.v1, 1:00:00"
    assert str(told.value) == f"{rule} (got toy.call-near.v1: {got}): see its schema"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"halo_m": -3.0}, "halo_m of near must be positive (got -3.0): else no copy is made"),
        ({"resolution": 10}, "resolution of near must be 0 to 8 (got 10): a shard is wider than its halo"),
        ({"resolution": -1}, "resolution of near must be 0 to 8 (got -1): a shard is wider than its halo"),
    ],
)
def test_a_route_that_cannot_be_is_told_so(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DeclarationError) as fault:
        replace(ROUTE, **changes)
    assert str(fault.value) == told

"""What stands at a place, year by year: small scripts with what should be said after each file."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import h3
import polars as pl
from polars.testing import assert_frame_equal

from pipelines.latent_accident_spots.rule import spots
from schemas import feed
from tests.latent_accident_spots.streets import LAT, LON, accident, centre, frame, model, near_miss, passes, town

SPOT = h3.latlng_to_cell(LAT, LON, 10)
MIDDLE = centre(LAT, LON)
AROUND = [h3.cell_to_latlng(each) for each in sorted(h3.grid_ring(SPOT, 1))]


def elsewhere(*years: int) -> list[dict[str, Any]]:
    """Forty places far from each other, others in each year, with one accident each."""
    return [
        accident(LAT + 0.02 * (1 + place % 8), LON + 0.02 * (year - 2000) + 0.4 * (place // 8), year)
        for year in years
        for place in range(40)
    ]


def around(*years: int) -> list[dict[str, Any]]:
    """A place with many accidents on all sides of it and none in it."""
    return [accident(*each, year) for year in years for each in AROUND for _ in range(3)]


def said(rows: list[dict[str, Any]], *years: int, near: Any = (), passed: Any = (), **weights: float) -> pl.DataFrame:
    return spots(
        frame(rows), frame(list(near), "road.near-miss.v1"), frame(list(passed), "road.passes.v1"), dict.fromkeys(years, model(**weights))
    )


def at_the_spot(facts: pl.DataFrame) -> dict[str, str]:
    """State by id of what is said of the cell at resolution 10."""
    there = facts.filter((pl.col("cell") == SPOT) & (pl.col("resolution") == 10))
    return dict(there.select("id", "state").iter_rows())


def test_a_quiet_place_among_many_accidents_becomes_a_candidate_is_confirmed_and_is_cleared() -> None:
    years = tuple(range(2001, 2008))
    rows = elsewhere(*years) + around(2001) + [accident(*MIDDLE, 2002), accident(*MIDDLE, 2002)]
    candidate, confirmed, cleared = ({f"jp/10/{SPOT}/2001": each} for each in ("candidate", "confirmed", "cleared"))
    assert at_the_spot(said(rows, 2001)) == candidate
    assert at_the_spot(said(rows, 2001, 2002)) == confirmed
    assert at_the_spot(said(rows, *years[:4])) == confirmed  # 2004: the two of 2002 still count
    assert at_the_spot(said(rows, *years[:5])) == confirmed  # 2005: below for the first time
    assert at_the_spot(said(rows, *years[:6])) == cleared
    facts = said(rows, *years)
    assert at_the_spot(facts) == cleared
    row = facts.row(by_predicate=(pl.col("cell") == SPOT) & (pl.col("resolution") == 10), named=True)
    assert row["onset"] == datetime(2001, 12, 31, 15, tzinfo=UTC)
    assert row["ended_at"] == datetime(2006, 12, 31, 15, tzinfo=UTC)
    assert (row["through_year"], row["reason"]) == (2006, "below_exit_twice")


def test_a_place_with_two_accidents_from_the_start_is_known() -> None:
    rows = elsewhere(2001) + around(2001) + [accident(*MIDDLE, 2001), accident(*MIDDLE, 2001)]
    assert at_the_spot(said(rows, 2001)) == {f"jp/10/{SPOT}/2001": "known"}


def test_a_place_that_comes_back_is_another_episode() -> None:
    years = tuple(range(2001, 2009))
    rows = elsewhere(*years) + around(2001, 2008)
    assert at_the_spot(said(rows, *years)) == {f"jp/10/{SPOT}/2001": "cleared", f"jp/10/{SPOT}/2008": "candidate"}


def test_one_year_below_clears_nothing() -> None:
    years = tuple(range(2001, 2006))
    rows = elsewhere(*years) + around(2001, 2005)
    assert at_the_spot(said(rows, *years)) == {f"jp/10/{SPOT}/2001": "candidate"}


def test_an_accident_in_december_that_the_next_file_holds_changes_what_was_said() -> None:
    rows = elsewhere(2001, 2002) + around(2001) + [accident(*MIDDLE, 2001)]
    december = accident(*MIDDLE, 2001, occurred_at=datetime(2001, 12, 30, tzinfo=UTC), published_year=2002)
    assert at_the_spot(said(rows, 2001, 2002)) == {f"jp/10/{SPOT}/2001": "candidate"}
    assert at_the_spot(said([*rows, december], 2001, 2002)) == {f"jp/10/{SPOT}/2001": "known"}


def test_a_year_with_fewer_accidents_everywhere_clears_nothing() -> None:
    years = (2001, 2002, 2003)
    rows = elsewhere(2001) + around(2001) + elsewhere(2002)[:8] + elsewhere(2003)[:8]
    assert at_the_spot(said(rows, *years)) == {f"jp/10/{SPOT}/2001": "candidate"}


def test_accidents_of_a_year_whose_file_is_not_out_do_not_count() -> None:
    rows = elsewhere(2001) + around(2001) + [accident(*MIDDLE, 2002) for _ in range(5)]
    assert at_the_spot(said(rows, 2001)) == {f"jp/10/{SPOT}/2001": "candidate"}
    assert said(rows).is_empty()


def test_all_of_the_highest_places_are_said() -> None:
    rows = town(11, 600).to_dicts()
    facts = said(rows, 2019, 2020, 2021, ring2=0.3, around9=0.3, one_sided=-0.3)
    for resolution in (10, 11):
        at = {h3.latlng_to_cell(each["lat_deg"], each["lon_deg"], resolution) for each in rows}
        judged = {near for each in at for near in h3.grid_disk(each, 1)}
        stands = facts.filter((pl.col("resolution") == resolution) & (pl.col("state") != "cleared"))
        highest = stands.filter(pl.col("rank_share") <= 0.05)
        assert 0.04 < highest.height / len(judged) <= 0.05  # places that score alike enter together or not at all
        assert stands["cell"].n_unique() == stands.height
        latent = stands.filter(pl.col("latent_rank_share") <= 0.05)
        assert latent.height > 0
        assert set(stands.filter(pl.col("state") == "candidate")["latent_rank_share"].is_not_null()) == {True}


def test_facts_are_those_of_the_feed_and_the_order_of_records_does_not_matter() -> None:
    rows = town(12, 400)
    near = [near_miss(vehicle=each) for each in "abcab"]
    told = [passes(h3.latlng_to_cell(LAT, LON, 11), each, datetime(2020, 6, 1, tzinfo=UTC), 100) for each in "abc"]
    spot = feed("road.spot.v1")
    facts = said(rows.to_dicts(), 2019, 2020, 2021, near=near, passed=told)
    other = said(rows.sample(fraction=1, shuffle=True, seed=1).to_dicts(), 2021, 2019, 2020, near=near[::-1], passed=told[::-1])
    assert_frame_equal(facts, other)
    assert dict(facts.schema) == {name: dtype for name, dtype in spot.columns.items() if name not in spot.envelope}
    assert facts["id"].is_sorted()
    assert facts["id"].n_unique() == facts.height
    needed = [each["name"] for each in spot.schema["fields"] if not isinstance(each["type"], list) and each["name"] in facts.columns]
    assert facts.select(pl.col(needed).null_count()).sum_horizontal().item() == 0


def test_what_it_rests_on_leads_to_the_very_accidents() -> None:
    own = [accident(*MIDDLE, 2001, occurred_at=datetime(2001, month, 1, 1, tzinfo=UTC)) for month in (3, 5)]
    rows = elsewhere(2001) + around(2001) + own
    row = said(rows, 2001).row(by_predicate=(pl.col("cell") == SPOT) & (pl.col("resolution") == 10), named=True)
    weighed = row["because"]["weighed_most"]
    assert [each["accident_id"] for each in weighed[:2]] == [own[1]["accident_id"], own[0]["accident_id"]]
    assert [each["ring"] for each in weighed] == [0, 0, 1, 1, 1]
    (read,) = row["because"]["ranges"]
    assert read["keys"] == sorted(h3.grid_disk(h3.cell_to_parent(SPOT, 7), 1))
    assert (read["from_time"], read["to_time"]) == (
        datetime(2000, 12, 31, 15, tzinfo=UTC),
        datetime(2001, 12, 31, 14, 59, 59, 999000, tzinfo=UTC),
    )
    assert row["accidents"] == [{"year": 2001, "count": 2}]
    assert row["ring1"] == 18
    assert row["evidence"] == [{"what": "hour:06-11", "count": 2}, {"what": "weather:1", "count": 2}]


def test_evaluated_again_over_the_records_it_read_the_score_is_the_same() -> None:
    rows = town(13, 500).to_dicts()
    whole = said(rows, 2019, 2020, 2021).sort("score", descending=True).row(0, named=True)
    (read,) = whole["because"]["ranges"]
    read_again = [each for each in rows if h3.latlng_to_cell(each["lat_deg"], each["lon_deg"], 7) in read["keys"]]
    assert said(read_again, 2019, 2020, 2021).filter(pl.col("cell") == whole["cell"])["score"].to_list() == [whole["score"]]


def test_near_misses_are_shown_only_where_three_vehicles_passed_often() -> None:
    rows = elsewhere(2001) + around(2001)
    cell = h3.latlng_to_cell(*MIDDLE, 11)
    near = [near_miss(*MIDDLE, 2002, vehicle=each) for each in "aaab"]
    few = [passes(cell, each, datetime(2002, 3, 1, tzinfo=UTC), 500) for each in "ab"]
    shown = ["near_misses", "near_misses_capped", "passes", "vehicles"]
    for passed, told in ((few, (None,) * 4), ([*few, passes(cell, "c", datetime(2002, 3, 2, tzinfo=UTC), 1)], (4, 3, 1001, 3))):
        facts = said(rows, 2001, near=near, passed=passed).filter((pl.col("cell") == SPOT) & (pl.col("resolution") == 10))
        assert facts.select(shown).row(0) == told
        assert (facts["time"][0] > datetime(2001, 12, 31, 15, tzinfo=UTC)) == (told[0] is not None)


def test_headlines_say_what_to_do_and_claim_no_cause() -> None:
    facts = said(elsewhere(2001) + around(2001), 2001)
    row = facts.row(by_predicate=(pl.col("cell") == SPOT) & (pl.col("resolution") == 10), named=True)
    lat, lon = (round(each, 4) for each in MIDDLE)
    assert row["headline_ja"] == (
        f"北緯{lat}度・東経{lon}度の半径約65mは、2001年の人身事故が0件と少ないものの、潜在的に危険な可能性があります"
        f"(事故の少ない場所の上位{round(row['latent_rank_share'] * 100, 1)}%)。現地を確認してください。"
    )
    assert "possibly more dangerous than it looks" in row["headline_en"]
    assert not facts["headline_ja"].str.contains("{", literal=True).any()


def test_a_new_model_judges_what_comes_and_not_what_was_said() -> None:
    rows = elsewhere(2001, 2002) + around(2001, 2002)
    old, new = model(), model() | {"model": "new", "cells": []}
    whole = [frame(rows), frame([], "road.near-miss.v1"), frame([], "road.passes.v1")]
    first = spots(*whole, {2001: old})
    assert first.height > 0
    assert spots(*whole, {2001: old, 2002: old})["id"].is_in(first["id"].to_list()).any()
    then = spots(*whole, {2001: old, 2002: new})
    assert then["id"].to_list() == first["id"].to_list(), "nothing is judged by a model that was fitted for no resolution"

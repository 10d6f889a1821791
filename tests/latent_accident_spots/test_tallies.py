"""Tallies equal counting one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from math import atan2, cos, hypot, radians, sin, sqrt

import h3
import numpy as np
import polars as pl
import pytest

from pipelines.latent_accident_spots.kinds import KINDS, NEAR_M, SHARES
from pipelines.latent_accident_spots.tallies import AROUND, TallyError, placed, tallies
from tests.latent_accident_spots.streets import accident, frame, town

YEARS = (2019, 2020)


def metres(lat: float, lon: float, other: tuple[float, float]) -> float:
    return 111_195.0 * hypot(lat - other[0], (lon - other[1]) * cos(radians(other[0])))


@pytest.mark.parametrize("resolution", [10, 11])
@pytest.mark.parametrize("seed", [1, 2])
def test_tallies_equal_counting_one_by_one(resolution: int, seed: int) -> None:
    accidents = town(seed, 250)
    counted = tallies(accidents, resolution, YEARS)
    rows = [each for each in placed(accidents).iter_rows(named=True) if each["year"] in YEARS]
    at = [h3.latlng_to_cell(each["lat_deg"], each["lon_deg"], resolution) for each in rows]
    assert counted.judged.all()
    assert [h3.int_to_str(each) for each in counted.cells.tolist()] == sorted({near for each in at for near in h3.grid_disk(each, 1)})
    for index, cell in enumerate(h3.int_to_str(each) for each in counted.cells.tolist()):
        steps = [h3.grid_distance(cell, each) if h3.are_neighbor_cells(cell, each) or cell == each else _far(cell, each) for each in at]
        assert counted.ring[index].tolist() == [steps.count(each) for each in range(4)]
        own = [row for row, step in zip(rows, steps, strict=True) if step == 0]
        ring = [row for row, step in zip(rows, steps, strict=True) if step == 1]
        assert counted.by_year[index].tolist() == [sum(row["year"] == year for row in own) for year in YEARS]
        assert counted.kinds[index].tolist() == [sum(row[kind] for row in own) for kind in KINDS]
        assert counted.ring_kinds[index].tolist() == [sum(row[kind] for row in ring) for kind in KINDS]
        middle = h3.cell_to_latlng(cell)
        inner, edge, *limits = NEAR_M[resolution]
        far = [metres(row["lat_deg"], row["lon_deg"], middle) for row in own]
        assert counted.central[index] == sum(each <= inner for each in far)
        assert counted.at_edge[index] == sum(each > edge for each in far)
        beside = [metres(row["lat_deg"], row["lon_deg"], middle) for row in ring]
        bounds = list(zip([0.0, *limits], limits, strict=False))
        assert counted.near[index].tolist() == [sum(low < each <= high for each in beside) for low, high in bounds]
        for column, large in enumerate(AROUND):
            disk = set(h3.grid_disk(h3.cell_to_parent(cell, large), 1))
            assert counted.around[index, column] == sum(h3.cell_to_parent(each, large) in disk for each in at)
        kinds = {name: sum(row[each] for row in own + ring for each in parts) for name, parts in SHARES.items()}
        for name in SHARES:
            assert counted.share(name)[index] == pytest.approx(kinds[name] / (len(own) + len(ring) + 1))
        assert counted.one_sided[index] == pytest.approx(_one_sided(cell, at), abs=1e-5)


def _far(cell: str, other: str) -> int:
    return next((each for each in (2, 3) if other in h3.grid_ring(cell, each)), 9)


def _one_sided(cell: str, at: list[str]) -> float:
    lat, lon = h3.cell_to_latlng(cell)
    north = east = total = 0.0
    for near in h3.grid_ring(cell, 1):
        weight = sqrt(at.count(near))
        to_lat, to_lon = h3.cell_to_latlng(near)
        angle = atan2(to_lat - lat, (to_lon - lon) * cos(radians(lat)))
        north, east, total = north + weight * sin(angle), east + weight * cos(angle), total + weight
    return hypot(north, east) / total if total else 0.0


def test_the_order_of_accidents_does_not_matter() -> None:
    accidents = town(3, 200)
    one, other = (tallies(each, 11, YEARS) for each in (accidents, accidents.sample(fraction=1, shuffle=True, seed=4)))
    for name in ("cells", "by_year", "kinds", "ring", "ring_kinds", "central", "at_edge", "near", "around", "one_sided"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_an_accident_counts_in_the_year_that_it_was_in_japan_whichever_file_holds_it() -> None:
    new_year = datetime(2020, 12, 31, 15, 0, tzinfo=UTC)
    late = accident(occurred_at=datetime(2020, 12, 31, 14, 59, tzinfo=UTC), published_year=2021)
    accidents = frame([late, accident(occurred_at=new_year, published_year=2021)])
    counted = tallies(accidents, 10, (2020, 2021))
    assert counted.by_year[counted.own > 0].tolist() == [[1, 1]]


def test_cells_asked_for_are_counted_and_not_judged() -> None:
    far = h3.str_to_int(h3.latlng_to_cell(35.0, 139.0, 10))
    counted = tallies(frame([accident()]), 10, (2020,), also=np.array([far], np.uint64))
    assert len(counted.cells) == 8
    assert counted.cells[~counted.judged].tolist() == [far]
    assert counted.own[~counted.judged].tolist() == [0]


def test_accidents_without_a_place_and_none_at_all_give_no_cells() -> None:
    assert placed(frame([accident(lat_deg=None, lon_deg=None)])).is_empty()
    assert len(tallies(frame([]), 10, (2020,)).cells) == 0


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(TallyError, match=r"^resolution must be one of \(10, 11\) \(got 9\): distances are set for these$"):
        tallies(frame([]), 9, (2020,))
    with pytest.raises(TallyError, match=r"^years must hold at least one \(got \[\]\): name the years to count$"):
        tallies(frame([]), 10, ())


def test_a_code_that_is_not_told_counts_as_no_kind() -> None:
    silent = accident(road_shape=None, signal=None, width=None, route=None, accident_type=None)
    assert placed(frame([silent])).select(pl.sum_horizontal(list(KINDS))).item() == 0

"""The events of the bench of the match, and its true pairs."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from jobs.bench.match.files import messages, read_pairs, with_cells
from jobs.bench.match.inputs import DELAY, WITHIN, WITHIN_M, Inputs, inputs
from jobs.bench.match.truth import Compared, compare, true_pairs
from pipelines.linkage.space import geodesic_m

DELAY_MS, WITHIN_MS = (each // timedelta(milliseconds=1) for each in (DELAY, WITHIN))


def every_pair(given: Inputs) -> set[tuple[int, int]]:
    """Every left event beside every right one."""
    out = set()
    rights = given.right.to_dicts()
    for one in given.left.iter_rows(named=True):
        for other in rights:
            near = float(geodesic_m(one["lat_deg"], one["lon_deg"], other["lat_deg"], other["lon_deg"])) <= WITHIN_M
            if near and abs(one["at_ms"] - other["at_ms"]) <= WITHIN_MS:
                out.add((one["event"], other["event"]))
    return out


def test_equal_seeds_give_equal_events_and_others_do_not() -> None:
    one, again, other = inputs(0.001), inputs(0.001), inputs(0.001, seed=2)
    assert one.left.equals(again.left)
    assert one.right.equals(again.right)
    assert not one.left.equals(other.left)
    assert not one.left.equals(one.right)


def test_records_arrive_in_order_up_to_two_minutes_late_and_overtake_each_other() -> None:
    for side in (inputs(0.01).left, inputs(0.01).right):
        late_ms = side["arrived_ms"] - side["at_ms"]
        assert side["arrived_ms"].is_sorted()
        assert not side["at_ms"].is_sorted()
        assert 0 <= late_ms.min() < late_ms.max() < DELAY_MS  # type: ignore[operator]


def test_there_is_about_one_true_pair_for_each_event() -> None:
    given = inputs(0.02)
    assert true_pairs(given).height / given.left.height == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_true_pairs_are_those_that_a_look_at_every_pair_finds(seed: int) -> None:
    given = inputs(0.0004, seed=seed)
    expected = every_pair(given)
    assert len(expected) > 100
    assert sorted(true_pairs(given).iter_rows()) == sorted(expected)


def test_true_pairs_are_found_across_the_edges_of_squares() -> None:
    """Everything at one crossing, at the same time: any two of it are measured."""
    g = np.random.default_rng(4)
    sides = [pl.DataFrame({"lat_deg": g.uniform(36, 36.002, 200), "lon_deg": g.uniform(136, 136.002, 200)}) for _ in range(2)]
    sides = [each.with_columns(pl.int_range(200).alias("event"), pl.lit(1_716_854_400_000).alias("at_ms")) for each in sides]
    given = Inputs(left=sides[0], right=sides[1], crossings=1)
    assert sorted(true_pairs(given).iter_rows()) == sorted(every_pair(given))


def test_a_share_is_the_whole_day_at_some_of_the_crossings() -> None:
    whole, part = inputs(0.01), inputs(0.01).share(0.25)
    assert part.crossings == round(whole.crossings / 4)
    assert part.left.height / whole.left.height == pytest.approx(0.25, abs=0.05)
    assert set(part.left["event"]) < set(whole.left["event"])
    assert part.left["arrived_ms"].is_sorted()


def test_a_longer_span_has_as_many_events_an_hour() -> None:
    assert inputs(0.01, span=timedelta(hours=6)).left.height == inputs(0.01).left.height // 4


def test_what_was_said_is_compared_with_the_true_pairs_among_what_was_given() -> None:
    given = inputs(0.001)
    truth = true_pairs(given)
    assert compare(truth, given, truth) == Compared(pairs=truth.height, lost=0, extra=0)
    wrong = pl.concat([truth[:-3], truth[:1], pl.DataFrame({"left": [-1], "right": [-1]})])
    assert compare(wrong, given, truth) == Compared(pairs=truth.height, lost=3, extra=2)
    part = given.share(0.5)
    among = compare(true_pairs(part), part, truth)
    assert 0 < among.pairs < truth.height
    assert (among.lost, among.extra) == (0, 0)


def test_a_left_event_lies_under_the_cells_around_it_and_meets_each_partner_in_one() -> None:
    given = inputs(0.001)
    under: dict[bytes, set[int]] = {}
    for nth, (cell, _, _) in enumerate(messages(given.right, around=False, wire="bytes", stamp="at_ms")):
        under.setdefault(cell, set()).add(given.right["event"][nth])
    met: dict[int, list[int]] = {event: [] for event in given.left["event"]}
    for nth, (cell, _, _) in enumerate(messages(given.left, around=True, wire="json", stamp="arrived_ms")):
        met[given.left["event"][nth // 7]] += under.get(cell, ())
    for left, right in true_pairs(given).iter_rows():
        assert met[left].count(right) == 1


def test_files_with_cells_have_the_columns_that_sql_reads(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, given = tmp_path_factory.mktemp("cells"), inputs(0.0001)
    for side, around, columns in ((given.left, True, 11), (given.right, False, 5)):
        with_cells(side, folder / "side.csv", around=around)
        read = pl.read_csv(folder / "side.csv", has_header=False)
        assert read.shape == (side.height, columns)
        assert read.to_series(2).to_list() == side["lat_deg"].to_list()


def test_pairs_are_read_from_a_file_or_from_all_files_of_a_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "part-0").write_text("1,2\n")
    (folder / "part-1").write_text("")
    (folder / "part-2").write_text("3,4\n")
    assert read_pairs(folder).rows() == [(1, 2), (3, 4)]
    assert read_pairs(folder / "part-2").rows() == [(3, 4)]
    assert read_pairs(folder / "part-1").rows() == []

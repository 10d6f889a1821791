"""The nationwide point file: what passes, what is dead and why, and when it all arrived."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from connectors import npa
from connectors.npa import NpaError
from connectors.police_files import ACCIDENTS, DEAD, YEARS, arrival
from schemas import feed

EXTRACT = Path(__file__).parents[2] / "data" / "npa" / "npa_2019-2021_52_points.csv.gz"
HEADER = gzip.decompress(EXTRACT.read_bytes()).decode().splitlines()[0]
GOOD = {
    "id": "2020520010001", "発生日時": "2020-03-01T12:34+09:00", "lat": "36.06", "lon": "136.21", "死者数": "0", "負傷者数": "2",
    "路線コード": "00080", "市区町村コード": "52201", "昼夜": "12", "天候": "1",
    "道路形状": "01", "信号機": "1", "車道幅員": "15", "事故類型": "21",
}  # fmt: skip


def line(**told: str) -> str:
    cells = GOOD | told
    return ",".join(cells.get(title, "1") for title in HEADER.split(","))


def written(folder: Path, *lines: str | bytes, name: str = "points.csv") -> Path:
    path = folder / name
    path.write_bytes(b"\n".join(each if isinstance(each, bytes) else each.encode() for each in (HEADER, *lines)) + b"\n")
    return path


def read(path: Path, **span: datetime) -> dict[str, pl.DataFrame]:
    source = npa.open(path)
    chunks = list(source.read(**span))
    source.close()
    return {name: pl.concat([each[name] for each in chunks] or [feed(name).empty()]) for name in (ACCIDENTS, YEARS, DEAD)}


def test_the_extract_gives_every_accident_of_fukui_at_the_time_its_file_was_out() -> None:
    held = read(EXTRACT)
    assert {name: frame.schema for name, frame in held.items()} == {name: pl.Schema(feed(name).frame_schema) for name in held}
    accidents, years = held[ACCIDENTS], held[YEARS]
    assert (accidents.height, held[DEAD].height) == (2948, 0)
    assert years.select("year_key", "records").rows() == [
        (str(each), accidents.filter(pl.col("published_year") == each).height) for each in (2019, 2020, 2021)
    ]
    assert years["arrived"].to_list() == [arrival(each) for each in (2019, 2020, 2021)]
    assert set(accidents["municipality"].str.slice(0, 2)) == {"18"}
    assert accidents["arrived"].is_sorted()
    assert accidents["offset"].is_sorted()


def test_a_row_becomes_an_accident_with_the_codes_as_published(tmp_path: Path) -> None:
    row = read(written(tmp_path, line(信号機="")))[ACCIDENTS].row(0, named=True)
    assert row == {
        "region": "jp", "accident_id": "2020520010001", "occurred_at": datetime(2020, 3, 1, 3, 34, tzinfo=UTC), "version": 1,
        "op": "stated", "published_year": 2020, "lat_deg": 36.06, "lon_deg": 136.21, "deaths": 0, "injured": 2, "municipality": "18201",
        "road_shape": "01", "signal": None, "width": "15", "route": "00080", "weather": "1", "daylight": "12", "accident_type": "21",
        "arrived": datetime(2021, 8, 31, 15, tzinfo=UTC), "partition": 0, "offset": (2020 << 32) + 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line() + ",1", "line must have as many cells as its header (got '2020520010001,2020-03-01T12:34+09:00,36.06,136.21,1,1,0,2,00')"),
        (line(id="202052001000"), "id must be thirteen digits: year, prefecture, station, number (got '202052001000')"),
        (line(id="0020520010001"), "year of id must lie in 1990 to 2100 (got '0020520010001')"),
        (line(発生日時="2020-02-30T12:34+09:00"), "発生日時 must be written YYYY-MM-DDThh:mm+09:00 (got '2020-02-30T12:34+09:00')"),
        (line(発生日時=""), "発生日時 must be written YYYY-MM-DDThh:mm+09:00 (got '')"),
        (line(発生日時="2021-01-01T00:00+09:00"), "発生日時 must not lie after the year of its file (got '2021-01-01T00:00+09:00')"),
        (line(lat=""), "lat must be a number of degrees (got '')"),
        (line(lon="east"), "lon must be a number of degrees (got 'east')"),
        (line(lat="0.0"), "lat must lie in Japan, 20.4 to 45.6 (got '0.0')"),
        (line(lat="NaN"), "lat must lie in Japan, 20.4 to 45.6 (got 'NaN')"),
        (line(lon="154.1"), "lon must lie in Japan, 122.9 to 154.0 (got '154.1')"),
        (line(死者数="one"), "死者数 must be a number of people (got 'one')"),
        (line(市区町村コード="53201"), "市区町村コード must be a police prefecture and three digits (got '53201')"),
        (line(路線コード="80"), "路線コード must be five digits (got '80')"),
        (line(道路形状="99"), "道路形状 must be a code of its table (got '99')"),
        (line(事故類型="4"), "事故類型 must be a code of its table (got '4')"),
        (line().encode() + b"\xff", "line must be UTF-8"),
        (line(天候="2"), "id must stand once (got '2020520010001' again)"),
    ],
)
def test_a_bad_row_is_dead_with_its_place_and_its_neighbours_pass(bad: str | bytes, reason: str, tmp_path: Path) -> None:
    held = read(written(tmp_path, line(), bad, line(id="2020520010002")))
    assert held[ACCIDENTS]["accident_id"].to_list() == ["2020520010001", "2020520010002"]
    dead = held[DEAD].row(0, named=True)
    raw = bad if isinstance(bad, bytes) else bad.encode()
    assert (dead["source"], dead["place"], dead["reason"], dead["raw"]) == ("points.csv", 3, reason, raw)
    assert (dead["feed"], held[DEAD].height) == (ACCIDENTS, 1)
    assert held[YEARS]["records"].to_list() == [2]


def test_a_dead_row_does_not_take_the_id_from_a_good_one(tmp_path: Path) -> None:
    held = read(written(tmp_path, line(lat=""), line()))
    assert (held[ACCIDENTS].height, held[DEAD].height) == (1, 1)


def test_a_file_of_nothing_but_bad_rows_says_no_year(tmp_path: Path) -> None:
    held = read(written(tmp_path, line(lat=""), "nonsense"))
    assert [held[each].height for each in (ACCIDENTS, YEARS, DEAD)] == [0, 0, 2]


def test_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    plain = written(tmp_path, line(), line(id="2019520010002"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "points.csv").write_bytes(b"\xef\xbb\xbf" + plain.read_bytes().replace(b"\n", b"\r\n"))
    for one, two in zip(read(plain).values(), read(other).values(), strict=True):
        assert_frame_equal(one, two)


def test_files_of_a_folder_are_one_source_and_an_accident_in_two_counts_once(tmp_path: Path) -> None:
    written(tmp_path, line(), line(id="2020520010002"), name="a.csv")
    (tmp_path / "b.csv.gz").write_bytes(
        gzip.compress(f"{HEADER}\n{line()}\n{line(id='2019520010001', 発生日時='2018-12-31T23:59+09:00')}\n".encode())
    )
    held = read(tmp_path)
    assert held[ACCIDENTS]["accident_id"].to_list() == ["2019520010001", "2020520010001", "2020520010002"]
    assert held[DEAD].select("source", "place").rows() == [("b.csv.gz", 2)]


def test_reading_from_a_time_gives_the_same_rows_at_the_same_positions() -> None:
    whole, part = read(EXTRACT), read(EXTRACT, since=arrival(2020), until=arrival(2021))
    for name, frame in part.items():
        assert_frame_equal(frame, whole[name].filter(pl.col("arrived") == arrival(2020)))
    assert part[YEARS]["year"].to_list() == [2020]


def test_what_is_no_point_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        NpaError, match=r"^path of npa must be a \.csv or \.csv\.gz, or a folder of them \(got '.*'\): see data/npa/README\.md$"
    ):
        npa.open(tmp_path)
    (tmp_path / "a.csv").write_text("id,lat\n", encoding="utf-8")
    with pytest.raises(
        NpaError, match=r"^header of a\.csv must name 発生日時, lon, .* \(got 2 other columns\): is it a nationwide point file\?$"
    ):
        read(tmp_path / "a.csv")
    (tmp_path / "b.csv.gz").write_bytes(EXTRACT.read_bytes()[:-20])
    with pytest.raises(NpaError, match=r"^file b\.csv\.gz must be a whole \.csv\.gz \(got: .*\): fetch it again$"):
        read(tmp_path / "b.csv.gz")
    with pytest.raises(NpaError, match=r"^since must have a zone"):
        read(EXTRACT, since=datetime(2020, 1, 1))

"""Writes 本票 files as the police publish them, from the accidents of Fukui in ``data/honhyo/fukui-66-columns.csv.gz``.

No file as published is at hand, so these stand for it: CP932, CRLF, names with full-width blanks, the police's prefecture number and
three digits of municipality, date in five columns, position in degrees, minutes and seconds x 1000. Columns that these years do not have
are left out. ``vintage`` 2022 has names that changed since, and a column before all others.

    python tests/connectors/honhyo_fixture.py FOLDER
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

DATA = Path(__file__).parents[2] / "data" / "honhyo"
TIME = ("年", "月", "日", "時", "分")
RENAMED = {"車両形状（当事者A）": "車両形状等（当事者A）", "車両形状（当事者B）": "車両形状等（当事者B）"}

Row = Mapping[str, str]


def accidents(year: int) -> list[Row]:
    """The rows of the committed extract that were published for a year."""
    with gzip.open(DATA / "fukui-66-columns.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [each for each in csv.DictReader(file) if each["id"].startswith(str(year))]


def encoded(rows: Iterable[Row], vintage: Literal[2019, 2022] = 2019) -> bytes:
    """Rows of the extract as the bytes of a 本票 file."""
    lines = [cells(each) for each in rows]
    absent = {name for name in lines[0] if not any(each[name] for each in lines)}
    lines = [{name: cell for name, cell in each.items() if name not in absent} for each in lines]
    names = list(lines[0])
    if vintage == 2022:
        # What is new stands before what was there, so that a reader by place would be wrong everywhere.
        lines = [{"新しい列": "9"} | each for each in lines]
        names = [RENAMED.get(each, each) for each in lines[0]]
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(names)
    table.writerows(each.values() for each in lines)
    return text.getvalue().encode("cp932")


def cells(row: Row) -> dict[str, str]:
    """A row of the extract as the columns of a 本票 file, in their order."""
    known = {name: row[name] for name in row if name not in {"id", "lat", "lon", "発生日時", "資料区分", "市区町村コード"}}
    first = ("事故内容", "死者数", "負傷者数", "路線コード", "上下線", "地点コード")
    day, clock = row["発生日時"].removesuffix("+09:00").split("T")
    return {
        "資料区分": row["資料区分"],
        "都道府県コード": row["id"][4:6],
        "警察署等コード": row["id"][6:9],
        "本票番号": row["id"][9:],
        **{each: known.pop(each) for each in first},
        "市区町村コード": row["市区町村コード"][2:],
        **{f"発生日時　　{name}": part for name, part in zip(TIME, [*day.split("-"), *clock.split(":")], strict=True)},
        **known,
        "地点　緯度（北緯）": dms(float(row["lat"]), 9),
        "地点　経度（東経）": dms(float(row["lon"]), 10),
    }


def dms(degrees: float, digits: int) -> str:
    """Degrees, two digits of minutes and five of seconds x 1000, as one number.

    >>> dms(43.168786, 9)
    '431007630'
    """
    thousandths = round(degrees * 3_600_000)
    minutes, sec = divmod(thousandths, 60_000)
    return f"{minutes // 60}{minutes % 60:02d}{sec:05d}".zfill(digits)


if __name__ == "__main__":
    for published in (2019, 2020, 2021):
        (Path(sys.argv[1]) / f"honhyo_{published}.csv").write_bytes(encoded(accidents(published)))

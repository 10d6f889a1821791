"""What the police call a prefecture or a municipality."""

from __future__ import annotations

import polars as pl
import pytest

from connectors.police_codes import PREFECTURES, jis_municipality, jis_prefecture, municipality

NAMED = {
    "14": "01", "20": "02", "25": "07", "30": "13", "40": "08", "44": "12", "45": "14", "46": "15", "47": "19", "48": "20", "49": "22",
    "50": "16", "52": "18", "53": "21", "54": "23", "55": "24", "60": "25", "62": "27", "65": "30", "70": "31", "74": "35", "80": "36",
    "83": "39", "90": "40", "97": "47",
}  # fmt: skip
"""北見 青森 福島 東京 茨城 千葉 神奈川 新潟 山梨 長野 静岡 富山 福井 岐阜 愛知 三重 滋賀 大阪 和歌山 鳥取 山口 徳島 高知 福岡
沖縄, by hand."""


@pytest.mark.parametrize(("police", "jis"), NAMED.items())
def test_a_police_prefecture_is_one_of_the_47(police: str, jis: str) -> None:
    assert jis_prefecture(police) == jis


def test_every_prefecture_has_a_police_code_and_only_hokkaido_has_five() -> None:
    codes = list(PREFECTURES.values())
    assert {each: codes.count(each) for each in codes if codes.count(each) > 1} == {"01": 5}
    assert sorted(set(codes)) == [f"{number:02d}" for number in range(1, 48)]


CASES = [
    ("52", "201", "18201"),
    ("52", "52201", "18201"),
    ("10", "10222", "01222"),
    ("30", "101", "13101"),
    ("13", "13101", "01101"),
    ("18", "201", None),
    ("52", "30201", None),
    ("52", "20", None),
    ("52", "", None),
    ("52", "2A1", None),
    ("52", "２０１", None),
    ("", "201", None),
]


@pytest.mark.parametrize(("police", "code", "jis"), CASES)
def test_a_municipality_gets_the_five_digits_of_jis(police: str, code: str, jis: str | None) -> None:
    assert jis_municipality(police, code) == jis


def test_columns_are_told_the_same_as_single_codes() -> None:
    frame = pl.DataFrame(CASES, schema=["police", "code", "jis"], orient="row")
    assert frame.select(municipality(pl.col("police"), pl.col("code")))["police"].to_list() == frame["jis"].to_list()

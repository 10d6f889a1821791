"""What the police call a prefecture or a municipality, as the codes that everybody else uses.

The National Police Agency numbers prefectures by its own regions: 30 is 東京, 52 is 福井, and 北海道 is five, 10 to 14, one for each
of its police headquarters. Its municipality code is that number and the last three digits of JIS X 0402; in the 本票 file the three
digits stand alone. Source: 警察庁 交通事故統計情報のオープンデータ, 都道府県コード.

    >>> jis_prefecture("52"), jis_municipality("52", "201"), jis_municipality("10", "10222")
    ('18', '18201', '01222')
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

__all__ = ["PREFECTURES", "jis_municipality", "jis_prefecture", "municipality"]


def _numbered(first: int, jis: range) -> dict[str, str]:
    """Police codes in a row from ``first`` for prefectures that are a row in JIS X 0401 too."""
    return {f"{first + place:02d}": f"{code:02d}" for place, code in enumerate(jis)}


PREFECTURES: Mapping[str, str] = {
    **dict.fromkeys(("10", "11", "12", "13", "14"), "01"),  # 札幌 函館 旭川 釧路 北見
    **_numbered(20, range(2, 8)),  # 青森 岩手 宮城 秋田 山形 福島
    "30": "13",  # 東京
    **_numbered(40, range(8, 13)),  # 茨城 栃木 群馬 埼玉 千葉
    "45": "14",  # 神奈川
    "46": "15",  # 新潟
    **_numbered(47, range(19, 21)),  # 山梨 長野
    "49": "22",  # 静岡
    **_numbered(50, range(16, 19)),  # 富山 石川 福井
    "53": "21",  # 岐阜
    **_numbered(54, range(23, 25)),  # 愛知 三重
    **_numbered(60, range(25, 31)),  # 滋賀 京都 大阪 兵庫 奈良 和歌山
    **_numbered(70, range(31, 36)),  # 鳥取 島根 岡山 広島 山口
    **_numbered(80, range(36, 40)),  # 徳島 香川 愛媛 高知
    **_numbered(90, range(40, 48)),  # 福岡 佐賀 長崎 熊本 大分 宮崎 鹿児島 沖縄
}
"""Police prefecture code to JIS X 0401, both two digits."""


def jis_prefecture(police: str) -> str | None:
    """JIS X 0401 of a police prefecture code; None: there is no such code."""
    return PREFECTURES.get(police)


def jis_municipality(police: str, code: str) -> str | None:
    """JIS X 0402, five digits without check digit.

    Args:
        police: police prefecture code, two digits.
        code: the municipality's code, three digits, or five with the police prefecture code before them.

    Returns:
        None where the prefecture is unknown or the code is not written so.
    """
    prefecture = PREFECTURES.get(police)
    tail = code[-3:]
    written = code in (tail, police + tail) and len(tail) == 3 and tail.isascii() and tail.isdigit()
    return prefecture + tail if prefecture is not None and written else None


def municipality(police: pl.Expr, code: pl.Expr) -> pl.Expr:
    """The same as ``jis_municipality`` for columns of text; null where that is None."""
    prefecture = police.replace_strict(PREFECTURES, default=None, return_dtype=pl.String)
    tail = code.str.slice(-3)
    written = code.str.contains(r"^([0-9]{2})?[0-9]{3}$") & ((code == tail) | (code == police + tail))
    return pl.when(written).then(prefecture + tail)

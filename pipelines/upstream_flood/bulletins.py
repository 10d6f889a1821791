"""What the authorities say of a stretch of river, to be shown beside what we say.

The two are never mixed: an official level is not lowered by ours, and ours is no reason to doubt it. Only a release ends it (code 10):
not age, not silence, not a kind that we do not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

import polars as pl

__all__ = ["highest", "official", "sentence"]

JST = timezone(timedelta(hours=9))
OURS = {"L1": 1, "L2": 2, "L3": 3, "L4": 4}
"""Levels of notices as 警戒レベル."""


def official(bulletins: pl.DataFrame, at: datetime, status: Literal["actual", "exercise", "test"] = "actual") -> pl.DataFrame:
    """The bulletin that holds for each stretch at an instant, of all that had arrived and been published by then.

    Args:
        bulletins: records of ``river.flood-bulletin.v1`` in any order, each as often as it may be.
        at: the instant, aware.
        status: those of one drill are never seen beside real ones.

    Returns:
        The newest bulletin of each stretch that is not withdrawn, with all its columns, in order of ``area_code``. Where its
        ``standing`` is unknown, ``level`` is that of the newest one before it that is known: it may not have ended. A stretch of which
        nothing is known, or all is withdrawn, has no row, which is no all-clear.
    """
    known = bulletins.filter((pl.col("status") == status) & (pl.col("arrived") <= at) & (pl.col("reported_at") <= at))
    newest = known.sort("version").unique(["area_code", "reported_at"], keep="last", maintain_order=True)
    stated = newest.filter(pl.col("op") == "stated").sort("reported_at")
    is_known = pl.col("standing") != "unknown"
    held = stated.group_by("area_code").agg(pl.exclude("area_code", "level").last(), pl.col("level").filter(is_known).last().alias("level"))
    return held.select(bulletins.columns).sort("area_code")


def highest(ours: str | None, bulletin: Mapping[str, Any] | None) -> int | None:
    """The higher 警戒レベル of our notice (L1 to L4) and of the bulletin beside it; None: neither has one, which is no all-clear.

    Example:
        >>> highest("L2", {"level": 4}), highest("L3", {"level": None}), highest(None, None)
        (4, 3, None)
    """
    levels = [OURS[ours]] if ours else []
    if bulletin is not None and bulletin["level"] is not None:
        levels.append(bulletin["level"])
    return max(levels, default=None)


def sentence(bulletin: Mapping[str, Any] | None) -> tuple[str, str]:
    """What is officially said of a stretch, Japanese and English. None: no bulletin is known.

    Example:
        >>> at = datetime(2021, 8, 13, 15, 10, tzinfo=JST)
        >>> told = {"area": "六角川", "standing": "stands", "level": 3, "name": "氾濫警戒情報", "code": "30", "reported_at": at}
        >>> sentence(told)[0]
        '公式: 六角川 氾濫警戒情報（警戒レベル3相当、8月13日15:10発表）'
        >>> sentence(told | {"standing": "unknown", "name": None, "code": "60"})[0]
        '公式: 六角川 コード60は判断できません（解除ではありません。直前は警戒レベル3相当、8月13日15:10発表）'
        >>> sentence(None)[0]
        '公式: 情報は届いていません（安全を示すものではありません）'
    """
    if bulletin is None:
        return "公式: 情報は届いていません（安全を示すものではありません）", "Official: no bulletin is known (this is no all-clear)"
    at = bulletin["reported_at"].astimezone(JST)
    when_ja, when_en = f"{at.month}月{at.day}日{at:%H:%M}発表", f"{at:%Y-%m-%d %H:%M} JST"
    area, name, code, level = (bulletin[each] for each in ("area", "name", "code", "level"))
    match bulletin["standing"]:
        case "stands":
            return f"公式: {area} {name}（警戒レベル{level}相当、{when_ja}）", f"Official, {area}: level {level}, {name} ({when_en})"
        case "released":
            return f"公式: {area} {name}（{when_ja}）", f"Official, {area}: released, {name} ({when_en})"
    before_ja = "" if level is None else f"。直前は警戒レベル{level}相当"
    before_en = "" if level is None else f", level {level} before it"
    told = f"{name or ''}コード{code or '不明'}"
    return (
        f"公式: {area} {told}は判断できません（解除ではありません{before_ja}、{when_ja}）",
        f"Official, {area}: {name or ''} code {code or 'unknown'} is not understood (no release{before_en}; {when_en})",
    )

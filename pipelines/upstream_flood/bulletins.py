"""What the authorities say of a stretch of river, to be shown beside what we say.

The two are never mixed: an official level is not lowered by ours, and ours is no reason to doubt it. Only a release ends it (code 10):
not age, not silence, not a kind that we do not know.

Only what was sent as 通常 (``STATUS``) is ever shown: what was sent as 訓練 or 試験 is under another identity, comes out of another source
(``jma-drills``), into a drill alone, and is not read by the linkage there either. So no exercise ever stands beside a river that rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta, timezone
from typing import Any

from pipelines.linkage.grid import instant

__all__ = ["BULLETIN_FEED", "STATUS", "beside", "highest", "official", "sentence"]

JST = timezone(timedelta(hours=9))
BULLETIN_FEED = "river.flood-bulletin.v1"
STATUS = "actual"
"""Status of the bulletins that are shown."""
OURS = {"L1": 1, "L2": 2, "L3": 3, "L4": 4}
"""Levels of notices as 警戒レベル."""


def official(held: Mapping[str, Any] | None, understood: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is officially in force for one stretch, as the field ``official`` of ``river.flood-notice.v1``.

    Args:
        held: the bulletin that holds, a record of ``river.flood-bulletin.v1`` as a reference gives it (times in ms); None: none is known,
            or all are withdrawn.
        understood: the one that holds of those whose standing is known; likewise.

    Returns:
        The bulletin that holds. Where its standing is unknown, ``level`` is that of the one before it that was understood: it may not have
        ended. None: no bulletin is known, which is no all-clear.
    """
    if held is None:
        return None
    knows = held if held["standing"] != "unknown" else understood
    return {
        "area_code": held["area_code"],
        "area": held["area"],
        "standing": held["standing"],
        "level": None if knows is None else knows["level"],
        "code": held["code"],
        "name": held["name"],
        "reported_at": instant(held["reported_at"]),
    }


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
        >>> from datetime import datetime
        >>> at = datetime(2021, 8, 13, 15, 10, tzinfo=JST)
        >>> told = {"area": "六角川", "standing": "stands", "level": 3, "name": "氾濫警戒情報", "code": "30", "reported_at": at}
        >>> sentence(told)[0]
        '公式: 六角川 氾濫警戒情報（警戒レベル3相当、2021年8月13日15:10発表）'
        >>> sentence(told | {"standing": "unknown", "name": None, "code": "60"})[0]
        '公式: 六角川 コード60は判断できません（解除ではありません。直前は警戒レベル3相当、2021年8月13日15:10発表）'
        >>> sentence(None)[0]
        '公式: 情報は届いていません（安全を示すものではありません）'
    """
    if bulletin is None:
        return "公式: 情報は届いていません（安全を示すものではありません）", "Official: no bulletin is known (this is no all-clear)"
    at = bulletin["reported_at"].astimezone(JST)
    when_ja, when_en = f"{at.year}年{at.month}月{at.day}日{at:%H:%M}発表", f"{at:%Y-%m-%d %H:%M} JST"
    area, name, code, level = (bulletin[each] for each in ("area", "name", "code", "level"))
    match bulletin["standing"]:
        case "stands":
            return (
                f"公式: {area} {name or f'コード{code}'}（警戒レベル{level}相当、{when_ja}）",
                f"Official, {area}: level {level}, {name or f'code {code}'} ({when_en})",
            )
        case "released":
            return f"公式: {area} {name}（{when_ja}）", f"Official, {area}: released, {name} ({when_en})"
    before_ja = "" if level is None else f"。直前は警戒レベル{level}相当"
    before_en = "" if level is None else f", level {level} before it"
    told = f"{name or ''}コード{code or '不明'}"
    return (
        f"公式: {area} {told}は判断できません（解除ではありません{before_ja}、{when_ja}）",
        f"Official, {area}: {name or ''} code {code or 'unknown'} is not understood (no release{before_en}; {when_en})",
    )


def beside(ours: tuple[str, str], level: str | None, bulletin: Mapping[str, Any] | None) -> tuple[str, str]:
    """Our sentence with the official one behind it, Japanese and English; an official level that is higher than ours is read first.

    Args:
        ours: our sentence, which is not changed.
        level: the level of our notice (L1 to L4); None: it ended.
        bulletin: what ``official`` gives; None: nothing is said beside.

    Example:
        >>> from datetime import datetime
        >>> at = datetime(2021, 8, 13, 15, 10, tzinfo=JST)
        >>> told = {"area": "六角川", "standing": "stands", "level": 4, "name": "氾濫危険情報", "code": "40", "reported_at": at}
        >>> beside(("早期注意", "Early notice"), "L2", told)[1]
        '[Official level 4] Early notice. Official, 六角川: level 4, 氾濫危険情報 (2021-08-13 15:10 JST)'
    """
    if bulletin is None:
        return ours
    first_ja = first_en = ""
    top = highest(level, bulletin)
    if top is not None and top != highest(level, None):
        before_ja, before_en = ("直前は", "before") if bulletin["standing"] == "unknown" else ("", "")
        first_ja, first_en = f"【公式 {before_ja}警戒レベル{top}相当】", f"[Official level {top}{' ' + before_en if before_en else ''}] "
    ja, en = sentence(bulletin)
    return f"{first_ja}{ours[0]}。{ja}", f"{first_en}{ours[1]}. {en}"

"""The sentences of a flood notice, Japanese and English.

The law keeps 警報 and 予報 for others (気象業務法 17条, 23条): what is said here is 早期注意, an early notice to a municipality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

__all__ = ["LEVEL_NAMES", "OWN_STATES", "Told", "own_state", "sentence", "withdrawal"]

JST = timezone(timedelta(hours=9))

LEVEL_NAMES = {
    "L1": ("水防団待機水位", "flood-team standby level"),
    "L2": ("氾濫注意水位", "flood caution level"),
    "L3": ("避難判断水位", "evacuation decision level"),
    "L4": ("氾濫危険水位", "flood danger level"),
}

OWN_STATES = ("stale", "no_reading", "no_threshold", "not_observed")
"""What can be said of the gauge itself."""

_OWN = {
    "stale": ("水位が更新されていません。判断できません", "has sent no new level: it cannot be judged"),
    "no_reading": ("水位が届いていません。判断できません", "gives no level: it cannot be judged"),
    "no_threshold": ("基準水位がないため判断できません", "has no usable official level: it cannot be judged"),
    "not_observed": ("観測開始水位に達していないため水位は観測されていません", "is below its start level: nothing is observed"),
}
_ENDED = {
    "stale": ("水位が再び届いています", "sends levels again"),
    "no_reading": ("水位が再び届いています", "sends levels again"),
    "no_threshold": ("基準水位が設定されました", "has an official level now"),
    "not_observed": ("観測開始水位に達しました", "has reached its start level"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a sentence is made of. Levels in metres above the gauge's zero, times UTC."""

    gauge: Mapping[str, Any]
    level: str
    state: str
    threshold_m: float
    observed_m: float | None
    p_exceed: float | None
    eta: datetime | None
    unconfirmed: bool


def sentence(told: Told) -> tuple[str, str]:
    """The headline of a notice about an official level.

    Example:
        >>> gauge = {"name": "朝谷", "river": "足羽川", "municipality": "福井市"}
        >>> told = Told(
        ...     gauge=gauge,
        ...     level="L2",
        ...     state="raised",
        ...     threshold_m=2.5,
        ...     observed_m=2.1,
        ...     p_exceed=0.6,
        ...     eta=datetime(2024, 5, 28, 9, 40, tzinfo=timezone.utc),
        ...     unconfirmed=False,
        ... )
        >>> sentence(told)[0]
        '【早期注意】福井市 足羽川 朝谷: 3時間以内に氾濫注意水位(2.50m)を超える可能性 60%、18:40頃。現在2.10m'
    """
    ja, en = LEVEL_NAMES[told.level]
    place_ja = f"【早期注意】{told.gauge['municipality']} {told.gauge['river']} {told.gauge['name']}: "
    place_en = f"Early notice, {told.gauge['name']} ({told.gauge['river']}, {told.gauge['municipality']}): "
    now_ja = "水位不明" if told.observed_m is None else f"現在{told.observed_m:.2f}m"
    now_en = "level unknown" if told.observed_m is None else f"now {told.observed_m:.2f} m"
    level_ja, level_en = f"{ja}({told.threshold_m:.2f}m)", f"{en} ({told.threshold_m:.2f} m)"
    if told.state == "cleared":
        return f"{place_ja}{level_ja}の早期注意を終わります。{now_ja}", f"{place_en}the notice for the {level_en} ends; {now_en}"
    doubt_ja, doubt_en = ("（水位急変、未確認）", " (unconfirmed jump)") if told.unconfirmed else ("", "")
    if told.observed_m is not None and told.observed_m >= told.threshold_m:
        return f"{place_ja}{level_ja}を超えています。{now_ja}{doubt_ja}", f"{place_en}over the {level_en}; {now_en}{doubt_en}"
    if told.p_exceed is None:
        if told.observed_m is None:
            return f"{place_ja}{level_ja}の早期注意中。{now_ja}", f"{place_en}the notice for the {level_en} stands; {now_en}"
        return (
            f"{place_ja}{level_ja}の早期注意中（可能性は計算できません）。{now_ja}{doubt_ja}",
            f"{place_en}the notice for the {level_en} stands, its chance cannot be told; {now_en}{doubt_en}",
        )
    when_ja, when_en = (
        ("", "") if told.eta is None else (f"、{told.eta.astimezone(JST):%H:%M}頃", f", about {told.eta.astimezone(JST):%H:%M}")
    )
    percent = round(100 * told.p_exceed)
    return (
        f"{place_ja}3時間以内に{level_ja}を超える可能性 {percent}%{when_ja}。{now_ja}{doubt_ja}",
        f"{place_en}{percent} % within 3 h to pass the {level_en}{when_en}; {now_en}{doubt_en}",
    )


def own_state(gauge: Mapping[str, Any], state: str, subject: str) -> tuple[str, str]:
    """The headline of a statement about the gauge itself: ``subject`` names the state, which ``cleared`` ends."""
    ja, en = _ENDED[subject] if state == "cleared" else _OWN[state]
    return (
        f"{gauge['municipality']} {gauge['river']} {gauge['name']}: {ja}",
        f"{gauge['name']} ({gauge['river']}, {gauge['municipality']}) {en}",
    )


def withdrawal(level: str | None) -> tuple[str, str]:
    """What goes before the headline of a statement that does not hold.

    Example:
        >>> withdrawal("L2")
        ('【取消】次の早期注意を取り消します（安全を示すものではありません）: ', 'Withdrawn (this is no all-clear): ')
    """
    what = "早期注意" if level else "お知らせ"
    return f"【取消】次の{what}を取り消します（安全を示すものではありません）: ", "Withdrawn (this is no all-clear): "

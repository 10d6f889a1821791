"""What one telegram about floods says: 指定河川洪水予報 (VXKO50 to 89) and 水位周知河川に関する情報 (VXSU50 to 59).

The headline decides: its kind has a code, which was kept when the names changed in May 2026. Only code 10 is a release; 22 is not, it
lowers to level 2. A code or an InfoType that is not known, or a name that says something else than its code, is *unknown*, which is no
release either. The body may be empty; where a part of it cannot be read, the headline stands all the same.

Source of codes and names: 気象庁, 指定河川洪水予報 in 気象庁防災情報XMLフォーマット, and its samples.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.jma_xml import BODY, HEAD, REPORT, UNITS, Element, TelegramError, every, given, instant, needed, parse

__all__ = ["STATUSES", "Telegram", "read", "standing"]

STATUSES: Mapping[str, str] = {"通常": "actual", "訓練": "exercise", "試験": "test"}
_INFO_TYPES = {"発表": "issued", "訂正": "corrected", "取消": "cancelled"}
_RIVERS = {"指定河川洪水予報": ("forecast", "（予報区域）"), "水位周知河川に関する情報": ("notified", "（発表区間）")}
"""Kind of a telegram to what the rivers are, and how the stretches are called in its headline."""
_FILES = re.compile(r"VX(KO|SU)[0-9i]{2}")
"""What names of files are made with: the samples have ii for the number."""

_RELEASE = "10"
_LEVELS = {"20": 2, "21": 2, "22": 2, "30": 3, "31": 3, "40": 4, "41": 4, "51": 5, "53": 5}
_NAMED = re.compile(
    r"(レベル(?P<told>[２-５2-5]))?氾濫((?P<l2>注意情報|注意報)|(?P<l3>警戒情報|警報)|(?P<l4>危険情報|危険警報)|(?P<l5>発生情報|特別警報))(?P<released>解除)?"
)
"""Names of before and since 2026, and the levels that they say."""
_NOT_COMPUTED = "9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Telegram:
    """A telegram: what it says of each of its stretches, and what may not be trusted in it.

    Attributes:
        head: the fields of ``river.flood-bulletin.v1`` that its head tells, the same for each of its stretches.
        records: the same with all other fields but ``version``, a row for each stretch; none in a 取消.
        doubts: what of it could not be read, a sentence each.
    """

    head: Mapping[str, Any]
    records: tuple[Mapping[str, Any], ...]
    doubts: tuple[str, ...]


def read(data: bytes, name: str) -> Telegram | None:
    """A telegram about floods; None: it is about something else.

    Args:
        data: the file as it came.
        name: its name, which may tell that it should be about floods.

    Raises:
        TelegramError: it cannot be read.
    """
    root = parse(data)
    control, head = root.find(f"{REPORT}Control"), root.find(f"{HEAD}Head")
    if root.tag != f"{REPORT}Report" or control is None or head is None:
        raise TelegramError(f"telegram must be a Report with Control and Head (got {root.tag.rpartition('}')[2]!r})")
    told = given(control, f"{REPORT}Title") or "", given(head, f"{HEAD}InfoKind") or ""
    kind = next((each for each in _RIVERS if each in told), None)
    if kind is None:
        if _FILES.search(name) is None:
            return None
        raise TelegramError(f"Title of a telegram named VXKO or VXSU must be {' or '.join(_RIVERS)} (got {told[0]!r})")
    return _telegram(control, head, root.find(f"{BODY}Body"), kind)


def standing(code: str | None, name: str | None) -> tuple[str, int | None]:
    """Whether a kind stands, is a release or is unknown, and its 警戒レベル相当.

    Example:
        >>> standing("22", "氾濫注意情報（警戒情報解除）"), standing("10", "レベル２氾濫注意報解除")
        (('stands', 2), ('released', None))
        >>> standing("40", "レベル３氾濫警報"), standing("60", "氾濫危険情報")
        (('unknown', None), ('unknown', None))
    """
    named = _NAMED.match(name or "")
    if code == _RELEASE:
        return ("released", None) if named and named["released"] else ("unknown", None)
    level = _LEVELS.get(code or "")
    if level is None or (named and (named["released"] or not _says(named, level))):
        return "unknown", None
    return "stands", level


def _says(named: re.Match[str], level: int) -> bool:
    """Whether a name says this level, in words and in the number before them."""
    return named[f"l{level}"] is not None and (named["told"] is None or int(named["told"]) == level)


# --- head


def _telegram(control: Element, head: Element, body: Element | None, kind: str) -> Telegram:
    rivers_are, suffix = _RIVERS[kind]
    doubts: list[str] = []
    info_type = needed(head, f"{HEAD}InfoType")
    told: dict[str, Any] = {
        "status": _status(needed(control, f"{REPORT}Status")),
        "op": "stated",
        "info_type": _INFO_TYPES.get(info_type, "other"),
        "rivers_are": rivers_are,
        "event_id": needed(head, f"{HEAD}EventID"),
        "serial": given(head, f"{HEAD}Serial"),
        "title": given(head, f"{HEAD}Title") or "",
        "headline": given(head, f"{HEAD}Headline/{HEAD}Text") or "",
        "offices": (given(control, f"{REPORT}PublishingOffice") or "").split(),
        "sent_at": instant("DateTime", needed(control, f"{REPORT}DateTime")),
        "reported_at": instant("ReportDateTime", needed(head, f"{HEAD}ReportDateTime")),
        "target_at": _target(head, doubts),
        "rivers": _areas(head, f"{kind}（河川）"),
        "prefectures": _areas(head, f"{kind}（府県予報区等）"),
    }
    if told["info_type"] == "cancelled":
        return Telegram(head=told, records=(), doubts=tuple(doubts))
    if told["info_type"] == "other":
        doubts.append(f"InfoType must be one of {', '.join(_INFO_TYPES)} (got {info_type!r})")
        told |= {"standing": "unknown", "level": None}
    stretches, more = _stretches(head, f"{kind}{suffix}", doubts), _read_body(body, doubts)
    return Telegram(head=told, records=tuple({**each, **more, **told} for each in stretches), doubts=tuple(doubts))


def _target(head: Element, doubts: list[str]) -> datetime | None:
    text = given(head, f"{HEAD}TargetDateTime")
    try:
        return None if text is None else instant("TargetDateTime", text)
    except TelegramError as fault:
        doubts.append(str(fault))
        return None


def _status(text: str) -> str:
    if text not in STATUSES:
        raise TelegramError(f"Status must be one of {', '.join(STATUSES)} (got {text!r})")
    return STATUSES[text]


def _items(head: Element, kind: str) -> Iterator[Element]:
    for information in every(head, f"{HEAD}Headline/{HEAD}Information"):
        if information.get("type") == kind:
            yield from every(information, f"{HEAD}Item")


def _areas(head: Element, kind: str) -> list[dict[str, str | None]]:
    """Rivers or prefectures of a headline."""
    found = (each for item in _items(head, kind) for each in every(item, f"{HEAD}Areas/{HEAD}Area"))
    return [{"code": given(each, f"{HEAD}Code"), "name": given(each, f"{HEAD}Name") or ""} for each in found]


def _stretches(head: Element, kind: str, doubts: list[str]) -> list[dict[str, Any]]:
    """Every stretch of a headline with its kind; of two kinds for one stretch none is believed."""
    found: dict[str, dict[str, Any]] = {}
    for item in _items(head, kind):
        for area in every(item, f"{HEAD}Areas/{HEAD}Area"):
            for each in every(item, f"{HEAD}Kind"):
                told = _stretch(area, each)
                held = found.setdefault(told["area_code"], told)
                if (held["code"], held["name"]) != (told["code"], told["name"]):
                    found[told["area_code"]] = held | {"standing": "unknown", "level": None, "code": f"{held['code']}, {told['code']}"}
    if not found:
        raise TelegramError(f"headline must tell a kind for a stretch in {kind} (got none)")
    unknown = (each for each in found.values() if each["standing"] == "unknown")
    doubts += [
        f"Kind of {each['area']} must have one known code that its name agrees with (got {each['code']!r}, {each['name']!r})"
        for each in unknown
    ]
    return list(found.values())


def _stretch(area: Element, kind: Element) -> dict[str, Any]:
    code, name = given(kind, f"{HEAD}Code"), given(kind, f"{HEAD}Name")
    stands, level = standing(code, name)
    return {
        "area_code": needed(area, f"{HEAD}Code"),
        "area": given(area, f"{HEAD}Name") or "",
        "standing": stands,
        "level": level,
        "code": code,
        "name": name,
        "condition": given(kind, f"{HEAD}Condition"),
    }


# --- body


def _read_body(body: Element | None, doubts: list[str]) -> dict[str, Any]:
    """What the body tells. A part that cannot be read is left out, with a doubt."""
    told: dict[str, Any] = {"text": _text(body), "municipalities": _municipalities(body), "stations": []}
    try:
        told["stations"] = [each for series in _series(body) for each in _station_levels(series)]
    except TelegramError as fault:
        doubts.append(f"水位・流量情報 is left out: {fault}")
    return told


def _text(body: Element | None) -> str | None:
    """主文 or 概況, a paragraph for each."""
    properties = every(body, f"{BODY}Warning/{BODY}Item/{BODY}Kind/{BODY}Property")
    texts = (given(each, f"{BODY}Text") for each in properties if given(each, f"{BODY}Type") in ("主文", "概況"))
    return "\n".join(each for each in texts if each) or None


def _municipalities(body: Element | None) -> list[dict[str, str | None]]:
    """浸水想定地区, each once. An area is a station's, with districts by name, or a 市町村等, which may be a part of a municipality."""
    found = []
    for item in every(body, f"{BODY}Warning/{BODY}Item"):
        if not (given(item, f"{BODY}Kind/{BODY}Property/{BODY}Type") or "").startswith("浸水想定地区"):
            continue
        for area in every(item, f"{BODY}Areas/{BODY}Area"):
            code, districts = given(area, f"{BODY}CityCode"), given(area, f"{BODY}SubCityList")
            part = given(area, f"{BODY}Code")
            is_part = code is not None and part is not None and part != code and part[:5] == code[:5]
            told = {
                "code": part if is_part else code,
                "name": given(area, f"{BODY}City") or given(area, f"{BODY}Name") or "",
                "districts": given(area, f"{BODY}Name") if is_part else None if districts == "-" else districts,
            }
            if told not in found:
                found.append(told)
    return found


def _series(body: Element | None) -> Iterator[Element]:
    for each in every(body, f"{BODY}MeteorologicalInfos"):
        if each.get("type") == "水位・流量情報":
            yield from every(each, f"{BODY}TimeSeriesInfo")


def _station_levels(series: Element) -> Iterator[dict[str, Any]]:
    """Levels of the stations of a series, station by station in order of time."""
    times = {
        each.get("timeId"): (instant("DateTime of TimeDefine", needed(each, f"{BODY}DateTime")), given(each, f"{BODY}Name"))
        for each in every(series, f"{BODY}TimeDefines/{BODY}TimeDefine")
    }
    for item in every(series, f"{BODY}Item"):
        station = item.find(f"{BODY}Station")
        if station is None:
            raise TelegramError("Item must have a Station (got none)")
        rows: dict[str | None, dict[str, Any]] = {}
        for part, field in ((f"{BODY}WaterLevelPart", "level_m"), (f"{BODY}DischargePart", "discharge_m3ps")):
            for value in every(item, f"{BODY}Kind/{BODY}Property/{part}/*"):
                time = value.get("refID")
                if time not in times:
                    raise TelegramError(f"refID must be a timeId of its series (got {time!r})")
                _put(rows.setdefault(time, _no_level(station, *times[time])), field, value)
        yield from sorted(rows.values(), key=lambda each: each["at"])


def _no_level(station: Element, at: datetime, called: str | None) -> dict[str, Any]:
    return {
        "station_id": needed(station, f"{BODY}Code"),
        "station": given(station, f"{BODY}Name") or "",
        "at": at,
        "is": "observed" if called == "現況" else "forecast",
        "level_m": None,
        "discharge_m3ps": None,
        "level": None,
        "condition": None,
    }


def _put(row: dict[str, Any], field: str, value: Element) -> None:
    """Writes a quantity or a 危険度レベル into the row of its station and time."""
    text = given(value, ".")
    if value.tag in (f"{UNITS}WaterLevel", f"{UNITS}Discharge") and value.get("type") == "レベル":
        row["level"] = None if text in (None, _NOT_COMPUTED) else _level(str(text))
        return
    unit = {"level_m": "m", "discharge_m3ps": "立方メートル毎秒"}[field]
    if value.get("unit") != unit:
        raise TelegramError(f"unit of {value.get('type')} must be {unit} (got {value.get('unit')!r})")
    row[field], row["condition"] = None if text is None else _number(text), value.get("condition")


def _level(text: str) -> int:
    if text not in tuple("012345"):
        raise TelegramError(f"レベル must be 0 to 5, or 9 (got {text!r})")
    return int(text)


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TelegramError(f"水位 or 流量 must be a number (got {text!r})")
    return number

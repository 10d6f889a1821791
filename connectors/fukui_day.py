"""One daily file of the Fukui gauges: its lines, the years they belong to, and when they arrived.

The publisher's page shows month, day and time. The recorder adds the year of its own clock, which is in UTC,
and appends what is new to the file named after the first row of the page. Three faults follow from this. They
are mended here by rule, for any year:

* *the first nine hours of a year*: until 09:00 JST of 01-01 the clock says the old year, so these rows stand in
  last year's ``Y-01-01`` file, alone or behind the rows of that day itself;
* *the midnight before*: while the page begins with 12-31 24:00 they stand behind the rows of ``Y-12-31``;
* *a gauge that is silent for months* is shown with its last month and day, which the year of the clock may put
  months ahead: such a row belongs to the year before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

import polars as pl

__all__ = ["BEFORE_DAYS", "DAY_MIN", "DayFile", "minutes", "parse"]

DAY_MIN = 24 * 60
BEFORE_DAYS = 2
"""A scrape that is older than this many days before the day of its file arrives when that day begins."""

_AHEAD_MIN = 7 * DAY_MIN
_CLOCK_TURNS_MIN = 9 * 60
_JUMP_MIN = 2 * 60
_AROUND_ROWS = 51
_NEVER = 1 << 31
_LEVEL_LIMIT_M = 10_000
_YEARS = range(2000, 2101)
_HEADER = "日時,河川水位,id"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_LEVEL = r"-?[0-9]+(?:\.[0-9]+)?|\*|[ \t]*"
_GOOD = rf"^(?P<day>{_DAY})T(?P<hour>[0-9]{{2}}):(?P<past>[0-9]{{2}}),(?P<level>{_LEVEL}),(?P<gauge_id>[0-9]{{1,9}})$"


@dataclass(frozen=True, slots=True, kw_only=True)
class DayFile:
    """What one file holds. Minutes count from 1970 in JST; both frames are in the order of the file.

    Attributes:
        rows: ``line`` (1 is the first), ``gauge_id``, ``observed_min``, ``level_m``, ``arrived_min``.
        dead: ``line``, ``reason``, ``raw`` (the bytes of the line without its end), ``arrived_min``.
    """

    rows: pl.DataFrame
    dead: pl.DataFrame


def parse(data: bytes, day: date) -> DayFile:
    """What the gauges said in a daily file, in their true years, and when each scrape arrived.

    Args:
        data: the bytes of the file, UTF-8, with or without byte order mark, lines ended by LF or CRLF.
        day: the day in the name of the file (JST).

    Returns:
        Good rows and dead lines. Both are empty when there is nothing but headers and empty lines.

    Example:
        >>> parse("日時,河川水位,id\\n2024-05-28T24:00,-0.12,12\\n".encode(), date(2024, 5, 28)).rows["level_m"].to_list()
        [-0.12]
    """
    raw = data.split(b"\n")
    texts = _texts(data, raw)
    lines = _fields(texts)
    stamped = lines.filter("good").select("line", "gauge_id", "day", "minute", "level_m")
    dated = _without_last_years(_with_new_year(stamped, day), day)
    ahead = dated.filter("ahead")["line"].to_list()
    rows = _with_arrival(dated.filter(~pl.col("ahead")), day)
    reasons = {line: _reason(texts[line - 1], raw[line - 1]) for line in lines.filter(~pl.col("good"))["line"]}
    reasons |= {line: f"日時 must not lie after its scrape (got {_shown(texts[line - 1])})" for line in ahead}
    return DayFile(rows=rows, dead=_dead(reasons, raw, rows, day))


def minutes(day: date) -> int:
    """Minutes from 1970 to the beginning of a day, without any offset from UTC."""
    return (day - date(1970, 1, 1)).days * DAY_MIN


# --- lines


def _texts(data: bytes, raw: list[bytes]) -> list[str | None]:
    """Each line without its end and its byte order mark; None where the bytes are not UTF-8."""
    try:
        return list(_bare(data.decode()).split("\n"))
    except UnicodeDecodeError:  # rare, and only then need each line be tried by itself
        return [_decoded(each) for each in raw]


def _bare(text: str) -> str:
    """Text without byte order marks (an unsolved conflict puts one in the middle) and carriage returns at line ends."""
    return f"\n{text}".replace("\n\ufeff", "\n")[1:].replace("\r\n", "\n").removesuffix("\r")


def _decoded(raw: bytes) -> str | None:
    try:
        return _bare(raw.decode())
    except UnicodeDecodeError:
        return None


def _fields(texts: list[str | None]) -> pl.DataFrame:
    """The fields of each line that says something, and whether all of them are ``good``."""
    lines = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)}).with_row_index("line", offset=1)
    said = lines.filter(pl.col("text").is_null() | ~pl.col("text").str.strip_chars().is_in(["", _HEADER]))
    fields = said.with_columns(pl.col("text").str.extract_groups(_GOOD).alias("fields")).unnest("fields")
    typed = fields.with_columns(
        pl.col("day").str.to_date("%Y-%m-%d", strict=False),
        pl.col("hour", "past").cast(pl.Int64),
        pl.col("level").cast(pl.Float64, strict=False).alias("level_m"),  # null for "*" and blank
    )
    good = (
        pl.col("day").dt.year().is_between(_YEARS[0], _YEARS[-1])
        & (pl.col("past") < 60)
        & ((pl.col("hour") < 24) | ((pl.col("hour") == 24) & (pl.col("past") == 0)))
        & (pl.col("level_m").is_null() | (pl.col("level_m").abs() <= _LEVEL_LIMIT_M))
    )
    minute = pl.col("hour") * 60 + pl.col("past")
    return typed.with_columns(good.fill_null(value=False).alias("good"), minute.alias("minute"))


# --- years


def _with_new_year(stamped: pl.DataFrame, day: date) -> pl.DataFrame:
    """Rows with ``observed_min``, true where the clock still said the old year; such rows are ``turned``."""
    rows = stamped.with_columns(_stamp().alias("observed_min"), _scrape())
    first = pl.col("day") == date(day.year, 1, 1)
    turned = pl.lit(value=False)
    if (day.month, day.day) == (1, 1):
        turned = pl.col("line") >= _turn_line(rows.filter(first), day)
    if (day.month, day.day) == (12, 31):
        midnight = pl.col("observed_min").max().over("scrape") >= minutes(day) + DAY_MIN - 60
        turned = first & midnight & (pl.col("minute") < _CLOCK_TURNS_MIN)
    year_min = minutes(date(day.year + 1, 1, 1)) - minutes(date(day.year, 1, 1))
    return rows.with_columns(turned.alias("turned"), pl.col("observed_min") + pl.when(turned & first).then(year_min).otherwise(0))


def _turn_line(first: pl.DataFrame, day: date) -> int:
    """The line of a ``Y-01-01`` file from which its rows of 01-01 belong to the year after.

    Either the clock of the whole file turned at 09:00 (nothing is later), or the gauges of a scrape jump back.
    A scrape jumps when most of its gauges do: one gauge that repeats an old reading does not turn a year.
    """
    newest = first.select(pl.col("observed_min").max()).item()
    if newest is None:
        return _NEVER
    if newest < minutes(day) + _CLOCK_TURNS_MIN:
        return 0
    back = (pl.col("observed_min").diff().over("gauge_id") < -_JUMP_MIN).alias("back")
    scrapes = first.with_columns(back).group_by("scrape").agg(pl.col("back").mean(), pl.col("line").min())
    turned = scrapes.filter(pl.col("back") >= 0.5).select(pl.col("line").min()).item()
    return _NEVER if turned is None else int(turned)


def _without_last_years(rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Rows months ahead of those around them set back by a year; ``ahead`` where that is not enough."""
    limit_min = minutes(day) + _AHEAD_MIN
    suspect = (pl.col("observed_min") > limit_min) & ~pl.col("turned")
    if rows.filter(suspect).is_empty():
        return rows.with_columns(pl.lit(value=False).alias("ahead"))
    around = pl.col("observed_min").rolling_median(_AROUND_ROWS, min_samples=1, center=True)
    early = suspect & (pl.col("observed_min") > around + _AHEAD_MIN)
    rows = rows.with_columns(early.alias("early"), around.alias("around"))
    rows = rows.with_columns(
        pl.when("early").then(_stamp(pl.col("day").dt.offset_by("-1y"))).otherwise("observed_min").alias("observed_min")
    )
    beyond = (pl.col("early") & (pl.col("observed_min") > pl.col("around") + _AHEAD_MIN)) | (
        pl.col("observed_min") > limit_min + 366 * DAY_MIN
    )
    return rows.with_columns(beyond.alias("ahead"))


def _stamp(day: pl.Expr | None = None) -> pl.Expr:
    """Minutes from 1970 (JST) of a day and the minute of that day."""
    stamped = pl.col("day") if day is None else day
    return stamped.cast(pl.Int32).cast(pl.Int64) * DAY_MIN + pl.col("minute")


# --- arrival


def _scrape() -> pl.Expr:
    """Number of the scrape: a new one begins where the order of the gauges begins again."""
    gauge = pl.col("gauge_id").cast(pl.Int64)
    return (gauge <= gauge.shift(1)).fill_null(value=True).cum_sum().alias("scrape")


def _with_arrival(dated: pl.DataFrame, day: date) -> pl.DataFrame:
    """Rows of a scrape arrive at its newest time, but not days before the file was begun."""
    newest = pl.col("observed_min").max().over("scrape")
    begin = minutes(day)
    arrived = pl.when(newest < begin - BEFORE_DAYS * DAY_MIN).then(begin).otherwise(newest)
    return dated.with_columns(_scrape()).select("line", "gauge_id", "observed_min", "level_m", arrived.alias("arrived_min"))


def _dead(reasons: dict[int, str], raw: list[bytes], rows: pl.DataFrame, day: date) -> pl.DataFrame:
    """Dead lines arrive with the row before them, else with the first row after, else when the day begins."""
    lines = sorted(reasons)
    dead = pl.DataFrame(
        {"line": lines, "reason": [reasons[each] for each in lines], "raw": [raw[each - 1].removesuffix(b"\r") for each in lines]},
        schema={"line": pl.UInt32, "reason": pl.String, "raw": pl.Binary},
    )
    arrivals = rows.select("line", "arrived_min")
    first = pl.lit(arrivals["arrived_min"].first() if arrivals.height else minutes(day), dtype=pl.Int64)
    return dead.join_asof(arrivals, on="line").with_columns(pl.col("arrived_min").fill_null(first))


# --- reasons


def _reason(text: str | None, raw: bytes) -> str:
    """The first rule that a line breaks."""
    if text is None:
        return f"line must be UTF-8 (got {_shown(raw)})"
    if text.startswith(("<<<<<<<", "=======", ">>>>>>>")):
        return f"line must not be a mark of an unsolved conflict (got {_shown(text)})"
    fields = text.split(",")
    if len(fields) != 3:
        return f"line must have the three fields {_HEADER} (got {_shown(text)})"
    stamp, level, gauge_id = fields
    return _time_fault(stamp) or _level_fault(level) or f"id must be a number of at most 9 digits (got {_shown(gauge_id)})"


def _time_fault(stamp: str) -> str | None:
    if not re.fullmatch(rf"{_DAY}T[0-9]{{2}}:[0-9]{{2}}", stamp):
        return f"日時 must be written YYYY-MM-DDThh:mm (got {_shown(stamp)})"
    if int(stamp[:4]) not in _YEARS:
        return f"year of 日時 must lie in {_YEARS[0]} to {_YEARS[-1]} (got {_shown(stamp)})"
    try:
        date.fromisoformat(stamp[:10])
    except ValueError:
        return f"日時 must be a day of the calendar (got {_shown(stamp)})"
    if stamp[11:] > "24:00" or stamp[14:] > "59":
        return f"日時 must lie in 00:00 to 24:00 (got {_shown(stamp)})"
    return None


def _level_fault(level: str) -> str | None:
    if not re.fullmatch(_LEVEL, level):
        return f"河川水位 must be a number, * or blank (got {_shown(level)})"
    if level.strip(" \t*") and abs(float(level)) > _LEVEL_LIMIT_M:
        return f"河川水位 must lie within {_LEVEL_LIMIT_M} m of zero (got {_shown(level)})"
    return None


def _shown(value: str | bytes) -> str:
    """A value as an error text shows it: enough to be found again."""
    return repr(value if len(value) <= 60 else value[:60])

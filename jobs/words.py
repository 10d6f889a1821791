"""How commands put times and counts into words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

__all__ = ["JST", "counted", "jst"]

JST = timezone(timedelta(hours=9))


def jst(time: datetime) -> str:
    """A time as people in Japan read it, to the minute.

    Example:
        >>> jst(datetime.fromisoformat("2024-05-28T07:10Z"))
        '2024-05-28 16:10 JST'
    """
    return time.astimezone(JST).strftime("%Y-%m-%d %H:%M JST")


def counted(number: int, noun: str) -> str:
    """So many of something.

    Example:
        >>> counted(1, "letter"), counted(2, "letter")
        ('1 letter', '2 letters')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

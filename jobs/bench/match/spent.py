"""Where the time of our match goes: methods of the engine are wrapped while they are watched, and each is charged with its own time.

Time that a watched method spends in another one is charged to the other.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, TypeAlias, TypeVar

from pipelines.linkage import side
from pipelines.linkage.engine import Engine
from pipelines.linkage.match import MatchFold
from pipelines.linkage.side import Side

__all__ = ["STAGES", "Spent", "Watched"]

Watched: TypeAlias = tuple[object, str, str]
"""Owner and name of a method, and the stage that its time is charged to."""

_WATCHED: tuple[Watched, ...] = (
    (Engine, "step", "else"),
    (Engine, "_judged", "judge"),
    (Side, "_told", "ids"),
    (Side, "_find", "find"),
    (Side, "_append", "append"),
    (side, "cells", "cells"),
    (Side, "_index", "index"),
    (Side, "partners", "probe"),
    (Side, "_within", "distance"),
    (MatchFold, "speak", "facts"),
    (Engine, "_speak", "facts"),
    (Side, "forget", "forget"),
)

STAGES = {
    "files": "read and write files",
    "frames": "make frames",
    "judge": "judge at the edge",
    "ids": "admit: identity, version",
    "find": "admit: look for earlier versions",
    "cells": "admit: cells",
    "append": "admit: keep",
    "index": "admit: index",
    "probe": "probe: cells around, candidates, time",
    "distance": "distance",
    "facts": "facts",
    "forget": "forget",
    "else": "all else",
}
"""Each stage in the order of a record's way."""

Item = TypeVar("Item")


class Spent:
    """Adds up processor time by stage, of the innermost stage only.

    Example:
        >>> ticks = iter([0.0, 1.0, 4.0, 5.0])
        >>> spent = Spent(lambda: next(ticks))
        >>> with spent.stage("probe"), spent.stage("distance"):
        ...     pass
        >>> dict(spent.seconds)
        {'probe': 2.0, 'distance': 3.0}
    """

    def __init__(self, cpu_s: Callable[[], float] = time.process_time) -> None:
        self._cpu_s = cpu_s
        self._open: list[str] = []
        self._last_s = 0.0
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Charges what happens within to a stage."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def over(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The same items, their making charged to a stage."""
        running, none = iter(items), object()
        while True:
            with self.stage(name):
                item: Any = next(running, none)
            if item is none:
                return
            yield item

    @contextmanager
    def watching(self, methods: Iterable[Watched] = _WATCHED) -> Iterator[Spent]:
        """Charges every call of the watched methods to its stage."""
        with ExitStack() as stack:
            for owner, name, stage in methods:
                was = getattr(owner, name)
                stack.callback(setattr, owner, name, was)
                setattr(owner, name, self._wrapped(was, stage))
            yield self

    def _wrapped(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def wrapped(*given: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*given, **named)

        return wrapped

    def _charge(self) -> None:
        now_s = self._cpu_s()
        if self._open:
            self.seconds[self._open[-1]] += now_s - self._last_s
        self._last_s = now_s

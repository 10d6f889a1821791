"""The command ``tsunagu``.

Exit codes: 0 done; 1 the data say no (``why``: the rule does not say it again); 2 the call is not understood; 3 something
given cannot be used (a file, a source, a period); 130 interrupted.
"""

from __future__ import annotations

import argparse
import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from connectors import SOURCES, SourceError
from connectors.archive import ArchiveError
from connectors.fukui import FukuiError
from connectors.gauges import GaugesError
from connectors.jsonl import JsonLinesError
from connectors.model import ModelError
from jobs import bench, demo, fit, gauges, record, replay, why
from jobs.linkages import GAUGES, LINKAGES, MODEL
from jobs.progress import JST
from jobs.sink import SinkError
from pipelines.linkage import LinkageError
from pipelines.upstream_flood.fit import FitError
from schemas import FeedError

__all__ = ["main"]

Settings = TypeVar("Settings")
FIRST_YEAR, LAST_YEAR = 1900, 2200
"""Times beyond are typing errors."""

UNUSABLE = (
    SourceError, ArchiveError, FukuiError, GaugesError, JsonLinesError, ModelError, FeedError, FitError,
    LinkageError, SinkError, why.WhyError, OSError,
)  # fmt: skip
"""What is a fault of what was given, not of the program."""

SOURCE = f"KIND:PATH, KIND one of {', '.join(SOURCES)}; may be given more than once, arrivals are merged"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code: int = given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UNUSABLE as fault:
        print(f"tsunagu: {fault}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("tsunagu: interrupted; no file is half written, an archive keeps the parts that were finished", file=sys.stderr)
        return 130
    return code


def _interrupt(*_: object) -> None:
    """Ends as a person's interrupt does, so that files half written are taken away."""
    raise KeyboardInterrupt


def _about(module: ModuleType) -> str:
    """The first sentences of a command's module, for people who read help."""
    return (module.__doc__ or "").replace("``", "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tsunagu",
        description="Links event streams of different domains and municipalities. Here: early notices along rivers, over recorded data.",
        epilog="Times are Japanese (JST) unless they carry an offset, for example 2024-05-28T03:00 or 2024-05-27T18:00Z.",
    )
    parser.add_argument("--version", action="version", version=f"tsunagu {version('tsunagu')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_replay(commands)
    _add_fit(commands)
    _add_why(commands)
    _add_gauges(commands)
    _add_record(commands)
    _add_demo(commands)
    _add_bench(commands)
    return parser


Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_replay(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("replay", help="run a linkage over recorded arrivals", description=_about(replay))  # type: ignore[attr-defined]
    parser.add_argument("linkage", choices=sorted(LINKAGES), help="which linkage")
    _take_sources(parser)
    _take_references(parser)
    _take_period(parser, "arrival times; what arrived before T1 only warms the past up")
    parser.add_argument(
        "--to", required=True, metavar="FILE.jsonl|archive:DIR", help="where to say it; FILE.late.jsonl and FILE.dead.jsonl go beside it"
    )
    parser.set_defaults(run=lambda given: replay.run(_settings(replay.Replay, given)))


def _add_fit(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("fit", help="learn the numbers of a rule from recorded arrivals", description=_about(fit))  # type: ignore[attr-defined]
    parser.add_argument("linkage", choices=["upstream_flood"], help="which linkage")
    _take_sources(parser)
    parser.add_argument("--gauges", type=Path, default=GAUGES, metavar="FILE", help="gauge records (CSV); default: those in data/")
    _take_period(parser, "arrival times")
    parser.add_argument(
        "--without", nargs=2, type=_time, metavar=("T1", "T2"), help="leave out what arrived in this period, a flood to be judged on"
    )
    parser.add_argument("--to", required=True, type=Path, metavar="MODEL", help="file to write the model to (Avro)")
    parser.set_defaults(run=lambda given: fit.run(_settings(fit.Fit, given)))


def _add_why(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("why", help="show what a notice rests on, and derive it again", description=_about(why))  # type: ignore[attr-defined]
    parser.add_argument("fact_id", metavar="FACT_ID", help="id of the notice, for example fukui/12/L1/20240528T0710Z")
    parser.add_argument("--in", dest="facts", required=True, metavar="FACTS", help="what was said: FILE.jsonl or archive:DIR")
    parser.add_argument("--revision", type=int, metavar="N", help="which revision; default: the newest")
    _take_sources(parser)
    _take_references(parser)
    parser.set_defaults(run=lambda given: why.run(_settings(why.Why, given)))


def _add_gauges(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("gauges", help="make gauge records from a publisher's tables", description=_about(gauges))  # type: ignore[attr-defined]
    parser.add_argument(
        "--from", dest="source", required=True, metavar="fukui:DIR", help="folder with sensors.csv, suii_ichi.csv, network.csv, known.csv"
    )
    parser.add_argument("--to", required=True, type=Path, metavar="FILE.csv", help="file to write the records to; people may edit it")
    parser.set_defaults(run=lambda given: gauges.run(given.source, given.to))


def _add_record(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("record", help="copy recorded arrivals into an archive", description=_about(record))  # type: ignore[attr-defined]
    _take_sources(parser)
    _take_period(parser, "arrival times")
    parser.add_argument("--to", required=True, type=_archive_folder, metavar="archive:DIR", help="the archive; what it holds already stays")
    parser.set_defaults(run=lambda given: record.run(_settings(record.Record, given)))


def _add_demo(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("demo", help="tell a recorded flood in the terminal and as a page", description=_about(demo))  # type: ignore[attr-defined]
    parser.add_argument("--to", type=Path, default=Path("build/demo"), metavar="DIR", help="folder for the page; default: build/demo")
    parser.set_defaults(run=lambda given: demo.run(given.to))


def _add_bench(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("bench", help="measure a replay on this machine", description=_about(bench))  # type: ignore[attr-defined]
    parser.set_defaults(run=lambda given: bench.run())


def _take_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="sources", action="append", required=True, metavar="SOURCE", help=SOURCE)


def _take_references(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gauges", type=Path, default=GAUGES, metavar="FILE", help="gauge records (CSV); default: those in data/")
    parser.add_argument("--model", type=Path, default=MODEL, metavar="FILE", help="fitted model (Avro); default: the one in data/")


def _take_period(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--between", nargs=2, type=_time, metavar=("T1", "T2"), help=f"{what}, T2 not included")


def _settings(kind: Callable[..., Settings], given: argparse.Namespace) -> Settings:
    """The settings of a command, from options of the same names."""
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(given).items()}
    options |= _period(given)
    if options.get("without"):
        options["without"] = _ordered("without", options["without"])
    return kind(**{each: options[each] for each in inspect.signature(kind).parameters if each in options})


def _ordered(name: str, period: Sequence[datetime]) -> tuple[datetime, datetime]:
    since, until = period
    if since >= until:
        raise SourceError(f"--{name} must begin before it ends (got {since.isoformat()} and {until.isoformat()}): swap them")
    return since, until


def _period(given: argparse.Namespace) -> dict[str, datetime | None]:
    if getattr(given, "between", None) is None:
        return {"since": None, "until": None}
    since, until = _ordered("between", given.between)
    return {"since": since, "until": until}


def _time(text: str) -> datetime:
    """An ISO time; JST where it has no offset."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"time must be ISO 8601 (got {text!r}): for example 2024-05-28T03:00") from None
    if not FIRST_YEAR <= time.year <= LAST_YEAR:
        raise argparse.ArgumentTypeError(
            f"year must lie between {FIRST_YEAR} and {LAST_YEAR} (got {time.year}): for example 2024-05-28T03:00"
        )
    return time if time.tzinfo else time.replace(tzinfo=JST)


def _archive_folder(text: str) -> Path:
    kind, colon, path = text.partition(":")
    if kind != "archive" or not colon or not path:
        raise argparse.ArgumentTypeError(f"place must be archive:DIR (got {text!r}): for example archive:build/archive")
    return Path(path)

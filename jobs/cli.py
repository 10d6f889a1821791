"""The command ``tsunagu``.

Exit codes: 0 done; 1 the data say no (``why``: the rule does not say it again; ``topics plan``: something differs); 2 the call
is not understood; 3 something given cannot be used (a file, a source, a period, a cluster); 130 interrupted.
"""

from __future__ import annotations

import argparse
import inspect
import math
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from connectors import SourceError
from connectors.amedas import AmedasError
from connectors.archive import ArchiveError
from connectors.fukui import FukuiError
from connectors.gauges import GaugesError
from connectors.honhyo import HonhyoError
from connectors.jma_bulletins import JmaError
from connectors.jsonl import JsonLinesError
from connectors.kafka import ClusterError, KafkaSettings, read_client
from connectors.model import ModelError
from connectors.npa import NpaError
from connectors.probe import ProbeError
from connectors.readings import ReadingsError
from connectors.simra import SimraError
from connectors.wire import WireError
from jobs import bench, choose, dead, demo, demo_spots, fit, gauges, ingest, rebuild, record, replay, score, spots, topics, why
from jobs import run as worker
from jobs.linkages import GAUGES, LINKAGES, MODEL, OF_FACTS
from jobs.sink import SinkError
from jobs.sources import SOURCES
from jobs.words import JST
from pipelines.latent_accident_spots.fit import FitError as SpotFitError
from pipelines.latent_accident_spots.score import ScoreError
from pipelines.latent_accident_spots.tallies import TallyError
from pipelines.linkage import LinkageError
from pipelines.upstream_flood.fit import FitError
from schemas import FeedError, feed_names

__all__ = ["main"]

Settings = TypeVar("Settings")
FIRST_YEAR, LAST_YEAR = 1900, 2200
"""Times beyond are typing errors."""

UNUSABLE = (
    SourceError, ArchiveError, FukuiError, GaugesError, JsonLinesError, ModelError, FeedError, FitError,
    SpotFitError, ScoreError, TallyError,
    AmedasError, HonhyoError, JmaError, NpaError, SimraError, ProbeError, ReadingsError, LinkageError, SinkError,
    score.ScoreError, why.WhyError, ClusterError, WireError, OSError,
)  # fmt: skip
"""What is a fault of what was given, not of the program."""

BROKERS = "127.0.0.1:9092"
"""Where ``make kafka`` listens."""

DRILL_NAME = re.compile(r"[a-z0-9][a-z0-9-]*")
"""A drill is one part of its topics' names, and of the names of those who may write to them: no dots."""

EXTRAS = {
    name: "make kafka brings it, or pip install -r requirements/live.txt" for name in ("confluent_kafka", "paho", "prometheus_client")
}
"""What a clone that only replays does without."""

SOURCE = f"KIND:PATH, KIND one of {', '.join(SOURCES)}, or kafka:HOST:PORT[/DRILL]; may be given more than once, arrivals are merged"


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
    except ModuleNotFoundError as fault:
        if fault.name not in EXTRAS:
            raise
        print(f"tsunagu: {fault.name} must be installed for this command (got none): {EXTRAS[fault.name]}", file=sys.stderr)
        return 3
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
    _add_score(commands)
    _add_why(commands)
    _add_gauges(commands)
    _add_record(commands)
    _add_rebuild(commands)
    _add_demo(commands)
    _add_bench(commands)
    _add_topics(commands)
    _add_ingest(commands)
    _add_run(commands)
    _add_dead(commands)
    return parser


Commands = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_replay(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("replay", help="run a linkage over recorded arrivals", description=_about(replay))  # type: ignore[attr-defined]
    parser.add_argument("linkage", choices=sorted(OF_FACTS), help="which linkage")
    _take_sources(parser)
    _take_references(parser)
    _take_period(parser, "arrival times; what arrived before T1 only warms the past up")
    parser.add_argument(
        "--to", required=True, metavar="FILE.jsonl|archive:DIR", help="where to say it; FILE.late.jsonl and FILE.dead.jsonl go beside it"
    )
    parser.set_defaults(run=lambda given: replay.run(_settings(replay.Replay, given)))


def _add_fit(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("fit", help="learn the numbers of a rule from recorded arrivals", description=_about(fit))  # type: ignore[attr-defined]
    parser.add_argument("linkage", choices=["upstream_flood", "latent_accident_spots"], help="which linkage")
    _take_sources(parser)
    parser.add_argument("--gauges", type=Path, default=GAUGES, metavar="FILE", help="gauge records (CSV); default: those in data/")
    _take_period(parser, "arrival times")
    parser.add_argument(
        "--without",
        nargs=2,
        type=_time,
        metavar=("T1", "T2"),
        help="leave out what arrived in this period, a flood to be judged on",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--to", type=Path, metavar="MODEL", help="file to write the model to (Avro)")
    what.add_argument("--choose", action="store_true", help="try ways to fit and to raise, leaving out flood after flood")
    parser.set_defaults(run=_fit)


def _fit(given: argparse.Namespace) -> int:
    if given.choose:
        if given.linkage != "upstream_flood":
            raise FitError(f"--choose must be of upstream_flood (got {given.linkage!r}): see tsunagu score {given.linkage}")
        if given.without:
            raise FitError("--without must not go with --choose (got both): it leaves out one flood after the other")
        return choose.run(_settings(choose.Choose, given))
    if given.linkage == "latent_accident_spots":
        return spots.fit(_settings(spots.Fit, given))
    return fit.run(_settings(fit.Fit, given))


def _add_score(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("score", help="judge what a rule foretold by what happened")  # type: ignore[attr-defined]
    linkages = parser.add_subparsers(title="linkages", required=True, metavar="|".join(["latent_accident_spots", "upstream_flood"]))
    rated = linkages.add_parser("latent_accident_spots", help="places, by the accidents of a later year", description=_about(spots))
    _take_sources(rated)
    rated.add_argument("--year", type=int, metavar="YEAR", help="the year to foretell; default: the newest of which a file is there")
    rated.add_argument("--model", type=Path, metavar="FILE", help="fitted model (Avro); default: one that is fitted on the years before")
    rated.set_defaults(run=lambda given: spots.score(_settings(spots.Score, given)))
    told = linkages.add_parser("upstream_flood", help="notices, by what the rivers did", description=_about(score))
    told.add_argument("--facts", required=True, metavar="FACTS", help="what was said: FILE.jsonl or archive:DIR")
    told.add_argument("--truth", action="append", required=True, metavar="SOURCE", help=SOURCE)
    told.add_argument(
        "--pseudo-facts",
        metavar="FACTS",
        help="what was said on pseudo-thresholds, with gauge records of tsunagu gauges --pseudo; default: none",
    )
    told.add_argument(
        "--pseudo", type=Path, default=score.PSEUDO, metavar="FILE", help="pseudo-thresholds (CSV id,P1,P2); default: those in data/"
    )
    told.add_argument("--gauges", type=Path, default=GAUGES, metavar="FILE", help="gauge records (CSV); default: those in data/")
    told.add_argument(
        "--model", type=Path, default=MODEL, metavar="FILE", help="whose numbers get a persistence index; default: the one in data/"
    )
    _take_period(told, "arrival times to judge; default: all of the truth")
    told.add_argument("--to", type=Path, metavar="FILE.json", help="write all figures there, too")
    told.set_defaults(run=lambda given: score.run(_settings(score.Score, given)))


def _add_why(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("why", help="show what a notice rests on, and derive it again", description=_about(why))  # type: ignore[attr-defined]
    parser.add_argument("fact_id", metavar="FACT_ID", help="id of the notice, for example fukui/12/L1/20240528T0710Z")
    parser.add_argument("--linkage", choices=sorted(OF_FACTS), default="upstream_flood", help="who said it; default: upstream_flood")
    parser.add_argument("--in", dest="facts", required=True, metavar="FACTS", help="what was said: FILE.jsonl or archive:DIR")
    parser.add_argument("--revision", type=int, metavar="N", help="which revision; default: the newest")
    _take_sources(parser)
    _take_references(parser)
    parser.set_defaults(run=lambda given: why.run(_settings(why.Why, given)))


def _add_gauges(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("gauges", help="make gauge records from a publisher's tables", description=_about(gauges))  # type: ignore[attr-defined]
    parser.add_argument(
        "--from", dest="source", required=True, metavar="KIND:DIR", help=f"folder of tables, KIND one of {', '.join(gauges.KINDS)}"
    )
    parser.add_argument(
        "--pseudo",
        type=Path,
        metavar="FILE",
        help="thresholds (CSV id,P1,P2) in the place of official ones, to judge methods on; default: none",
    )
    parser.add_argument("--to", required=True, type=Path, metavar="FILE.csv", help="file to write the records to; people may edit it")
    parser.set_defaults(run=lambda given: gauges.run(given.source, given.to, given.pseudo))


def _add_record(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("record", help="copy recorded arrivals into an archive", description=_about(record))  # type: ignore[attr-defined]
    _take_sources(parser)
    _take_period(parser, "arrival times")
    parser.add_argument("--to", required=True, type=_archive_folder, metavar="archive:DIR", help="the archive; what it holds already stays")
    parser.set_defaults(run=lambda given: record.run(_settings(record.Record, given)))


def _add_rebuild(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("rebuild", help="say what differs from what was said", description=_about(rebuild))  # type: ignore[attr-defined]
    parser.add_argument("linkage", choices=sorted(OF_FACTS), help="which linkage")
    _take_sources(parser)
    _take_references(parser)
    parser.add_argument("--said", required=True, metavar="FACTS", help="all that was said: FILE.jsonl or archive:DIR")
    parser.add_argument("--key", metavar="KEY", help="only what is kept together under it, for example fukui; default: all")
    parser.add_argument("--to", required=True, metavar="FILE.jsonl|archive:DIR", help="where to say it")
    parser.set_defaults(run=lambda given: rebuild.run(_settings(rebuild.Rebuild, given)))


def _add_demo(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("demo", help="tell a recorded story in the terminal and as a page", description=_about(demo))  # type: ignore[attr-defined]
    parser.add_argument("what", nargs="?", choices=["flood", "spots"], default="flood", help="default: flood")
    parser.add_argument("--to", type=Path, default=Path("build/demo"), metavar="DIR", help="folder for the page; default: build/demo")
    parser.set_defaults(run=lambda given: (demo if given.what == "flood" else demo_spots).run(given.to))


def _add_bench(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("bench", help="measure a replay or a worker on this machine", description=_about(bench))  # type: ignore[attr-defined]
    parser.add_argument("what", nargs="?", choices=["replay", "width", "live", "match"], default="replay", help="default: replay")
    parser.add_argument("--layout", choices=["plain", "markdown"], default="plain", help="of the tables, not of replay; default: plain")
    parser.add_argument("--size", type=_part, default=1.0, metavar="PART", help="part of the full volume, not of replay; for example 0.1")
    parser.add_argument("--against", choices=["peers", "nobody"], default="peers", help="beside whom; default: peers")
    parser.set_defaults(run=lambda given: bench.run(_settings(bench.Bench, given)))


def _add_topics(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("topics", help="make the topics of a cluster as the feeds want them", description=_about(topics))  # type: ignore[attr-defined]
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="plan|apply")
    for verb, does, what in (("plan", topics.plan, "print what differs"), ("apply", topics.apply, "make it so")):
        each = verbs.add_parser(verb, help=what, description=_about(topics))
        _take_cluster(each)
        each.add_argument("--partitions", type=_count, metavar="N", help="of every feed with a key; default: as many as there are, else 8")
        each.add_argument(
            "--replication", type=_count, metavar="N", help="copies; default: as many as there are, else one a broker, at most 3"
        )
        each.add_argument(
            "--forget", action="append", default=[], metavar="TOPIC", help="this topic may lose records to shorter retention or compaction"
        )
        each.set_defaults(run=lambda given, does=does: does(_settings(topics.Topics, given)))


def _add_ingest(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("ingest", help="publish what sources give to Kafka", description=_about(ingest))  # type: ignore[attr-defined]
    parser.add_argument("sources", nargs="+", metavar="SOURCE", help="KIND:PATH, for example clock:60s")
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="max|recorded|N", help="of recorded sources; N: so many times; default: recorded"
    )
    _take_period(parser, "arrival times of recorded sources")
    parser.add_argument(
        "--as",
        dest="names",
        action="append",
        default=[],
        metavar="NAME",
        help="name of a source, in their order; default: its kind and file",
    )
    parser.add_argument(
        "--mqtt", type=Path, metavar="FILE", help="user, password, ca for the MQTT broker; default: TSUNAGU_MQTT, else none"
    )
    _take_cluster(parser)
    parser.set_defaults(run=lambda given: ingest.run(_settings(ingest.Ingest, given)))


def _add_run(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("run", help="work on linkages, live on Kafka", description=_about(worker))  # type: ignore[attr-defined]
    parser.add_argument("linkages", nargs="+", choices=sorted(LINKAGES), metavar="LINKAGE", help=f"one of {', '.join(sorted(LINKAGES))}")
    parser.add_argument("--instance", metavar="NAME", help="name of this worker: started again under it, it goes on at once")
    parser.add_argument("--http", type=int, default=9400, metavar="PORT", help="of metrics and health on 127.0.0.1; 0: any; default: 9400")
    parser.add_argument("--most", type=_count, default=5000, metavar="N", help="messages fetched at once; default: 5000")
    _take_cluster(parser)
    parser.set_defaults(run=lambda given: worker.run(_settings(worker.Run, given)))


def _add_dead(commands: Commands) -> None:  # type: ignore[valid-type]
    parser = commands.add_parser("dead", help="look after what could not be read", description=_about(dead))  # type: ignore[attr-defined]
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="list|show|retry")
    listing = verbs.add_parser("list", help="print a line for each letter", description=_about(dead))
    listing.add_argument("which", nargs="?", choices=feed_names(), metavar="FEED", help="of this feed only")
    listing.set_defaults(run=lambda given: dead.overview(_settings(dead.Dead, given)))
    showing = verbs.add_parser("show", help="print all of one letter", description=_about(dead))
    showing.add_argument("which", metavar="PLACE", help="place of the letter, for example river.level.v1[0]@17")
    showing.set_defaults(run=lambda given: dead.show(_settings(dead.Dead, given)))
    trying = verbs.add_parser("retry", help="read the bytes again, publish what can be read now", description=_about(dead))
    which = trying.add_mutually_exclusive_group(required=True)
    which.add_argument("which", nargs="?", metavar="FEED|PLACE", help="the letters of this feed, or this one")
    which.add_argument("--all", dest="which", action="store_const", const=None, help="every letter")
    trying.set_defaults(run=lambda given: dead.retry(_settings(dead.Dead, given)))
    for each in (listing, showing, trying):
        _take_cluster(each)


def _take_sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", dest="sources", action="append", required=True, metavar="SOURCE", help=SOURCE)


def _take_references(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gauges", type=Path, default=GAUGES, metavar="FILE", help="gauge records (CSV); default: those in data/")
    parser.add_argument("--model", type=Path, metavar="FILE", help="fitted model (Avro); default: the one in data/")


def _take_period(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--between", nargs=2, type=_time, metavar=("T1", "T2"), help=f"{what}, T2 not included")


def _take_cluster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--brokers", metavar="HOST:PORT", help=f"where the cluster is; default: TSUNAGU_BROKERS, else {BROKERS}")
    parser.add_argument("--drill", metavar="NAME", help="a namespace that cannot reach live subscribers; default: TSUNAGU_DRILL, else live")
    parser.add_argument(
        "--client", type=Path, metavar="FILE", help="settings of librdkafka, for example of TLS; default: TSUNAGU_CLIENT, else none"
    )
    parser.add_argument(
        "--registry",
        metavar="URL",
        help="gives the ids of schemas (Confluent's interface); default: TSUNAGU_REGISTRY, else ids of the repo",
    )


def _cluster(given: argparse.Namespace) -> KafkaSettings:
    """Where the cluster is: from options, else from the environment. An empty variable is none."""
    client = given.client or os.environ.get("TSUNAGU_CLIENT")
    drill = given.drill or os.environ.get("TSUNAGU_DRILL") or None
    if drill and not DRILL_NAME.fullmatch(drill):
        raise ClusterError(f"name of a drill must be lower-case letters, digits and hyphens (got {drill!r}): for example spring-2026")
    more = read_client(Path(client)) if client else {}
    named = more.pop("bootstrap.servers", None)
    brokers = given.brokers or os.environ.get("TSUNAGU_BROKERS") or named or BROKERS
    registry = given.registry or os.environ.get("TSUNAGU_REGISTRY") or None
    return KafkaSettings(brokers=brokers, drill=drill, registry=registry, more=more)


def _settings(kind: Callable[..., Settings], given: argparse.Namespace) -> Settings:
    """The settings of a command, from options of the same names."""
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(given).items()}
    options |= _period(given)
    if "brokers" in options:
        options["cluster"] = _cluster(given)
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


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"number must be 1 or more (got {text!r}): for example 8")
    return int(text)


def _part(text: str) -> float:
    try:
        part = float(text)
    except ValueError:
        part = 0.0
    if not 0.0 < part <= 1.0:
        raise argparse.ArgumentTypeError(f"part must be more than 0 and at most 1 (got {text!r}): for example 0.1")
    return part


def _speed(text: str) -> float | None:
    """Recorded seconds in a second; None: as fast as can be."""
    if text in {"max", "recorded"}:
        return None if text == "max" else 1.0
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < math.inf:
        raise argparse.ArgumentTypeError(f"speed must be max, recorded or a positive number (got {text!r}): for example 60")
    return speed


def _archive_folder(text: str) -> Path:
    kind, colon, path = text.partition(":")
    if kind != "archive" or not colon or not path:
        raise argparse.ArgumentTypeError(f"place must be archive:DIR (got {text!r}): for example archive:build/archive")
    return Path(path)

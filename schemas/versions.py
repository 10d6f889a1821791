"""Every version of every feed's schema, and the ids under which records name the version they were written with.

The current version is ``schemas/avro/<feed>.avsc``. ``schemas/kept/<feed>.jsonl`` keeps all of them, the current one too,
one on a line, oldest first; lines are only ever added. An id is computed from the schema itself, so that no counter can
clash and no registry is needed to read a record.

``python -m schemas.versions keep`` adds what is not kept yet. ``python -m schemas.versions check`` (part of ``make check``)
says what breaks a rule: a version that is not kept, a kept one that was edited, an id that stands for two, a pair of versions
of a feed that cannot read each other. A feed that was never published may begin anew: delete its file and keep it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

from schemas.feeds import FeedError

__all__ = ["FIRST_ID", "check", "id_of", "keep", "main", "versions"]

HERE = Path(__file__).parent
FIRST_ID = 1 << 30
"""Computed ids lie from here up to 2³¹ - 1; a registry counts from 1 and never comes so far."""

WIRE = ("type", "name", "namespace", "fields", "symbols", "items", "values", "size", "logicalType", "precision", "scale")
"""What the bytes of a record and their meaning depend on. Docs, defaults and aliases are for readers."""

KEPT = (*WIRE, "default", "aliases", "order")
"""What a later reader needs; docs and the feed's own rules are in the current file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a feed's schema under its id, and where it stands."""

    id: int
    schema: Mapping[str, Any]
    where: str


def id_of(schema: Mapping[str, Any]) -> int:
    """The id of a version: the same wherever and whenever it is computed.

    Unlike Avro's own fingerprint it depends on logical types: milliseconds read as microseconds are another time.
    """
    text = json.dumps(_only(schema, WIRE), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return FIRST_ID | int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & (FIRST_ID - 1)


@cache
def versions(feed_name: str) -> Mapping[int, Mapping[str, Any]]:
    """The schemas of a feed by id, the current one last."""
    known = {each.id: each.schema for each in _kept(HERE, feed_name)}
    current = _current(HERE, feed_name)
    known.pop(current.id, None)
    return known | {current.id: current.schema}


def keep(folder: Path = HERE) -> list[str]:
    """Adds the current version of each feed that is not kept yet; returns the names of these feeds.

    One that those before it cannot read, or that cannot read them, is not kept: ``check`` says why.
    """
    added = []
    (folder / "kept").mkdir(exist_ok=True)
    for name in _names(folder):
        kept, current = _kept(folder, name), _current(folder, name)
        if current.id not in {each.id for each in kept} and not any(_apart(name, [*kept, current])):
            line = json.dumps({"id": current.id, "schema": _only(current.schema, KEPT)}, ensure_ascii=False)
            with (folder / "kept" / f"{name}.jsonl").open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
            added.append(name)
    return added


def check(folder: Path = HERE) -> list[str]:
    """What breaks a rule, a sentence for each; empty: nothing does.

    Raises:
        FeedError: a line of a kept file is no version.
    """
    wrong = [f"schemas/kept/{name}.jsonl must belong to a feed (got no schemas/avro/{name}.avsc): restore it" for name in _strays(folder)]
    seen: dict[int, str] = {}
    for name in _names(folder):
        kept, current = _kept(folder, name), _current(folder, name)
        wrong += _edited(kept)
        if current.id not in {each.id for each in kept}:
            wrong.append(
                f"{current.where} must be kept before it is used (got version {current.id}, which schemas/kept/{name}.jsonl has not): "
                "run python -m schemas.versions keep"
            )
        wrong += _apart(name, [*kept, current])
        for each in {each.id: each for each in (*kept, current)}.values():
            if seen.setdefault(each.id, name) != name:
                wrong.append(f"id of {each.where} must be its own (got {each.id}, which is one of {seen[each.id]}): rename its record")
    return wrong


def _names(folder: Path) -> list[str]:
    return sorted(path.stem for path in (folder / "avro").glob("*.avsc"))


def _strays(folder: Path) -> list[str]:
    """Feeds of which there are versions and no current one."""
    return sorted({path.stem for path in (folder / "kept").glob("*.jsonl")} - set(_names(folder)))


def _current(folder: Path, feed_name: str) -> Version:
    schema = json.loads((folder / "avro" / f"{feed_name}.avsc").read_text(encoding="utf-8"))
    return Version(id=id_of(schema), schema=schema, where=f"schemas/avro/{feed_name}.avsc")


def _kept(folder: Path, feed_name: str) -> list[Version]:
    """The kept versions, each under the id that its line tells."""
    path = folder / "kept" / f"{feed_name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [_version(f"line {number} of schemas/kept/{feed_name}.jsonl", line) for number, line in enumerate(lines, 1)]


def _version(where: str, line: str) -> Version:
    try:
        told = json.loads(line)
        return Version(id=int(told["id"]), schema=dict(told["schema"]), where=where)
    except (ValueError, TypeError, KeyError) as fault:
        raise FeedError(f"{where} must be an object with id and schema (got {line[:40]!r}): restore it") from fault


def _only(schema: Any, names: Sequence[str]) -> Any:
    """A schema with nothing but these entries. Defaults and symbols are values, whatever they look like."""
    if isinstance(schema, list):
        return [_only(each, names) for each in schema]
    if isinstance(schema, Mapping):
        return {
            name: value if name in ("default", "symbols", "aliases") else _only(value, names)
            for name, value in schema.items() if name in names
        }  # fmt: skip
    return schema


# --- the rules


def _edited(kept: Sequence[Version]) -> Iterator[str]:
    for each in kept:
        if id_of(each.schema) != each.id:
            yield (
                f"{each.where} must be as it was kept (got a schema of id {id_of(each.schema)} under id {each.id}): "
                "restore it, and change the schema in schemas/avro"
            )


def _apart(feed_name: str, all_versions: Sequence[Version]) -> Iterator[str]:
    """Pairs that cannot read each other: a change must suit those who read before it and those who wrote before it."""
    for reader, writer in permutations(all_versions, 2):
        for reason in (*_unread(reader.schema, writer.schema), *_meant_otherwise(reader.schema, writer.schema)):
            yield (
                f"versions of {feed_name} must read each other (got {reader.where}, which cannot read {writer.where}: {reason}): "
                "give what is new or gone a default, or make it a feed of its own with the next number"
            )


def _unread(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> list[str]:
    """Why Avro's rules do not let one schema read what the other wrote."""
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
    from avro.schema import parse

    judge = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    judged = judge.get_compatibility(parse(json.dumps(reader)), parse(json.dumps(writer)))
    if judged.compatibility is SchemaCompatibilityType.compatible:
        return []
    return [f"{', '.join(sorted(judged.messages))} at {', '.join(sorted(judged.locations - {'/'}))}"]


def _meant_otherwise(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> list[str]:
    """Fields that Avro's rules let pass: a time that is none elsewhere or in another unit, bytes that need not be text."""
    ours, theirs = dict(_meanings(reader, "")), dict(_meanings(writer, ""))
    return [f"{path} is {ours[path]} here and {theirs[path]} there" for path in ours if ours[path] != theirs.get(path, ours[path])]


def _meanings(schema: Any, path: str) -> Iterator[tuple[str, str]]:
    """What Avro's own rules do not look at, for each plain value in a schema, by its path."""
    if isinstance(schema, list):
        for each in schema:
            yield from _meanings(each, path)
    elif isinstance(schema, Mapping) and "fields" in schema:
        for each in schema["fields"]:
            yield from _meanings(each["type"], f"{path}/{each['name']}")
    elif isinstance(schema, Mapping) and "items" in schema:
        yield from _meanings(schema["items"], path)
    elif schema != "null":
        told = schema.get("logicalType") if isinstance(schema, Mapping) else None
        yield path, told or ("bytes" if schema == "bytes" else "a plain value")


def main(arguments: Sequence[str] | None = None) -> int:
    """Keeps or checks; 1: a rule is broken."""
    parser = argparse.ArgumentParser(prog="python -m schemas.versions", description="Keeps every version of every feed's schema.")
    parser.add_argument("what", choices=["keep", "check"], help="keep: add current versions not kept yet; check: say what breaks a rule")
    parser.add_argument("--folder", type=Path, default=HERE, metavar="DIR", help="folder with avro/ and kept/; default: the project's")
    given = parser.parse_args(arguments)
    try:
        added, wrong = (keep(given.folder) if given.what == "keep" else []), check(given.folder)
    except FeedError as fault:
        added, wrong = [], [str(fault)]
    for name in added:
        print(f"kept: {name}")
    for each in wrong:
        print(f"schemas: {each}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

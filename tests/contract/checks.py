"""What every runtime keeps, as checks of one run. Each raises with the rule's number and what was found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby, zip_longest
from typing import Any

import polars as pl

from connectors.kafka import partition_of
from jobs.start import Place, engine
from jobs.why import derived_again
from pipelines.linkage import Came, Linkage, Match, Tally
from schemas import feed
from tests.contract.runs import Outcome, at_once, newest, standing, upto, value
from tests.contract.script import Script

__all__ = ["Broken", "check", "said_again"]


class Broken(AssertionError):
    """A rule of the contract does not hold."""


def check(
    linkage: Linkage, script: Script, out: Outcome, logs: dict[str, pl.DataFrame], whole: dict[str, dict[str, Any]], g: random.Random
) -> None:
    """All rules that can be seen in one run."""
    equal_to_brute_force(linkage, out, whole)
    each_revision_once(linkage, out)
    no_step_back(out)
    replay_is_live(linkage, out, logs, g)
    silence_is_said(script, out)
    bad_input_is_kept_apart(script, out)
    explained(linkage, out, logs, g)


def equal_to_brute_force(linkage: Linkage, out: Outcome, whole: dict[str, dict[str, Any]]) -> None:
    """Rules 1, 2 and 3: what stands is the function over everything."""
    have = standing(linkage, out.facts)
    if have != whole:
        missing, extra = sorted(whole.keys() - have.keys()), sorted(have.keys() - whole.keys())
        differ = [
            (id_, {k: (have[id_][k], v) for k, v in whole[id_].items() if have[id_][k] != v})
            for id_ in whole.keys() & have.keys()
            if have[id_] != whole[id_]
        ]
        raise Broken(f"1: not said {missing[:3]}, said in vain {extra[:3]}, otherwise than it should be {differ[:2]}")


def each_revision_once(linkage: Linkage, out: Outcome) -> None:
    """Rule 3: revisions count from 1, each once, and each says something new."""
    last: dict[str, dict[str, Any]] = {}
    for row in out.facts:
        before = last.get(row["id"])
        if row["revision"] != (before["revision"] if before else 0) + 1:
            raise Broken(f"3: revision {row['revision']} of {row['id']} follows {before and before['revision']}")
        if before and value(linkage, row) == value(linkage, before):
            raise Broken(f"3: revision {row['revision']} of {row['id']} says nothing new")
        last[row["id"]] = row


def no_step_back(out: Outcome) -> None:
    """Rule 3: nothing is said from less than what was known before; so nothing is withdrawn because a worker read again."""
    for stream in out.streams.values():
        known: dict[tuple[str, int], int] = {}
        for row in stream:
            basis = {(each["feed"], each["partition"]): each["offset"] for each in row["basis"]}
            back = [f"{name}[{partition}]" for (name, partition), offset in known.items() if basis.get((name, partition), -1) < offset]
            if back:
                raise Broken(f"3: {row['id']} revision {row['revision']} is said from an older basis of {', '.join(back)}")
            known = basis


def replay_is_live(linkage: Linkage, out: Outcome, logs: dict[str, pl.DataFrame], g: random.Random) -> None:
    """Rule 4: a fact is what the rule says of the log up to its basis."""
    for row in g.sample(out.facts, min(2, len(out.facts))):
        then = at_once(linkage, upto(logs, row["basis"])).get(row["id"])
        now = None if row["state"] == "withdrawn" else value(linkage, row)
        if then != now:
            raise Broken(f"4: {row['id']} revision {row['revision']} is not what the rule says at its basis ({now} / {then})")


def silence_is_said(script: Script, out: Outcome) -> None:
    """Rule 5: of every key that gave nothing, which is told record by record, exactly that stands said."""
    said = {(id_.rpartition("/")[0], row["state"]) for id_, row in newest(out.facts).items() if row["state"] in script.own}
    if said != script.silent:
        raise Broken(f"5: not said {sorted(script.silent - said)[:3]}, said in vain {sorted(said - script.silent)[:3]}")


def bad_input_is_kept_apart(script: Script, out: Outcome) -> None:
    """Rule 7, and patience: what is late or unreadable is given to its feed, each at least once."""
    if out.kills == 0 and (out.late, out.dead) != (script.late, script.dead):
        raise Broken(f"7: {out.late} late and {out.dead} unreadable, not {script.late} and {script.dead}")
    if out.late < script.late or out.dead < script.dead:
        raise Broken(f"7: only {out.late} of {script.late} late and {out.dead} of {script.dead} unreadable were kept")


def explained(linkage: Linkage, out: Outcome, logs: dict[str, pl.DataFrame], g: random.Random) -> None:
    """Rule 10: over the records that a fact names, the rule says the same."""
    rows = [row for row in out.facts if row["state"] != "withdrawn"]
    for row in g.sample(rows, min(2, len(rows))):
        heard = upto(logs, row["basis"])
        if isinstance(linkage, Match):
            again = _paired_again(linkage, row, heard)
        elif isinstance(linkage, Tally):
            again = _folded_again(linkage, row, heard)
        else:
            again = _derived_again(linkage, row, heard)
        if again is None or value(linkage, again) != value(linkage, row):
            raise Broken(f"10: {row['id']} revision {row['revision']} does not follow from what it names ({value(linkage, row)} / {again})")


def _derived_again(linkage: Linkage, row: dict[str, Any], heard: dict[str, pl.DataFrame]) -> dict[str, Any] | None:
    named = {}
    for each in row["because"]["ranges"]:
        of = feed(each["feed"])
        key = next(name for name in of.identity if name not in (linkage.together_by, of.time))
        named[of.name] = pl.col(key).is_in(each["keys"]) & pl.col(of.time).is_between(each["from_time"], each["to_time"])
    for name in linkage.observes:
        heard[name] = heard[name].filter(named.get(name, pl.lit(False)))
    return derived_again(linkage, pl.DataFrame([row], schema=_schema(linkage)), heard)


def _paired_again(linkage: Match, row: dict[str, Any], heard: dict[str, pl.DataFrame]) -> dict[str, Any] | None:
    for name in linkage.observes:
        of = feed(name)
        named = [record for record in row["because"].values() if record["name"] is not None and record["feed"] == name]
        identity = [pl.col(each).to_physical() if each == of.time else pl.col(each) for each in of.identity if each != linkage.together_by]
        label = pl.concat_str([each.cast(pl.String) for each in identity], separator="@")
        own = pl.col(linkage.together_by) == row[linkage.together_by]
        heard[name] = heard[name].filter(own, label.is_in([record["name"] for record in named]))
    return at_once(linkage, heard).get(row["id"])


def _folded_again(linkage: Tally, row: dict[str, Any], heard: dict[str, pl.DataFrame]) -> dict[str, Any] | None:
    """A rank rests on all that is ranked: the fold is made again from everything, and the records that are named must be among it."""
    told = {each["accident_id"] for each in row["because"]["weighed_most"]}
    return at_once(linkage, heard).get(row["id"]) if told <= set(heard["road.accident.v1"]["accident_id"]) else None


def _schema(linkage: Linkage) -> dict[str, Any]:
    return feed(linkage.says).columns


def states(out: Outcome) -> Counter[str]:
    """How often each state was said: a script that says nothing tests nothing."""
    return Counter(row["state"] for row in out.facts)


def said_again(
    linkage: Linkage, out: Outcome, logs: dict[str, pl.DataFrame], partitions: int = 1,
    came: Callable[[str, int, Mapping[Place, int]], Came] | None = None,
) -> None:  # fmt: skip
    """Rule 4 to the byte: stepped from one basis of what was said to the next, the engine says the same revisions.

    ``came``: the line that had come with a feed, in a partition, by a basis; None: none come on this runtime.
    """
    routed = [name for name in linkage.feeds if feed(name).handed_on and came]
    for partition, stream in out.streams.items():
        owned = partial(_owned, partitions, partition)
        running, again = engine(linkage, owns=owned), []
        before: dict[Place, int] = {}
        for basis in _bases(stream):
            batch = {name: _part(log, name, before, basis) for name, log in logs.items()}
            beyond = {name: _beyond(log, name, basis, partition, linkage) for name, log in logs.items()}
            unread = {name: frame["arrived"].min() for name, frame in beyond.items() if frame.height}
            lines = {name: came(name, partition, basis) for name in routed} if came else {}
            again += running.step({name: frame for name, frame in batch.items() if frame.height}, unread, lines).rows
            before = basis
        again, live = _by_basis(again), _by_basis(stream)
        if again != live:
            raise Broken(f"4: partition {partition} says otherwise when it is played again: {_difference(again, live)}")


def _by_basis(stream: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Statements, those of one basis in order of id: what held the line may go without a record, so one basis may be spoken from twice."""
    return [row for _, rows in groupby(stream, key=lambda row: row["basis"]) for row in sorted(rows, key=lambda row: row["id"])]


def _difference(again: Sequence[dict[str, Any]], stream: Sequence[dict[str, Any]]) -> str:
    """The first statement that differs, and how: (played again, said live)."""
    at, one, other = next((i, one or {}, other or {}) for i, (one, other) in enumerate(zip_longest(again, stream)) if one != other)
    fields = {name: (one.get(name), other.get(name)) for name in {**one, **other} if one.get(name) != other.get(name)}
    return f"statement {at} of {len(again)} and {len(stream)}, {other.get('id')}: {fields}"


def _owned(partitions: int, partition: int, value: str) -> bool:
    return partition_of(value, partitions) == partition


def _bases(stream: Sequence[dict[str, Any]]) -> Iterator[dict[Place, int]]:
    """The bases of what was said, in order, each once: place → offset of the newest record read."""
    last: dict[Place, int] = {}
    for row in stream:
        basis = {(each["feed"], each["partition"]): each["offset"] for each in row["basis"]}
        if basis != last:
            yield basis
        last = basis


def _part(log: pl.DataFrame, name: str, before: Mapping[Place, int], until: Mapping[Place, int]) -> pl.DataFrame:
    """What lies behind one basis, up to another."""
    places = {p for feed_name, p in until if feed_name == name}
    parts = [
        log.filter(pl.col("partition") == p, pl.col("offset").is_between(before.get((name, p), -1) + 1, until[name, p]))
        for p in sorted(places)
    ]
    return pl.concat([log[:0], *parts])


def _beyond(log: pl.DataFrame, name: str, basis: Mapping[Place, int], partition: int, linkage: Linkage) -> pl.DataFrame:
    """What of a feed concerns a partition and lies behind a basis."""
    mine = log if linkage.whole(name) else log.filter(pl.col("partition") == partition)
    read = {p: offset for (feed_name, p), offset in basis.items() if feed_name == name}
    return mine.filter(pl.col("offset") > pl.col("partition").replace_strict(read, default=-1, return_dtype=pl.Int64)) if read else mine

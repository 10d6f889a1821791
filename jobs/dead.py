"""``tsunagu dead``: what could not be read, and how much came too late, as it lies in a cluster.

``list`` tells the letters in ``dead.<feed>`` and counts what lies in ``late.<feed>``; ``show`` tells all of one letter, bytes and all.
``retry`` reads the bytes again with the code of now: what can be read is published to its feed as a new arrival, then its letter
is taken out; what cannot stays (exit code 1). Killed in between, a record is published once more at the next try, which is
harmless: it has the same identity and the same version.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectors.kafka import ClusterError, KafkaSettings
from connectors.wire import HEAD, REPO, Ids, decode
from jobs.linkages import LINKAGES
from jobs.words import counted, jst
from schemas import feed, feed_names

if TYPE_CHECKING:
    from jobs.letters import Letter, Letters

__all__ = ["Dead", "overview", "retry", "show"]

REASON_WIDTH = 100
BYTES_A_LINE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """Which letters, and where. ``which``: a feed, or the place of one letter; None: all."""

    cluster: KafkaSettings
    which: str | None = None


def overview(settings: Dead) -> int:
    """Prints a line for each letter, the newest last, then counts by feed; returns 0."""
    letters = _opened(settings.cluster)
    found = _chosen(letters, settings)
    for each in found:
        print(f"{jst(each.arrived)}  {each.place:<28} {_shortened(each.reason)}")
    for name, late in sorted(letters.late().items()):
        if settings.which in {None, name}:
            print(f"{name}: {counted(sum(each.feed == name for each in found), 'letter')}, {counted(late, 'late record')}")
    return 0


def show(settings: Dead) -> int:
    """Prints all that is known of a letter; returns 0.

    Raises:
        ClusterError: no letter is of that place.
    """
    letters = _opened(settings.cluster)
    for each in _chosen(letters, settings):
        print("\n".join(_told(each, letters.ids)))
    return 0


def retry(settings: Dead) -> int:
    """Publishes what can be read now, and takes its letters out; returns 0, or 1 where something stays.

    Raises:
        ClusterError: no letter is of that place, or the cluster does not take all; then all letters stay.
    """
    letters = _opened(settings.cluster)
    judged = [(each, *_read_again(each, letters.ids)) for each in _chosen(letters, settings)]
    good = [(letter, row) for letter, row, _ in judged if row is not None]
    letters.publish((letter, _key(letter, row)) for letter, row in good)
    letters.take_out(letter for letter, _ in good)
    for letter, row, why in judged:
        print(f"{'stays' if row is None else 'published':<10} {letter.place:<28} {_plain(why)}")
    print(f"{len(good)} published, {len(judged) - len(good)} stay")
    return 0 if len(good) == len(judged) else 1


def _opened(cluster: KafkaSettings) -> Letters:
    from jobs.letters import Letters  # it needs the broker's clients

    return Letters(cluster)


def _chosen(letters: Letters, settings: Dead) -> list[Letter]:
    if settings.which is None or settings.which in feed_names():
        return letters.all(settings.which)
    found = [each for each in letters.all() if each.place == settings.which]
    if not found:
        raise ClusterError(f"place must be that of a letter (got {settings.which!r}): see tsunagu dead list")
    return found


# --- read again


def _read_again(letter: Letter, ids: Ids) -> tuple[dict[str, Any] | None, str]:
    """The record in the bytes of a letter, None where it cannot be published; and what is to be said of it."""
    if letter.feed in {each.says for each in LINKAGES.values()}:
        return None, f"feed must be one of events (got {letter.feed}): its linkage says facts, again if need be"
    if letter.key is None:
        return None, "letter must have a key (got none): without it no tombstone can take it out"
    if not _framed(letter.raw):
        return (
            None,
            f"raw bytes must be a message's value (got {letter.raw[:12]!r}): only those can be retried; send it again at the source",
        )
    read = decode(letter.feed, [letter.raw], ids)
    return (None, read.bad[0][1]) if read.bad else (read.rows.row(0, named=True), f"as a new arrival of {letter.feed}")


def _framed(raw: bytes) -> bool:
    return len(raw) >= HEAD and raw[0] == 0


def _key(letter: Letter, row: dict[str, Any]) -> str | None:
    key = feed(letter.feed).key
    return None if key is None else str(row[key])


# --- told


def _told(letter: Letter, ids: Ids) -> Iterator[str]:
    row, why = _read_again(letter, ids)
    yield letter.place
    yield f"  feed     {letter.feed}"
    yield f"  arrived  {jst(letter.arrived)}"
    yield f"  reason   {_plain(letter.reason)}"
    yield f"  letter   {letter.lies}"
    yield f"  now      {_plain(why) if row is None else 'it can be read: tsunagu dead retry publishes it'}"
    yield f"  framing  {_framing(letter)}"
    for name, value in (row or {}).items():
        yield f"  {name:<14} {value}"
    text = _text(letter.raw)
    if text is not None:
        yield f"  as text: {text}"
    for at in range(0, len(letter.raw), BYTES_A_LINE):
        piece = letter.raw[at : at + BYTES_A_LINE]
        yield f"  {at:08x}  {piece.hex(' '):<{3 * BYTES_A_LINE}} {''.join(chr(each) if 32 <= each < 127 else '.' for each in piece)}"


def _framing(letter: Letter) -> str:
    if not _framed(letter.raw):
        return f"none: {counted(len(letter.raw), 'byte')} that do not begin with byte 0 and a schema id"
    schema_id = int.from_bytes(letter.raw[1:HEAD], "big")
    known = "known" if REPO.schema(letter.feed, schema_id) else "not known"
    return f"byte 0, schema id {schema_id} ({known} as a version of {letter.feed}), {counted(len(letter.raw) - HEAD, 'byte')} of Avro"


def _text(raw: bytes) -> str | None:
    """The bytes as text, where they are nothing else."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return text if text and _plain(text) == text else None


def _plain(text: str) -> str:
    """On one line, and without what a terminal would obey."""
    return "".join(each if each.isprintable() else "\ufffd" for each in " ".join(text.split()))


def _shortened(text: str) -> str:
    text = _plain(text)
    return text if len(text) <= REASON_WIDTH else text[: REASON_WIDTH - 1] + "…"

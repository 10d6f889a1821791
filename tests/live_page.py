"""What docs/live.md shows: commands that need a broker, and what is shown below each."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "live.md"


def shown(begin: str) -> Iterator[tuple[list[str], str]]:
    """The commands of the page that begin so, in order, with what is shown below each."""
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        for part in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            if command.startswith(begin):
                yield shlex.split(command), output


def same(output: str, page: str) -> bool:
    """Whether that is what the page shows; a line ``...`` there stands for any lines."""
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in page.splitlines())
    return re.fullmatch(pattern, output) is not None

"""Every example in the README and the docs is run, and what it shows is compared with what it does.

* ```` ```python ```` is run, all blocks of a page in one namespace: lines with ``>>>`` as doctests, other blocks as they stand.
* ```` ```python fragment ```` shows a part of something: it only has to be Python.
* ```` ```console run ````: each ``$ tsunagu …`` is run in the clone, and what follows is what it prints, where ``...``
  stands for anything.
* ```` ```console ```` is not run, but a target of ``make`` that it names must be there.
"""

from __future__ import annotations

import ast
import doctest
import os
import re
import shlex
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(page for pattern in ("README.md", "docs/**/*.md", "pipelines/*/README.md") for page in ROOT.glob(pattern))
LOOSE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^ *(?P=ticks)`*[ \t]*$", re.M | re.S)
COMMAND_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block of a page. ``line`` is that of its first line of text, counted from one."""

    info: tuple[str, ...]
    body: str
    line: int


def blocks(text: str) -> Iterator[Block]:
    for fence in FENCE.finditer(text):
        line = text.count("\n", 0, fence.start("body")) + 1
        yield Block(info=tuple(fence["info"].split()), body=textwrap.dedent(fence["body"]), line=line)


def wrong_examples(page: Path) -> list[str]:
    """What does not hold on this page, each with its file and line. Empty: all of it holds."""
    text = page.read_text(encoding="utf-8")
    wrong = [f"{page}: a fence must be closed: close the last block"] if "```" in FENCE.sub("", text) else []
    namespace: dict[str, object] = {"__name__": page.stem}
    for block in blocks(text):
        match block.info:
            case ("python" | "py" | "pycon", "fragment"):
                told = _unparsable(block.body)
            case ("python" | "py" | "pycon",):
                told = _prompts(block, page, namespace) if ">>>" in block.body else _plain(block.body, namespace)
            case ("console" | "sh" | "bash", "run"):
                told = _commands(block.body)
            case ("console" | "sh" | "bash",):
                told = _absent_targets(block.body)
            case ("python" | "py" | "pycon" | "console" | "sh" | "bash", *rest):
                told = f"words behind the fence must be 'python', 'python fragment', 'console' or 'console run' (got {rest!r})"
            case _:
                told = ""
        if told:
            wrong.append(f"{page}:{block.line}: {told}")
    return wrong


def _unparsable(body: str) -> str:
    try:
        ast.parse(body)
    except SyntaxError as error:
        return f"is not Python: {error}"
    return ""


def _plain(body: str, namespace: dict[str, object]) -> str:
    try:
        exec(compile(body, "<example>", "exec", dont_inherit=True), namespace)
    except Exception:
        return traceback.format_exc()
    return ""


def _prompts(block: Block, page: Path, namespace: dict[str, object]) -> str:
    told: list[str] = []
    test = doctest.DocTestParser().get_doctest(block.body, namespace, page.name, str(page), block.line - 1)
    # get_doctest copies the namespace; the next block has to see what this one made.
    test.globs = namespace
    doctest.DocTestRunner(optionflags=LOOSE, verbose=False).run(test, out=told.append, clear_globs=False)
    return "".join(told)


def _commands(body: str) -> str:
    if not body.startswith("$ "):
        return f"a block that is run must begin with a command (got {body[:40]!r}): begin it with '$ tsunagu'"
    for command, expected in _dialogue(body):
        words = shlex.split(command)
        if words[:1] != ["tsunagu"]:
            return f"a command that is run must be tsunagu (got {command!r}): take 'run' away, or show tsunagu"
        tsunagu = Path(sys.executable).with_name("tsunagu")
        done = subprocess.run(
            [tsunagu, *words[1:]],
            cwd=ROOT,
            env=os.environ | {"NO_COLOR": "1", "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_SECONDS,
            check=False,
            encoding="utf-8",
        )
        if done.returncode != 0:
            return f"$ {command} must end well (got {done.returncode}):\n{done.stdout}"
        if not doctest.OutputChecker().check_output(expected, done.stdout, LOOSE):
            return f"$ {command}\nmust print:\n{expected}\nbut prints:\n{done.stdout}"
    return ""


def _dialogue(body: str) -> Iterator[tuple[str, str]]:
    """Commands and what is shown below each. A command goes on in the next line where it ends in a backslash."""
    for part in re.split(r"^\$ ", body.replace("\\\n", " "), flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        yield command.partition("  #")[0].strip(), expected.rstrip("\n") + "\n" if expected.strip() else ""


def _absent_targets(body: str) -> str:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.M))
    named = re.findall(r"^(?:\$ )?(?:\w+=\S+ )*make ([a-z]+)", body, flags=re.M)
    absent = sorted(set(named) - targets)
    return f"make must have the target {', '.join(absent)} (got {', '.join(sorted(targets))})" if absent else ""


def test_every_example_in_readme_and_docs_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    wrong = [each for page in PAGES for each in wrong_examples(page)]
    assert not wrong, "\n\n".join(wrong)


GOOD = {
    "a doctest": "```python\n>>> 1 + 1\n2\n```",
    "a plain block": "```python\nassert 1 + 1 == 2\n```",
    "a fragment": "```python fragment\nrule=notices\n```",
    "two blocks in one namespace": "```python\n>>> level_m = 2.2\n```\nand\n```python\n>>> level_m\n2.2\n```",
    "a plain block before a doctest": "```python\nlevel_m = 2.2\n```\nand\n```python\n>>> level_m\n2.2\n```",
    "an indented block": "1. so\n   ```python\n   >>> 1 + 1\n   2\n   ```",
    "another language": "```json\n{]\n```",
    "a target of make": "```console\n$ make demo\n```",
    "a command of others": "```console\n$ apt-get install make\n```",
}
BAD = {
    "a doctest with another answer": "```python\n>>> 1 + 1\n3\n```",
    "a doctest that raises": "```python\n>>> 1 / 0\n```",
    "a plain block that raises": "```python\nassert 1 + 1 == 3\n```",
    "a fragment that is no Python": "```python fragment\nrule=\n```",
    "an indented block with another answer": "1. so\n   ```python\n   >>> 1 + 1\n   3\n   ```",
    "a name of nowhere": "```python\n>>> gauge\n```",
    "a target that make lacks": "```console\n$ make coffee\n```",
    "a command that may not be run": "```console run\n$ rm -r data\n```",
    "a subcommand that tsunagu lacks": "```console run\n$ tsunagu coffee\n```",
    "an answer that tsunagu does not give": "```console run\n$ tsunagu --help\ncoffee\n```",
    "a run of nothing": "```console run\ntsunagu --help\n```",
    "a block that is not closed": "```python\n>>> 1 + 1\n2\n",
    "a word that is not known": "```python sometimes\n```",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_page_with_good_examples_passes(text: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(f"# つなぐ\n\n{text}\n", encoding="utf-8")
    assert wrong_examples(tmp_path / "page.md") == []


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_page_with_a_wrong_example_is_found(text: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(f"# つなぐ\n\n{text}\n", encoding="utf-8")
    assert len(wrong_examples(tmp_path / "page.md")) == 1


def test_the_place_of_a_wrong_example_is_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# つなぐ\n\n```python\n>>> 1 + 1\n2\n```\n\n```python\n>>> 1 + 1\n3\n```\n", encoding="utf-8")
    (told,) = wrong_examples(page)
    assert told.startswith(f"{page}:9: ")
    assert f'File "{page}", line 9' in told


def test_a_command_is_compared_with_what_is_shown_below_it() -> None:
    told = "$ tsunagu feeds \\\n    --all  # every feed\nriver.level.v1\n...\n$ tsunagu demo\n"
    assert list(_dialogue(told)) == [("tsunagu feeds      --all", "river.level.v1\n...\n"), ("tsunagu demo", "")]

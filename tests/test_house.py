"""The shape of the house: who may know whom, what a linkage may not touch, and what no file may hold."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("pipelines", "schemas", "connectors", "jobs")

# --- who may know whom -----------------------------------------------------------------------------------------

OTHER_ROOMS = {
    "pipelines": {"connectors", "jobs"},
    "connectors": {"pipelines", "jobs"},
    "schemas": {"pipelines", "connectors", "jobs"},
    "jobs": set(),
}
OUTSIDE = {
    "brokers and engines": {"confluent_kafka", "aiokafka", "kafka", "faust", "pyflink", "redis", "sqlite3"},
    "files and processes": {"os", "io", "pathlib", "shutil", "tempfile", "glob", "fileinput", "subprocess", "multiprocessing"},
    "the network": {"socket", "ssl", "http", "urllib", "requests", "httpx", "asyncio"},
    "clocks and chance": {"time", "random", "secrets", "uuid"},
    "imports that this test cannot see": {"importlib", "runpy"},
}
FORBIDDEN = {module: why for why, modules in OUTSIDE.items() for module in modules}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Line and top module of each import, also those inside functions and under ``TYPE_CHECKING``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.lineno, (node.module or "").partition(".")[0]


def wrong_imports(room: str, source: str) -> list[str]:
    """Imports that a module of this room may not have."""
    wrong = [f"{line}: {room}/ must not import {name}/" for line, name in imports(source) if name in OTHER_ROOMS[room]]
    if room == "pipelines":
        wrong += [f"{line}: a linkage must not touch {FORBIDDEN[name]} (got {name})" for line, name in imports(source) if name in FORBIDDEN]
    return wrong


# --- nothing outside -------------------------------------------------------------------------------------------

# hash() of a string differs from one process to the next, so an id made with it would too.
BUILTINS = {"open", "input", "print", "hash", "exec", "eval", "__import__"}
CLOCKS = {"now", "utcnow", "today"}
FRAME_FILES = re.compile(r"(pl|polars)\.(read|scan)_\w+|.*\.(write|sink)_\w+")
ARRAY_FILES = re.compile(r"(np|numpy)\.(load|save|savez|fromfile|loadtxt|savetxt|memmap|genfromtxt)|.*\.tofile")
CHANCE = re.compile(r"(np|numpy)\.random\b.*|.*\.(sample|shuffle)")


def touches(source: str) -> list[str]:
    """Calls in a module of ``pipelines/`` that ask a clock, a file or chance."""
    calls = [(node.lineno, ast.unparse(node.func)) for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f"{line}: a linkage must not ask {what} (got {name}())" for line, name in calls if (what := _outside(name))]


def _outside(name: str) -> str:
    if name in BUILTINS or FRAME_FILES.fullmatch(name) or ARRAY_FILES.fullmatch(name):
        return "what lies outside"
    if "." in name and name.rpartition(".")[2] in CLOCKS:
        return "a clock"
    return "chance" if CHANCE.fullmatch(name) else ""


# --- what no file may hold -------------------------------------------------------------------------------------

# Written so that they do not find themselves.
MACHINE = re.compile(rb"(?<![\w.~-])/(?:home/\w|Users/\w|root/|work/)|\b[A-Z]:\\+Users\\")
REGISTRY = re.compile(rb"https?://(?:[\w-]+\.)*(?:pypi|files\.pythonhosted|registry\.npmjs|registry\.yarnpkg|repo1\.maven|proxy\.golang)")
PLACE = re.compile(r"://|^\s*(?:-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host)\b|\S+\s@\s|^\s*(?:\.{0,2}/)", re.M)


def wrong_text(text: bytes) -> list[str]:
    """Places of one machine, and hosts of registries: a clone elsewhere has others."""
    lines = [(text.count(b"\n", 0, found.start()) + 1, found[0]) for rule in (MACHINE, REGISTRY) for found in rule.finditer(text)]
    return [f"{line}: must hold no path of a machine and no registry host (got {found!r})" for line, found in lines]


def wrong_pins(text: str) -> list[str]:
    """What a requirements file may not hold: a place to fetch from, and a package without exact version and hash."""
    wrong = [f"must name no place to fetch from (got {found[0]!r})" for found in PLACE.finditer(text)]
    for logical in text.replace("\\\n", " ").splitlines():
        if logical.strip() and not re.match(r"#|-r [a-z]+\.txt$|[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", logical):
            wrong.append(f"must pin a version with its hash (got {logical!r})")
    return wrong


def has_no_docstring(source: str) -> bool:
    return ast.get_docstring(ast.parse(source)) is None


# --- the house as it stands ------------------------------------------------------------------------------------


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def packages() -> list[str]:
    inits = (path for path in modules(*ROOMS) if path.name == "__init__.py")
    return [".".join(path.parent.relative_to(ROOT).parts) for path in inits]


def texts() -> Iterator[Path]:
    """Files that belong to the project and are text: what git knows or would add, or everything where there is no git."""
    try:
        told = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True).stdout
        paths = [ROOT / os.fsdecode(name) for name in told.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        made = {".git", ".venv", "__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache", "build", "dist"}
        paths = [path for path in ROOT.rglob("*") if not made & set(path.parts) and "egg-info" not in path.as_posix()]
    for path in paths:
        if path.is_file():
            with path.open("rb") as file:
                if b"\0" not in file.read(8192):
                    yield path


def findings(paths: Sequence[Path], rule: Callable[[str], list[str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{each}" for path in paths for each in rule(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_knows_only_the_rooms_it_may(room: str) -> None:
    paths = modules(room)
    assert paths, f"{room}/ must hold modules"
    assert findings(paths, lambda source: wrong_imports(room, source)) == []


def test_a_linkage_touches_nothing_outside() -> None:
    assert findings(modules("pipelines"), touches) == []


def test_a_package_says_what_it_offers() -> None:
    wrong = []
    for name in packages():
        package = importlib.import_module(name)
        offered = getattr(package, "__all__", None)
        if offered is None and len(ast.parse(Path(str(package.__file__)).read_text(encoding="utf-8")).body) > 1:
            wrong.append(f"{name} must say __all__")
        wrong += [f"{name} offers {each!r}, which is not there" for each in offered or () if not hasattr(package, each)]
    assert wrong == []


def test_every_folder_with_modules_is_a_package() -> None:
    assert sorted({str(path.parent) for path in modules(*ROOMS) if not (path.parent / "__init__.py").is_file()}) == []


def test_every_module_has_a_docstring() -> None:
    paths = modules(*ROOMS, "tests")
    assert [str(path.relative_to(ROOT)) for path in paths if has_no_docstring(path.read_text(encoding="utf-8"))] == []


def test_no_file_holds_a_path_of_a_machine_or_a_registry_host() -> None:
    paths = list(texts())
    assert Path(__file__) in paths
    assert [f"{path.relative_to(ROOT)}:{each}" for path in paths for each in wrong_text(path.read_bytes())] == []


def test_requirements_pin_versions_and_hashes_and_name_no_place() -> None:
    paths = sorted((ROOT / "requirements").glob("*.txt"))
    assert {path.name for path in paths} >= {"build.txt", "check.txt", "demo.txt", "test.txt"}
    assert findings(paths, wrong_pins) == []


def test_the_build_backend_is_the_pinned_one() -> None:
    (required,) = re.findall(r'^requires = \["(.*)"\]$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), flags=re.M)
    assert f"{required} " in (ROOT / "requirements" / "build.txt").read_text(encoding="utf-8")


def test_make_help_tells_every_target_and_they_are_at_most_a_dozen() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile, flags=re.M)
    assert re.findall(r"^([a-z-]+):.*## \S", makefile, flags=re.M) == phony.split()
    assert len(phony.split()) <= 12


# --- each rule can fail ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("pipelines", "import connectors"),
        ("pipelines", "from jobs.embedded import run"),
        ("pipelines", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import jobs"),
        ("pipelines", "def f():\n    import os.path"),
        ("pipelines", "import polars as pl, socket"),
        ("pipelines", "from datetime import datetime\nfrom pathlib import Path"),
        ("pipelines", "from importlib import import_module"),
        *(("pipelines", f"import {name}") for name in sorted(FORBIDDEN)),
        ("connectors", "from pipelines.linkage import Derive"),
        ("connectors", "import jobs.cli"),
        ("schemas", "import pipelines"),
        ("schemas", "from connectors import archive"),
        ("schemas", "import jobs"),
    ],
)
def test_a_forbidden_import_is_found(room: str, source: str) -> None:
    assert len(wrong_imports(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("pipelines", "import polars as pl\nfrom schemas import feed\nfrom pipelines.linkage import Derive\nfrom . import rule"),
        ("connectors", "import os\nfrom schemas import feed\nfrom connectors import archive"),
        ("schemas", "from pathlib import Path\nfrom schemas.feeds import feed"),
        ("jobs", "import time\nimport pipelines, schemas, connectors"),
    ],
)
def test_an_import_that_is_allowed_passes(room: str, source: str) -> None:
    assert wrong_imports(room, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "open('levels.csv')",
        "datetime.now(UTC)",
        "datetime.datetime.utcnow()",
        "date.today()",
        "pl.read_csv('levels.csv')",
        "pl.scan_parquet('levels.parquet').collect()",
        "frame.write_csv('levels.csv')",
        "frame.lazy().sink_parquet('levels.parquet')",
        "np.load('levels.npy')",
        "np.random.default_rng(1).normal()",
        "frame.sample(3)",
        "hash('93')",
        "print('93')",
        "def f():\n    return [x for x in open('levels.csv')]",
    ],
)
def test_a_touch_of_the_outside_is_found(source: str) -> None:
    assert touches(source)


@pytest.mark.parametrize("source", ["datetime(2024, 5, 1, tzinfo=UTC)", "past.open_at(line)", "tick.now", "frame.hash_rows()"])
def test_what_lies_inside_passes(source: str) -> None:
    assert touches(source) == []


@pytest.mark.parametrize(
    "text",
    [
        f"see /{'home'}/someone/tsunagu",
        f'"/{"Users"}/someone"',
        f"cd /{'root'}/tsunagu",
        f"(/{'work'}/tsunagu)",
        rf"C:\{'Users'}\someone",
        f"https://{'pypi'}.org/simple",
        f"http://mirror.{'pypi'}.example",
        f"https://{'files.pythonhosted'}.org/packages",
        f"https://{'registry.npmjs'}.org",
        f"https://{'repo1.maven'}.org/maven2",
    ],
)
def test_a_path_of_a_machine_or_a_registry_host_is_found(text: str) -> None:
    assert len(wrong_text(f"first line\n{text}\n".encode())) == 1
    assert wrong_text(f"first line\n{text}\n".encode())[0].startswith("2: ")


@pytest.mark.parametrize("text", ["data/home/x", "https://example.jp/home/x", f"~/{'work'}/x", "pip install polars", "the homepage / work"])
def test_a_relative_path_and_an_ordinary_address_pass(text: str) -> None:
    assert wrong_text(text.encode()) == []


HASH = f"--hash=sha256:{'0' * 64}"


@pytest.mark.parametrize(
    "text",
    [
        "numpy",
        "numpy==2.4.6",
        f"numpy>=2.4 \\\n    {HASH}",
        f"--index-url https://example.jp/simple\nnumpy==2.4.6 {HASH}",
        f"--find-links wheels\nnumpy==2.4.6 {HASH}",
        f"numpy @ https://example.jp/numpy.whl {HASH}",
        "./wheels/numpy.whl",
        "-e .",
    ],
)
def test_a_requirement_without_hash_or_with_a_place_is_found(text: str) -> None:
    assert wrong_pins(text)


def test_a_pinned_requirement_passes() -> None:
    assert wrong_pins(f"# why\n-r demo.txt\nnumpy==2.4.6 ; python_version < '3.14' \\\n    {HASH} \\\n    {HASH}\n") == []


def test_a_module_without_docstring_is_found() -> None:
    assert has_no_docstring("X = 1")
    assert not has_no_docstring('"""One noun."""\n')


SKIPPING = '''"""Tests that skip."""
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="chromium is not here")
def test_by_mark():
    pass

def test_inside():
    pytest.skip("chromium is not here")

@pytest.mark.skip(reason="data that may not be committed: probe cars")
def test_excused():
    pass

@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False
'''


@pytest.mark.parametrize(
    ("ci", "told"),
    [
        ("true", {"passed": 1, "failed": 1, "errors": 2, "skipped": 1, "xfailed": 1}),
        ("", {"passed": 1, "skipped": 4, "xfailed": 1}),
    ],
    ids=["in CI", "elsewhere"],
)
def test_a_skip_is_a_failure_only_where_ci_is_set(ci: str, told: dict[str, int], tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.toml").write_text("[pytest]\n", encoding="utf-8")
    (tmp_path / "test_some.py").write_text(SKIPPING, encoding="utf-8")
    (tmp_path / "test_module.py").write_text('import pytest\npytest.importorskip("no_such_engine")\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors"],
        cwd=tmp_path,
        env=os.environ | {"CI": ci, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    summary = done.stdout.strip().splitlines()[-1].partition(" in ")[0]
    assert {word: int(count) for count, word in re.findall(r"(\d+) (\w+)", summary)} == told, done.stdout
    assert ("must not be skipped when CI is set (got 'Skipped: chromium is not here')" in done.stdout) == (ci == "true")

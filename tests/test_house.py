"""The house: each file is in a room, imports run one way, and nothing goes round in a circle."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from project import PROJECT

from tasks.cache.counted_syntax import parsed

# From the top floor down. A room imports from floors below its own, never from another room of its own floor.
FLOORS = [
    {"flows.cli"},
    {"flows"},
    {"flows.search"},
    {"flows.run"},
    {"flows.process"},
    {"tasks"},
    {"tasks.tracking"},
    {"tasks.cache"},
    {"tasks.running"},
    {"tasks.settings"},
    {"mmctr.training"},
    {"mmctr.evaluation"},
    {"mmctr.models", "mmctr.embedding", "mmctr.report", "mmctr.submission"},
    {"mmctr.clicks", "mmctr.images", "mmctr.demo"},
    {"mmctr.inputs", "mmctr.encoders", "mmctr.compute"},
    {"mmctr.common"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
PACKAGES = ("flows", "tasks", "mmctr")
FILES = sorted(path for package in PACKAGES for path in (PROJECT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """`mmctr.images.rar.headers` and the package `mmctr.images` are in `mmctr.images`, `tasks.train` in `tasks`."""
    first, second, *_ = [*module.split("."), ""]
    return f"{first}.{second}" if f"{first}.{second}" in FLOOR else first


@cache
def imported(path: Path) -> frozenset[str]:
    """Modules of the project that a file imports, at any level of it."""
    found = set()
    for node in ast.walk(parsed(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in inner}
    return frozenset(name for name in found if name.partition(".")[0] in PACKAGES and "." in name)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_down(path):
    room = room_of(name_of(path))
    for name in imported(path):
        other = room_of(name)
        assert other == room or FLOOR[other] > FLOOR[room], f"{room} is not above {other}: {path} imports {name}"
        assert other != "mmctr.demo" or room in ("mmctr.demo", "flows.cli"), f"{path}: only `mmctr demo` needs the demo"


def test_every_file_is_in_a_room():
    for path in FILES:
        assert path.parent.name == "mmctr" or room_of(name_of(path)) in FLOOR, path
        if path.name == "__init__.py":
            assert path.read_bytes() == b"", f"{path} must be empty"
    assert {path.name for path in (PROJECT / "mmctr").iterdir() if path.is_file()} == {"__init__.py"}


def test_no_imports_go_round_in_a_circle():
    TopologicalSorter({name: imported(path) for name, path in MODULES.items()}).prepare()


def test_each_folder_has_its_folder_of_tests():
    """A test file is where what it tests is; `tests/bench` tests what benchmarks measure with."""
    tests = {path.parent.relative_to(PROJECT / "tests") for path in (PROJECT / "tests").rglob("test_*.py")}
    folders = {path.parent.relative_to(PROJECT) for path in FILES}
    assert tests <= folders | {Path(), Path("bench")}


def test_the_library_loads_neither_prefect_nor_mlflow():
    modules = [name for name in MODULES if room_of(name).startswith("mmctr")]
    code = f"import sys, {', '.join(modules)}; sys.exit(any(m in sys.modules for m in ('prefect', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=PROJECT).returncode == 0


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom flows.cli.arguments import parser\nparser().format_help()\n"
        "heavy = {'torch', 'polars', 'prefect', 'mlflow', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=PROJECT).returncode == 0

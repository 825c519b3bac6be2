"""A wheel of the project holds every folder with its modules and data files, and they are imported from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from project import PROJECT

PACKAGES = ("flows", "mmctr", "tasks")
DATA_FILE = "mmctr/inputs/layouts/any.toml"  # in a folder without a module
BUILD = "import sys\nfrom setuptools.build_meta import build_wheel\nprint(build_wheel(sys.argv[1]))"
IMPORT = """
import sys
from importlib import import_module
from pathlib import Path
installed, *names = sys.argv[1:]
files = [import_module(name).__file__ for name in names]
sys.exit(next((file for file in files if not Path(file).is_relative_to(installed)), 0))
"""


def python(program: str, *arguments: str, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """The project's files, and one more with data."""
    folder = tmp_path_factory.mktemp("sources")
    for name in PACKAGES:
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, folder)
    (folder / DATA_FILE).parent.mkdir(exist_ok=True)
    (folder / DATA_FILE).write_text("")
    return folder


@pytest.fixture(scope="module")
def installed(sources, tmp_path_factory) -> Path:
    """The wheel, built without a network, as an installer unpacks it."""
    wheels, folder = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("installed")
    python(BUILD, str(wheels), cwd=sources)
    (wheel,) = wheels.iterdir()
    with ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder) for name in PACKAGES for path in (folder / name).rglob("*") if path.is_file()}
    return {str(path) for path in found if path.suffix != ".pyc"}


def test_a_wheel_holds_every_file(sources, installed):
    assert DATA_FILE in files(sources)
    assert files(installed) == files(sources)
    assert "mmctr = flows.cli.main:main" in next(installed.glob("*.dist-info/entry_points.txt")).read_text()


def test_every_module_is_imported_from_a_wheel(installed, tmp_path):
    names = [name.removesuffix(".py").replace("/", ".") for name in sorted(files(installed)) if name.endswith(".py")]
    modules = [name.removesuffix(".__init__") for name in names]
    assert len(modules) > 100
    # The flows' environment comes first, as for every way into them.
    modules.sort(key=lambda name: name != "flows.process.environment")
    python(IMPORT, str(installed), *modules, cwd=tmp_path, PYTHONPATH=str(installed), PYTHONWARNINGS="ignore")

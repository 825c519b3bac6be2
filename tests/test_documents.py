"""What the documents name is there: records in their index, files, modules, links."""

import re
from pathlib import Path

import pytest
from project import PROJECT

DECISIONS, ARCHITECTURE = PROJECT / "docs/decisions", PROJECT / "docs/architecture.md"
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "deploy/README.md"]
PAGES += sorted((PROJECT / "docs").rglob("*.md"))
ROOTS = ("benchmarks", "deploy", "docs", "flows", "mmctr", "tasks", "tests")
RESERVED = ("mmctr.ancestor", "mmctr.rules", "mmctr.toml")  # tags in MLflow and a file in BASE_PATH


def test_every_decision_is_in_the_index_under_its_own_title():
    listed = re.findall(r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+?) \|", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    titles = {path.name: path.read_text().partition("\n")[0].removeprefix("# ") for path in DECISIONS.glob("0*.md")}
    assert {name: title for _, name, title in listed} == titles
    numbers = [number for number, *_ in listed]
    assert numbers == sorted(set(numbers))
    assert all(name.startswith(f"{number}-") for number, name, _ in listed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert "://" in link or (page.parent / link).exists(), link
    for name in re.findall(rf"(?<![\w./-])((?:{'|'.join(ROOTS)})[./][\w./*-]*[\w*])", text):
        assert name in RESERVED or is_there(name), name


def is_there(name: str) -> bool:
    """Whether a path of the project, perhaps a pattern, a module, or something that a module defines."""
    if "/" in name:
        return any(PROJECT.glob(name))
    *outer, last = name.removesuffix(".*").split(".")
    folder, module = PROJECT.joinpath(*outer, last), PROJECT.joinpath(*outer).with_suffix(".py")
    if folder.is_dir() or folder.with_suffix(".py").is_file():
        return True
    return module.is_file() and re.search(rf"^(def |class )?{last}\b", module.read_text(), re.MULTILINE) is not None


def test_the_architecture_has_every_room():
    files = [
        path.relative_to(PROJECT) for name in ("flows", "tasks", "mmctr") for path in (PROJECT / name).rglob("*.py")
    ]
    rooms = {str(Path(*file.parent.parts[:2])) for file in files} - {"mmctr"}
    listed = re.findall(r"^\| `((?:flows|tasks|mmctr)[\w/]*)/` \|", ARCHITECTURE.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(rooms)

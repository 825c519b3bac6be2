"""What the documents name is there: records in their index, files, modules, links."""

import re

import pytest
from project import PROJECT

DECISIONS = PROJECT / "docs" / "decisions"
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", PROJECT / "deploy/README.md"]
PAGES += sorted((PROJECT / "docs").rglob("*.md"))
ROOTS = ("benchmarks", "deploy", "docs", "flows", "mmctr", "tasks", "tests")
RESERVED = ("mmctr.ancestor", "mmctr.toml")  # a tag in MLflow and a file in BASE_PATH


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
    for name in re.findall(r"`([\w./]+)`", text):
        first, *rest = re.split("[./]", name)
        if first in ROOTS and rest and name not in RESERVED:
            assert is_there(name), f"{page.name} names {name}"


def is_there(name: str) -> bool:
    """Whether a path of the project, a module, or something that a module defines."""
    if "/" in name:
        return (PROJECT / name).exists()
    *outer, last = name.split(".")
    folder, module = PROJECT.joinpath(*outer, last), PROJECT.joinpath(*outer).with_suffix(".py")
    if folder.is_dir() or folder.with_suffix(".py").is_file():
        return True
    return module.is_file() and re.search(rf"^(def |class )?{last}\b", module.read_text(), re.MULTILINE) is not None

"""The tables of docs/cache-contract.md on code and packages, row by row: which change of them makes which stage run.

Which digest a change alters is asked of the digests; that the pipeline goes by them, of a row of each kind.
"""

import ast
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from cache_contract import STAGES, assert_planned, replaced, rows, stages_that_run, table
from contract_code import FOUND_OUT, code_table, modules, row_of, source
from finished_run import settings
from project import PROJECT
from reworded import reworded

from mmctr.images.source import Kind
from tasks.cache.code_digest import CONTAINERS, DISTRIBUTIONS, NEUTRAL, code_digest, stage_code
from tasks.cache.counted_syntax import parsed
from tasks.settings.archive import ImageSource
from tasks.settings.base import Section
from tasks.settings.items import EmbedConfig
from tasks.settings.train import TrainConfig

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("quiet_mlflow")]

KEYED_PACKAGES = [name for names in DISTRIBUTIONS.values() for name in names]


@contextmanager
def digests_of(tree: Path) -> Iterator[None]:
    """Digests are of the sources in a folder, and taken anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.cache.code_digest._file", lambda module: source(tree, module))
        code_digest.cache_clear()
        yield
    code_digest.cache_clear()


# Code


def test_the_table_of_modules_is_that_of_the_import_graph():
    """Where this fails: `python tests/support/contract_code.py`, and review the difference."""
    assert list(table("Code").items()) == list(code_table().items())


@pytest.fixture(scope="module")
def source_tree(tmp_path_factory) -> Path:
    """A copy of the sources for tests to change."""
    tree = tmp_path_factory.mktemp("sources")
    for package in ("mmctr", "tasks", "flows"):
        shutil.copytree(PROJECT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tree


@pytest.fixture
def from_tree(source_tree, monkeypatch) -> Iterator[Path]:
    """Digests are of the sources in the tree, and taken anew."""
    with digests_of(source_tree):
        yield source_tree


def stage_codes(**sections: Section) -> dict[str, str]:
    """The digest of each stage's code as the sources are now."""
    code_digest.cache_clear()
    return {
        stage: stage_code(f"tasks.{stage}", [sections.get(stage, FOUND_OUT.get(stage, Section()))]) for stage in STAGES
    }


@rows("Code")
def test_a_changed_statement(name, words, from_tree):
    before = stage_codes()
    changed = [
        module for package in ("mmctr", "tasks", "flows") for module in modules(package) if row_of(module) == name
    ]
    assert changed
    with ExitStack() as changes:
        for path in [source(from_tree, module) for module in changed]:
            changes.enter_context(replaced(path, path.read_bytes() + b"\nADDED = 1\n"))
        after = stage_codes()
    assert [stage for stage in STAGES if before[stage] != after[stage]] == stages_that_run(words, handed_on=False)


@pytest.mark.parametrize("words", sorted({tuple(words) for words in table("Code").values()}))
def test_a_changed_statement_is_planned(words, from_tree, planned, monkeypatch):
    """The first module of each pattern of words in the table."""
    name = next(name.strip("`") for name, row in table("Code").items() if tuple(row) == words)
    monkeypatch.setattr("flows.run.inputs.check_inputs", lambda *args, **kwargs: None)
    path = source(from_tree, name.removesuffix(".*"))
    with replaced(path, path.read_bytes() + b"\nADDED = 1\n"):
        code_digest.cache_clear()
        assert_planned(planned(), list(words))


KIND_OF = {
    **{f"mmctr.images.sources.{kind}": kind for kind in get_args(Kind)},
    **{f"mmctr.images.tar.{part}": "tar" for part in ("content", "headers")},
}


CHOSEN_BY = {
    "mmctr.embedding.sources.columns": EmbedConfig(source="columns", columns=("a",)),
    **{
        f"mmctr.encoders.{module}": EmbedConfig(model="open_clip:ViT-B-32/laion2b_s34b_b79k")
        for module in ("kinds.open_clip", "open_clip", "open_clip_weights")
    },
}


@rows("Components")
def test_a_component_counts_where_it_is_chosen(name, words, from_tree):
    choosing = {
        "embed": CHOSEN_BY.get(name, EmbedConfig(image_precision="int8")),
        "extract": ImageSource(kind=KIND_OF.get(name, "rar")),
    }
    before = stage_codes(), stage_codes(**choosing)
    path = source(from_tree, name)
    with replaced(path, path.read_bytes() + b"\nADDED = 1\n"):
        after = stage_codes(), stage_codes(**choosing)
    assert after[0] == before[0]
    assert [stage for stage in STAGES if before[1][stage] != after[1][stage]] == stages_that_run(words, handed_on=False)


def change_comments(tree: Path) -> None:
    for module in modules("mmctr") | modules("tasks"):
        syntax = parsed(source(tree, module).read_bytes())
        for node in ast.walk(syntax):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node) is not None:
                node.body[0] = ast.Expr(ast.Constant("other words"))
        source(tree, module).write_text(f"# a comment\n\n{ast.unparse(syntax)}\n")


def change_errors(tree: Path) -> None:
    for module in modules("mmctr") | {f"tasks.{stage}" for stage in STAGES}:
        source(tree, module).write_text(reworded(source(tree, module).read_text())[0])


def change_log_lines(tree: Path) -> None:
    for module in modules("mmctr"):
        path, before = source(tree, module), source(tree, module).read_text()
        path.write_text(before + "\nimport logging\nlogger = logging.getLogger(__name__)\nlogger.info('loaded')\n")


def change_neutral_modules(tree: Path) -> None:
    for module in NEUTRAL:
        source(tree, module).write_text("CHANGED = 1\n")


def add_components(tree: Path) -> None:
    package = source(tree, "mmctr.encoders.clip_cpu.matmul").parent
    (package / "int4.py").write_text("import torch\nCOMPONENT = None\n")
    (package / "int8.py").write_text("CHANGED = 1\n")


NEVER = "What never counts"
NOTHING = {
    "comments, docstrings and layout": change_comments,
    "the text of an error": change_errors,
    "a line that logs": change_log_lines,
    "a neutral module": change_neutral_modules,
    "a component that the run does not use": add_components,
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_no_change(name, source_tree, planned, tmp_path):
    tree = Path(shutil.copytree(source_tree, tmp_path / "sources"))
    with digests_of(tree):
        NOTHING[name](tree)
        assert any(
            path.read_bytes() != (tree / path.relative_to(source_tree)).read_bytes()
            for path in source_tree.rglob("*.py")
        )
        assert_planned(planned(), table(NEVER)[name])


class NewerTrainConfig(TrainConfig):
    width: int = 8


def test_a_new_setting_at_its_default(original, planned):
    config = settings(original.base)
    train = NewerTrainConfig(**config.train.model_dump())
    assert_planned(planned(config.model_copy(update={"train": train})), table(NEVER)["a new setting at its default"])


# Packages


def test_every_package_has_a_row():
    packages = {f"`{name}`" for name in KEYED_PACKAGES}
    assert packages == {name for name in table("Packages") if name.startswith("`")}


def raised(number: str, place: int) -> str:
    numbers = [*number.split("+")[0].split("."), "0"]
    return ".".join([*numbers[:place], str(int(numbers[place]) + 1), *numbers[place + 1 :]])


@rows("Packages")
def test_package(name, words, planned, monkeypatch):
    if name == "Python":
        newer = SimpleNamespace(major=3, minor=99)
        known = SimpleNamespace(version_info=newer, stdlib_module_names=sys.stdlib_module_names)
        monkeypatch.setattr("tasks.cache.code_digest.sys", known)
    if name in KEYED_PACKAGES:
        other = {name: raised(version(name), 0 if name in CONTAINERS else 1)}
    else:
        other = {package: raised(version(package), 2) for package in KEYED_PACKAGES}
        if name == "the second number of a container":
            other = {package: raised(version(package), 1) for package in CONTAINERS}
    monkeypatch.setattr("tasks.cache.code_digest.version", lambda package: other.get(package) or version(package))
    code_digest.cache_clear()
    try:
        assert_planned(planned(), words)
    finally:
        code_digest.cache_clear()

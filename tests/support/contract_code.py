"""The table `Code` of docs/cache-contract.md: `python tests/support/contract_code.py` writes it. Review the difference.

A stage runs where a changed module counts in its code, and follows where a stage before it runs or follows.
"""

from pathlib import Path

from cache_contract import CACHED, FOLLOWS, PAGE, RUNS, STAGES, section
from project import PROJECT

from tasks.cache.code_digest import counted_modules
from tasks.settings.archive import ImageSource
from tasks.settings.base import Section
from tasks.settings.items import EmbedConfig
from tasks.settings.model import ModelConfig

# Sections whose components count in the challenge's runs: one that a run makes itself, and those that a user may set.
FOUND_OUT: dict[str, Section] = {
    "extract": ImageSource(),
    "embed": EmbedConfig(),
    "train": ModelConfig(),
    "predict": ModelConfig(),
}
GROUPS = {"mmctr.demo": "mmctr.demo.*", "tasks": "tasks.*", "flows": "flows.*"}  # whose modules have a row together


def modules(package: str) -> set[str]:
    """All modules below a folder of the project."""
    paths = (PROJECT / package).rglob("*.py")
    return {".".join(path.relative_to(PROJECT).with_suffix("").parts).removesuffix(".__init__") for path in paths}


def source(tree: Path, module: str) -> Path:
    """File of a module below `tree`, a copy of the project or the project."""
    path = tree.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def row_of(module: str) -> str:
    """Name of the row that a module has, its own or that of its group."""
    stage = module.removeprefix("tasks.") in STAGES
    return next((row for group, row in GROUPS.items() if f"{module}.".startswith(f"{group}.") and not stage), module)


def code_table() -> dict[str, list[str]]:
    """Rows of the table, as the import graph says them."""
    counted = {stage: _counted(stage) for stage in STAGES}
    rows = {}
    for module in sorted(modules("mmctr")) + [f"tasks.{stage}" for stage in STAGES] + ["tasks", "flows"]:
        words: list[str] = []
        for stage in STAGES:
            before = CACHED if set(words) <= {CACHED} else FOLLOWS
            words.append(RUNS if module in counted[stage] else before)
        assert rows.setdefault(row_of(module), words) == words, f"{module} needs a row of its own"
    return {f"`{name}`": words for name, words in rows.items()}


def _counted(stage: str) -> frozenset[str]:
    """Modules that count in a stage, with the components of what a run of the challenge's data finds out."""
    components = FOUND_OUT[stage].components() if stage in FOUND_OUT else []
    return frozenset().union(*map(counted_modules, [f"tasks.{stage}", *components]))


if __name__ == "__main__":
    lines = [f"| module | {' | '.join(STAGES)} |", f"|{'---|' * (1 + len(STAGES))}"]
    lines += [f"| {' | '.join([name, *words])} |" for name, words in code_table().items()]
    page, old = PAGE.read_text(), section("Code")
    before, after = old.split("| module |")[0], old.rpartition("|\n")[2]
    PAGE.write_text(page.replace(old, f"{before}{chr(10).join(lines)}\n{after}"))

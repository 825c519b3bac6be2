"""A BASE_PATH after a run of the pipeline, what can be changed in it, and the next run."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import rars
import torch
from cache_contract import STAGES
from mlflow import MlflowClient

from flows.pipeline import pipeline
from flows.run.summary import Summary
from mmctr.inputs.layout import MICROLENS_1M
from tasks.cache.results import Result, ResultSerializer
from tasks.cache.workspace import PUBLIC
from tasks.settings.load import load_config
from tasks.settings.sections import PipelineConfig

TINY = [
    *("train.epochs=1", "train.batch_size=512", "train.max_len=8", "embed.workers=0"),
    *('model.sequence=[{kind="target_attention", hidden=[4]}]', 'model.head={kind="mlp", hidden=[4]}'),
    "promote.publish=latest",  # what a run makes is looked at, whichever model is the champion
]
INPUTS = ("items", "images", "train", "valid", "test", "clip_model")


@dataclass(frozen=True)
class Finished:
    """A BASE_PATH after one run."""

    base: Path
    first: Summary
    outputs: dict[str, bytes]
    client: MlflowClient

    def records(self) -> dict[str, Path]:
        """Record files by stage."""
        files = (self.base / ".mmctr/records").iterdir()
        return {json.loads(json.loads(path.read_bytes())["result"])["stage"]: path for path in files}

    def results(self) -> dict[str, Result]:
        """Recorded results by stage."""
        content = {stage: json.loads(path.read_bytes())["result"] for stage, path in self.records().items()}
        return {stage: ResultSerializer().loads(text.encode()) for stage, text in content.items()}

    def made(self, name: str) -> Path:
        """A file that a stage made, such as `reduce/pca.npz`; of several the last."""
        stage, rest = name.split("/", 1)
        return sorted((self.base / ".mmctr/store" / stage).glob(f"*/{rest}"))[-1]

    def restore_mlflow_run(self) -> None:
        """Put back the first run in MLflow, whatever became of it."""
        if self.client.get_run(self.first.mlflow_run).info.lifecycle_stage == "deleted":
            self.client.restore_run(self.first.mlflow_run)
        self.client.set_terminated(self.first.mlflow_run, "FINISHED")


def settings(base: Path, *overrides: str) -> PipelineConfig:
    return load_config(base, overrides=[*TINY, *overrides], device="cpu")


def run(base: Path, *overrides: str) -> Summary:
    return pipeline(settings(base, *overrides))


def outputs(summary: Summary) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in summary.outputs.items()}


def ran(summary: Summary) -> list[str]:
    assert [report.name for report in summary.stages] == STAGES
    return [report.name for report in summary.stages if not report.cached]


def input_path(base: Path, role: str) -> Path:
    names = {"items": "item_feature.parquet", "images": "item_images_2.rar", "clip_model": "tiny_clip.pt"}
    return base / (names.get(role) or getattr(MICROLENS_1M, role))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def rewrite(path: Path, change: Any) -> None:
    change(pl.read_parquet(path).with_row_index("row")).drop("row").write_parquet(path)


def flip_a_label(base: Path, split: str) -> None:
    label = pl.when(pl.col("row") == 0).then(1 - pl.col("label")).otherwise(pl.col("label"))
    rewrite(input_path(base, split), lambda frame: frame.with_columns(label.cast(frame.schema["label"]).alias("label")))


def change_a_title(base: Path) -> None:
    title = pl.when(pl.col("row") == 0).then(pl.lit("another title")).otherwise(pl.col("item_title"))
    rewrite(input_path(base, "items"), lambda frame: frame.with_columns(title.alias("item_title")))


def pack_anew(world: Finished, *, without: int = 0) -> None:
    images = sorted(world.made("extract/images/manifest.parquet").parent.glob("*.jpg"))
    archive = rars.RarBuilder(store=True)
    for path in images[without:]:
        archive.add_bytes(path.read_bytes(), path.name, mtime=0)
    archive.write(str(input_path(world.base, "images")))


def change_weights(path: Path) -> None:
    weights = torch.load(path, weights_only=True)
    weights["text_projection"] *= -1
    torch.save(weights, path)


def touch_inputs(base: Path) -> None:
    for role in INPUTS:
        os.utime(input_path(base, role))


def spoil(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def spoil_records(world: Finished) -> None:
    for path in world.records().values():
        path.write_bytes(b"garbage")


def exchange_records(world: Finished) -> None:
    contents = {path: path.read_bytes() for path in world.records().values()}
    for path, content in zip(contents, [*list(contents.values())[1:], *list(contents.values())[:1]], strict=True):
        path.write_bytes(content)


def copied(world: Finished) -> Path:
    """A copy of BASE_PATH, after which the original holds nothing of use."""
    copy = Path(shutil.copytree(world.base, world.base.with_name("copy")))
    for path in world.base.rglob("*"):
        if path.is_file():
            path.write_bytes(b"garbage")
    return copy


def linked(world: Finished) -> Path:
    link = world.base.with_name("link")
    link.symlink_to(world.base, target_is_directory=True)
    return link


def elsewhere(world: Finished) -> Path:
    return Path(shutil.copytree(world.base, world.base.with_name("new"), ignore=shutil.ignore_patterns(".mmctr")))


# What is done before the run that is looked at. It gives overrides, another BASE_PATH, or nothing.
CHANGES: dict[str, Any] = {
    "`items`: a title": lambda world: change_a_title(world.base),
    "`images`: one image less": lambda world: pack_anew(world, without=1),
    "`train`: a label": lambda world: flip_a_label(world.base, "train"),
    "`valid`: a label": lambda world: flip_a_label(world.base, "valid"),
    "`test`: a row less": lambda world: rewrite(input_path(world.base, "test"), lambda frame: frame.head(-1)),
    "`clip_model`: its weights": lambda world: change_weights(world.base / "tiny_clip.pt"),
    "`reduce.n_components`": lambda world: ["reduce.n_components=64"],
    "`train.learning_rate`": lambda world: ["train.learning_rate=0.01"],
}
WITHOUT_EFFECT: dict[str, Any] = {
    "nothing": lambda world: None,
    "every input touched, the bytes as before": lambda world: touch_inputs(world.base),
    "`images`: packed anew, the images as before": pack_anew,
    "`extract.max_member_mib`": lambda world: ["extract.max_member_mib=65"],
    "`embed.max_failure_share`": lambda world: ["embed.max_failure_share=0.5"],
    "`embed.image_batch`": lambda world: ["embed.image_batch=64"],
    "`embed.workers`": lambda world: ["embed.workers=1"],
    "`predict.batch_size`": lambda world: ["predict.batch_size=64"],
    "`train.learning_rate` and back": lambda world: run(world.base, "train.learning_rate=0.01") and None,
    "an image: a byte flipped": lambda world: spoil(
        path := world.made("extract/images/*.jpg"), flipped(path.read_bytes())
    ),
    "`embeddings.parquet` cut off": lambda world: spoil(world.made("embed/embeddings.parquet"), b"PAR1"),
    "`pca.npz` deleted": lambda world: spoil(world.made("reduce/pca.npz"), None),
    "`item_table.npz`: a byte flipped": lambda world: spoil(
        path := world.made("build_weights/item_table.npz"), flipped(path.read_bytes())
    ),
    "`task1and2_best.pt` deleted": lambda world: spoil(world.made("train/task1and2_best.pt"), None),
    "`prediction.zip` cut off": lambda world: spoil(world.made("predict/prediction.zip"), b"PK"),
    "all records garbage": spoil_records,
    "all records exchanged": exchange_records,
    "the MLflow run marked as failed": lambda world: world.client.set_terminated(world.first.mlflow_run, "FAILED"),
    "the MLflow run deleted": lambda world: world.client.delete_run(world.first.mlflow_run),
    "the published files deleted": lambda world: [spoil(path, None) for path in published(world)] and None,
    "a published file overwritten": lambda world: spoil(published(world)[0], b"mine"),
    "BASE_PATH renamed": lambda world: world.base.rename(world.base.with_name("renamed")),
    "BASE_PATH copied": copied,
    "BASE_PATH reached through a link": linked,
    "the inputs copied to another BASE_PATH": elsewhere,
}


def published(world: Finished) -> list[Path]:
    return [world.base / place for place in PUBLIC.values()]

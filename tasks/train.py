"""Stage 5: the click model."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmctr.inputs.layout import ClickColumns, Half, HeldOut, ItemColumns
from tasks.cache.results import Trained
from tasks.cache.stage import RunContext, logger, own_folder, own_work, stage
from tasks.cache.workspace import STORED, FileRef, PartsRef, Workspace
from tasks.settings.model import ModelConfig
from tasks.settings.named import settings_named
from tasks.settings.train import TrainConfig
from tasks.tracking.lineage import Lineage
from tasks.tracking.page import show_auc_plot
from tasks.tracking.shown_training import ShownTraining
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import MEMORY, TrainingRun, training_run
from tasks.tracking.trial import Trial

if TYPE_CHECKING:  # PyTorch is loaded when there is something to train
    from mmctr.clicks.batch import ClickSplit
    from mmctr.clicks.feature_encoding import FeatureEncoding
    from mmctr.clicks.item_table import ItemTable
    from mmctr.models.architecture import Architecture
    from mmctr.models.checkpoint import Checkpoint
    from mmctr.training.state import Epoch

EPOCHS = "epochs.json"


@stage
def train(
    context: RunContext,
    *,
    config: TrainConfig,
    model: ModelConfig,
    columns: ClickColumns,
    user: str,
    train: PartsRef,
    valid: PartsRef,
    held_out: HeldOut | None,
    table: FileRef,
    items: PartsRef | None,
    item_columns: ItemColumns | None,
    earlier: FileRef | None,
    half: Half | None,
    trial: Trial,
    tracker: Tracker,
    lineage: Lineage,
) -> Trained:
    """Write the best checkpoint and the epochs, logged to MLflow as they come; resumes where a killed run stopped.

    `columns` are those of the click logs, and `user` that of users, which need not be there. `held_out` says which rows
    of `train` stand for `valid`, which is the same log then. `items`, with their columns, is the item table where items
    have features. With a checkpoint of an `earlier` model, training starts from its weights. A `trial` validates by
    `half` of `valid` and logs figures alone.
    """
    from mmctr.compute.device import resolve_device
    from mmctr.training.loop import train_model
    from mmctr.training.recipe import Recipe

    workspace, work, device = context.workspace, own_work(context.workspace), resolve_device(context.device)
    with settings_named("train"):
        clicks = _open(
            workspace, config, columns=columns, user=user, train=train, valid=valid, held_out=held_out, table=table
        )
    if half is not None:
        clicks = _with_half(workspace, clicks, half, valid=valid, label=columns.label, held_out=held_out)
    if items is not None and item_columns is not None:
        clicks = _with_item_features(workspace, clicks, items=items, columns=item_columns)
    recipe = Recipe(**{name: getattr(config, name) for name in Recipe.__dataclass_fields__})
    start = _load(workspace, earlier)
    settings = {"train": config, "model": model}
    recorded = training_run(
        tracker, work / MEMORY, settings=settings, lineage=lineage, rows=len(clicks.train), trial=trial
    )
    with trial.hopeless_is_pruned(), recorded as run, settings_named("train"):
        # settings are named within: what MLflow keeps of a failure names them too
        run.log_device(device)
        logger().info("training on %s, %d rows, MLflow run %s", device, len(clicks.train), run.run_id)
        shown = ShownTraining(run, trial)
        checkpoint, history = train_model(
            clicks.items,
            clicks.train,
            clicks.valid,
            architecture=_architecture(model, clicks),
            recipe=recipe,
            max_len=config.max_len,
            columns=columns,
            row_encoding=clicks.row_encoding,
            item_encoding=clicks.item_encoding,
            device=device,
            earlier=start,
            state=work / "training.pt",
            on_epoch=shown.add_epoch,
            on_rows=shown.show_progress,
        )
        shown.end()
        made = _write(workspace, own_folder(workspace), checkpoint, history, run_id=run.run_id)
        run.log_outcome(history, best=checkpoint.metrics)
        if not trial.is_one:
            log_model(run, made, lineage=lineage, workspace=workspace)
    return made


@dataclass(frozen=True)
class Clicks:
    """What a model learns from: the items, the clicks of both splits by position among them, how features are read."""

    items: "ItemTable"
    train: "ClickSplit"
    valid: "ClickSplit"
    row_encoding: "FeatureEncoding"
    item_encoding: "FeatureEncoding"


def _open(
    workspace: Workspace,
    config: TrainConfig,
    *,
    columns: ClickColumns,
    user: str,
    train: PartsRef,
    valid: PartsRef,
    held_out: HeldOut | None,
    table: FileRef,
) -> Clicks:
    """The item table and the clicks; features of rows are fitted to the training clicks.

    Users of train are read only where its rows are to be compared.
    """
    from mmctr.clicks.feature_encoding import FeatureEncoding
    from mmctr.clicks.feature_fitting import fit_rows
    from mmctr.clicks.item_table import load_item_table
    from mmctr.clicks.split import load_split
    from mmctr.clicks.users import has_column

    with workspace.reading(table) as file:
        items = load_item_table(file)
    parts = {part: held_out and replace(held_out, part=part) for part in ("train", "valid")}
    with workspace.reading_table(train) as files:
        encoding = fit_rows(files, columns=columns, held_out=parts["train"])
    splits = {}
    for part, ref in (("train", train), ("valid", valid)):
        with workspace.reading_table(ref) as files:
            of_users = (part == "valid" or config.pairwise_weight > 0) and has_column(files, user)
            splits[part] = load_split(
                files,
                table=items,
                columns=columns,
                encoding=encoding,
                max_len=config.max_len,
                with_label=True,
                user=user if of_users else "",
                held_out=parts[part],
            )
    return Clicks(items, **splits, row_encoding=encoding, item_encoding=FeatureEncoding())


def _with_item_features(workspace: Workspace, clicks: Clicks, *, items: PartsRef, columns: ItemColumns) -> Clicks:
    """The same with the features of items, fitted to those that the training clicks have."""
    from mmctr.clicks.feature_fitting import fit_items

    with workspace.reading_table(items) as files:
        table, encoding = fit_items(files, columns=columns, table=clicks.items, train=clicks.train)
    return replace(clicks, items=table, item_encoding=encoding)


def _with_half(
    workspace: Workspace, clicks: Clicks, half: Half, *, valid: PartsRef, label: str, held_out: HeldOut | None
) -> Clicks:
    """The same with one half of the validation clicks."""
    import torch

    from mmctr.evaluation.halves import rows_of

    with workspace.reading_table(valid) as files:
        kept = rows_of(half, files, label=label, held_out=held_out)
    return replace(clicks, valid=clicks.valid.only(torch.from_numpy(kept.nonzero()[0])))


def _load(workspace: Workspace, checkpoint: FileRef | None) -> "Checkpoint | None":
    from mmctr.models.checkpoint import load_checkpoint

    if checkpoint is None:
        return None
    with workspace.reading(checkpoint) as file:
        return load_checkpoint(file)


def _architecture(model: ModelConfig, clicks: Clicks) -> "Architecture":
    from mmctr.models.architecture import Architecture

    return Architecture(
        num_items=len(clicks.items.ids),
        dim=clicks.items.weights.shape[1],
        row_features=clicks.row_encoding.sized,
        item_features=clicks.item_encoding.sized,
        **model.parts,
    )


def _write(
    workspace: Workspace, folder: Path, checkpoint: "Checkpoint", history: "list[Epoch]", *, run_id: str
) -> Trained:
    """Write the stage's files; returns its result."""
    from mmctr.common.files import write_bytes
    from mmctr.models.checkpoint import save_checkpoint

    best = checkpoint.metrics
    save_checkpoint(checkpoint, folder / STORED["checkpoint"])
    write_bytes(folder / EPOCHS, json.dumps([epoch.figures for epoch in history], indent=1).encode())
    return Trained(
        checkpoint=workspace.file_ref(folder / STORED["checkpoint"]),
        history=workspace.file_ref(folder / EPOCHS),
        best_epoch=int(best["epoch"]),
        valid_auc=best["valid_auc"],
        valid_logloss=best["valid_logloss"],
        run_id=run_id,
    )


def log_model(run: TrainingRun, made: Trained, *, lineage: Lineage, workspace: Workspace) -> None:
    """Log the files and the models of a training to MLflow."""
    checkpoint, epochs = workspace.path(made.checkpoint), workspace.path(made.history)
    show_auc_plot(run.tracker, run.run_id)
    run.log_files(workspace, lineage=lineage, checkpoint=checkpoint, epochs=epochs)
    run.log_models(checkpoint=checkpoint, pca=None if lineage.pca is None else workspace.path(lineage.pca))

"""Stage 5: the deep interest network."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from tasks.cache.results import Trained
from tasks.cache.stage import RunContext, current_key, logger, stage
from tasks.cache.workspace import FileRef
from tasks.running.progress import ProgressArtifact
from tasks.settings.named import settings_named
from tasks.settings.sections import TrainConfig
from tasks.tracking.lineage import Lineage
from tasks.tracking.page import EpochTable, show_auc_plot, show_link
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import MEMORY, training_run

if TYPE_CHECKING:  # PyTorch is loaded when there is something to train
    from mmctr.training.state import Epoch

REPRODUCIBLE = ("epoch", "train_loss", "valid_auc", "valid_logloss", "learning_rate")  # of an epoch; speed is not


@stage
def train(
    context: RunContext,
    *,
    config: TrainConfig,
    train: FileRef,
    valid: FileRef,
    table: FileRef,
    earlier: FileRef | None,
    lineage: Lineage,
) -> Trained:
    """Write the best checkpoint and the epochs, told to MLflow as they come; goes on where a killed run stopped.

    With a checkpoint of an `earlier` model, training starts from its weights.
    """
    from mmctr.clicks.item_table import load_item_table
    from mmctr.clicks.split import load_split
    from mmctr.common.files import write_bytes
    from mmctr.compute.device import resolve_device
    from mmctr.models.checkpoint import Architecture, load_checkpoint, save_checkpoint
    from mmctr.training.loop import train_din
    from mmctr.training.recipe import Recipe

    workspace, key = context.workspace, current_key()
    folder, work = workspace.store("train", key), workspace.work("train", key)
    device = resolve_device(context.device)
    with workspace.reading(table) as table_file:
        items = load_item_table(table_file)
    splits = []
    for ref in (train, valid):
        with workspace.reading(ref) as log:
            splits.append(load_split(log, table=items, max_len=config.max_len, with_label=True))
    clicks, held_out = splits
    start = None
    if earlier is not None:
        with workspace.reading(earlier) as checkpoint_file:
            start = load_checkpoint(checkpoint_file)
    architecture = Architecture(
        num_items=len(items.item_ids),
        dim=items.weights.shape[1],
        attention_hidden=list(config.attention_hidden),
        tower_hidden=list(config.tower_hidden),
        dropout=config.dropout,
        freeze=config.freeze,
    )
    recipe = Recipe(**{name: getattr(config, name) for name in Recipe.__dataclass_fields__})

    tracker = Tracker(context.tracking_uri, context.experiment, pauses=context.pauses)
    recorded = training_run(tracker, work / MEMORY, config=config, lineage=lineage, rows=len(clicks))
    with recorded as run, settings_named("train"):  # within: what MLflow keeps of a failure names settings too
        run.log_device(device)
        logger().info("training on %s, %d rows, MLflow run %s", device, len(clicks), run.run_id)

        show_link(tracker, run.run_id)
        show_progress = ProgressArtifact("training, rows of all epochs that are allowed")
        show_epochs, told = EpochTable(), []

        def tell(epoch: "Epoch") -> None:
            run.log_epoch(epoch)
            told.append(figures(epoch))
            show_epochs(told)
            logger().info(
                "epoch %d: train loss %.4f, valid AUC %.4f, valid logloss %.4f, learning rate %.2g, %.0f rows/s",
                *(epoch.epoch, epoch.train_loss, epoch.valid_auc, epoch.valid_logloss),
                *(epoch.learning_rate, epoch.rows_per_second),
            )

        checkpoint, history = train_din(
            items,
            clicks,
            held_out,
            architecture=architecture,
            recipe=recipe,
            max_len=config.max_len,
            device=device,
            earlier=start,
            state=work / "training.pt",
            on_epoch=tell,
            on_rows=show_progress,
        )
        show_progress(1, 1)  # it may have stopped early
        show_epochs(told, last=True)
        best, best_file = checkpoint.metrics, folder / "task1and2_best.pt"
        save_checkpoint(checkpoint, best_file)
        write_bytes(folder / "epochs.json", json.dumps([figures(epoch) for epoch in history], indent=1).encode())
        run.log_outcome(history, best=best)
        show_auc_plot(tracker, run.run_id)
        run.log_files(workspace, lineage=lineage, checkpoint=best_file, epochs=folder / "epochs.json")
        run.log_models(checkpoint=best_file, pca=workspace.path(lineage.pca))
    return Trained(
        checkpoint=workspace.file_ref(best_file),
        history=workspace.file_ref(folder / "epochs.json"),
        best_epoch=int(best["epoch"]),
        valid_auc=best["valid_auc"],
        valid_logloss=best["valid_logloss"],
        run_id=run.run_id,
    )


def figures(epoch: "Epoch") -> dict[str, float]:
    """What of an epoch is the same each time that it is trained."""
    return {name: value for name, value in asdict(epoch).items() if name in REPRODUCIBLE}

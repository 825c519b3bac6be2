"""Training, prediction and evaluation beside the padded reference, FuxiCTR, bare matrix products and scikit-learn."""

import copy
from collections.abc import Callable
from pathlib import Path

import fuxictr_peer
import numpy as np
import organisers as organisers_model
import torch
from matrix_work import Linear, bare, din_layers, operations, organisers_layers, square
from padded_din import PaddedClicks, PaddedDIN, padded_loader
from real_shape import item_table, write_clicks
from side_by_side import Row, in_turn
from sklearn.metrics import roc_auc_score
from torch import nn

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.item_table import ItemTable
from mmctr.clicks.split import load_split
from mmctr.compute.memory import kept_memory
from mmctr.compute.numerics import deterministic
from mmctr.evaluation.metrics import auc
from mmctr.evaluation.prediction import predict_logits
from mmctr.models.architecture import Architecture, ItemOptions
from mmctr.models.base import ClickModel
from mmctr.models.items.fitting import fit_item_encoder
from mmctr.training.epoch import train_epoch
from mmctr.training.recipe import Recipe
from mmctr.training.state import PartialEpoch
from mmctr.training.step import Learner, smoothed_loss, train_step

TRAIN_ROWS, TEST_ROWS, BATCH, PADDED_SHARE = 200_000, 379_142, 4096, 8
ORGANISERS_BATCH, OUR_STEPS = 8192, 8


def train(folder: Path) -> list[Row]:
    """An epoch with clipping and AdamW; the padded side takes an eighth of the rows, since it is slow."""
    path = write_clicks(folder / "train200k.parquet", TRAIN_ROWS)
    few = write_clicks(folder / "train25k.parquet", TRAIN_ROWS // PADDED_SHARE, seed=1)
    table = item_table()
    split, padded = load_split(path, table=table, with_label=True), PaddedClicks(few, table=table)
    rows, recipe = [], Recipe(batch_size=BATCH)
    for freeze in (False, True):
        model = started(table, freeze=freeze)
        reference = PaddedDIN(copy.deepcopy(model))
        ours = Learner(model, recipe=recipe)
        peers = torch.optim.AdamW([w for w in reference.parameters() if w.requires_grad], weight_decay=1e-4)
        seconds, peer_seconds = in_turn(
            lambda m=model, o=ours: train_epoch(m, split, o, recipe=recipe, partial=PartialEpoch(1)),
            lambda m=reference, o=peers: padded_epoch(m, padded, o),
        )
        name = "frozen item embeddings" if freeze else "trained item embeddings"
        speeds = (TRAIN_ROWS / seconds, len(padded) / peer_seconds)
        rows.append(Row(f"train, {name}", *speeds, "rows/s", "padded Dataset + DataLoader", "15 x", 5))
    return rows


def started(table: ItemTable, *, freeze: bool) -> ClickModel:
    """The challenge's baseline before its first step."""
    torch.manual_seed(0)
    item = ItemOptions(content="frozen" if freeze else "trained")
    model = ClickModel(Architecture(len(table.ids), 128, item=item))
    model.set_items(table)
    return model


def stepping(table: ItemTable, *, recipe: Recipe, freeze: bool) -> tuple[ClickModel, Learner]:
    """The same with what changes its weights, ready for `train_step`."""
    model = started(table, freeze=freeze).train()
    learner = Learner(model, recipe=recipe)
    learner.begin()
    return model, learner


def padded_epoch(model: PaddedDIN, clicks: PaddedClicks, optimizer: torch.optim.Optimizer) -> None:
    """An epoch as most code has it."""
    model.train()
    for *columns, label in padded_loader(clicks, batch_size=BATCH):
        loss = smoothed_loss(model(*columns), label, smoothing=0.01)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()


def organisers(folder: Path) -> list[Row]:
    """Eight steps of the organisers' architecture on 8,192 rows each, beside FuxiCTR's step on the first of them.

    Raises:
        MissingPeer: FuxiCTR is not installed.
    """
    table = organisers_model.tagged(item_table())
    peer = fuxictr_peer.peer(table, folder=folder).train()
    split = load_split(write_clicks(folder / "train200k.parquet", TRAIN_ROWS), table=table, with_label=True)
    batches = list(split.batches(ORGANISERS_BATCH))[:OUR_STEPS]
    model, learner = organisers_started(table, split)
    recipe = organisers_model.recipe()

    def ours() -> None:
        with deterministic(), kept_memory():  # as an epoch has it; the peer runs as it comes
            for batch in batches:
                train_step(model, batch, learner, recipe=recipe)

    seconds, peer_seconds = in_turn(ours, lambda: peer.train_step(fuxictr_peer.padded(batches[0], table)), repeats=3)
    speeds = (OUR_STEPS * ORGANISERS_BATCH / seconds, ORGANISERS_BATCH / peer_seconds)
    return [Row("train, the organisers' architecture", *speeds, "rows/s", "FuxiCTR 2.3.7, batch 8192", "20 x", 3)]


def organisers_started(table: ItemTable, split: ClickSplit) -> tuple[ClickModel, Learner]:
    """The preset `organisers` before its first step."""
    torch.manual_seed(0)
    model = ClickModel(organisers_model.architecture(table)).train()
    model.set_items(table)
    fit_item_encoder(model.items, split)
    learner = Learner(model, recipe=organisers_model.recipe())
    learner.begin()
    return model, learner


def share(folder: Path) -> list[Row]:
    """How much of the matrix products' rate a training step reaches, beside the same products run bare, and squares."""
    table = item_table()
    split = load_split(write_clicks(folder / "train200k.parquet", TRAIN_ROWS), table=table, with_label=True)
    order = torch.randperm(TRAIN_ROWS, generator=torch.Generator().manual_seed(0))
    rows, recipe = [], Recipe(batch_size=BATCH)
    for freeze in (False, True):
        model, learner = stepping(table, recipe=recipe, freeze=freeze)
        layers = din_layers(model, rows=BATCH, items=len(split.take(order[:BATCH]).history))
        name = f"challenge's baseline, {'frozen' if freeze else 'trained'} items"
        rows += shares(
            name, lambda m=model, o=learner: train_step(m, split.take(order[:BATCH]), o, recipe=recipe), layers
        )
    table = organisers_model.tagged(table)
    model, learner = organisers_started(table, split)
    batch, recipe = split.take(order[:ORGANISERS_BATCH]), organisers_model.recipe()
    different = len(torch.cat([batch.target, batch.history]).unique())
    layers = organisers_layers(model, rows=ORGANISERS_BATCH, items=len(batch.history), different=different)
    return rows + shares(
        "the organisers' architecture", lambda: train_step(model, batch, learner, recipe=recipe), layers
    )


def shares(name: str, step: Callable[[], object], layers: list[Linear]) -> list[Row]:
    """Two rows: GFLOP/s of the step by its products' operations, beside the bare rate and that of squares."""
    needed = operations(layers)
    squares, in_squares = square(needed)
    rows = []
    with deterministic(), kept_memory():  # as an epoch has it
        for beside, run, count in (
            ("its products, bare", bare(layers), needed),
            ("square products", squares, in_squares),
        ):
            seconds, bare_seconds = in_turn(step, run, repeats=7)
            speeds = (needed / seconds / 1e9, count / bare_seconds / 1e9)
            rows.append(Row(f"train step, {name}", *speeds, "GFLOP/s", beside, "0.5 x", 7))
    return rows


def predict(folder: Path) -> list[Row]:
    """Logits of the whole test split; the padded side takes an eighth."""
    table = item_table()
    split = load_split(write_clicks(folder / "test379k.parquet", TEST_ROWS, seed=2), table=table, with_label=False)
    few = PaddedClicks(write_clicks(folder / "test47k.parquet", TEST_ROWS // PADDED_SHARE, seed=3), table=table)
    model = ClickModel(Architecture(len(table.ids), 128)).eval()
    reference = PaddedDIN(copy.deepcopy(model)).eval()

    @torch.inference_mode()
    def padded() -> None:
        for *columns, _ in padded_loader(few, batch_size=8192, shuffle=False):
            torch.sigmoid(reference(*columns))

    seconds, peer_seconds = in_turn(lambda: predict_logits(model, split, batch_size=8192), padded)
    speeds = (TEST_ROWS / seconds, len(few) / peer_seconds)
    return [Row("predict", *speeds, "rows/s", "padded Dataset + DataLoader", "15 x", 5)]


def evaluate(_: Path) -> list[Row]:
    """AUC of as many rows as the test split has."""
    rng = np.random.default_rng(0)
    labels = (rng.random(TEST_ROWS) < 0.25).astype(np.float32)
    logits = (rng.normal(size=TEST_ROWS) + labels).astype(np.float32)
    assert abs(auc(labels, logits) - roc_auc_score(labels, logits)) < 1e-12
    seconds = in_turn(lambda: auc(labels, logits), lambda: roc_auc_score(labels, logits), repeats=11)
    return [Row("AUC of 379,142 rows", *seconds, "s", "scikit-learn", "1 x", 11, higher_is_better=False)]

"""Small trainings that take a second."""

from dataclasses import asdict, replace

import numpy as np
import torch
from generated import click_split, din, item_table

from mmctr.training.loop import fit
from mmctr.training.recipe import Recipe


def setting(*, rows=256, planted=True, dropout=0.2, seed=0):
    """A model with its train and valid split; equal arguments give equal ones."""
    rng = np.random.default_rng(seed)
    table = item_table(rng)
    train = click_split(rng, table, rows=rows, planted=planted)
    valid = click_split(rng, table, rows=rows, planted=planted)
    return din(table, dropout=dropout), train, valid


def run(recipe, *, state=None, on_epoch=lambda _: None, **options):
    model, train, valid = setting(**options)
    return fit(model, train, valid, recipe=recipe, state=state, on_epoch=on_epoch, progress=False)


def figures(done):
    return [{k: v for k, v in asdict(epoch).items() if k != "rows_per_second"} for epoch in done.history]


SHORT = Recipe(epochs=6, batch_size=32, learning_rate=3e-3, patience=6)


def with_users(setting, *, rows=4):
    """The same setting with `rows` rows of each user, of both splits."""
    model, *splits = setting
    users = [torch.arange(len(split), dtype=torch.int32) // rows for split in splits]
    return (model, *(replace(split, user=user) for split, user in zip(splits, users, strict=True)))

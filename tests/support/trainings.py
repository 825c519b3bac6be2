"""Trainings that are there already, without their making: on a real MLflow store, with small models and clicks."""

import shutil

import numpy as np
import polars as pl
from generated import architecture, din, item_table
from generated import checkpoint as small_checkpoint
from prefect.logging import disable_run_logger

from mmctr.clicks.split import load_split
from mmctr.embedding.pca import save_pca, write_item_embeddings
from mmctr.embedding.reduction import reduce_embeddings
from mmctr.inputs.layout import MICROLENS_1M, ClickColumns
from mmctr.models.checkpoint import save_checkpoint
from mmctr.training.loop import train_model
from mmctr.training.recipe import Recipe
from tasks.cache.results import Trained
from tasks.cache.stage import RunContext
from tasks.cache.workspace import FileRef, Workspace
from tasks.promote import promote
from tasks.settings.sections import PipelineConfig, PromoteConfig
from tasks.tracking.ancestor import find_ancestor, space_of_run
from tasks.tracking.registry import CHAMPION, Registry
from tasks.tracking.store import Tracker

DIGESTS = {name: f"{name}-1" for name in ("items", "images", "train", "valid", "test", "clip_model")}


def fitted_pca(seed):
    return reduce_embeddings(np.random.default_rng(seed).normal(size=(20, 6)).astype(np.float32), n_components=3).pca


LEARNED = {}  # weights by the number of epochs: learned once for all tests


class World:
    """Trainings that are there already, without their making."""

    def __init__(self, folder, tracking_uri):
        self.context = RunContext(workspace=Workspace(folder), device="cpu")
        self.workspace = self.context.workspace
        self.tracker = Tracker(tracking_uri, "mmctr")
        self.registry = Registry(self.tracker, "mmctr-din")
        self.table = item_table(np.random.default_rng(0))
        self.folder = folder

    def valid(self, seed=0):
        """Clicks of which the first dimension of the target's vector says whether they are clicks."""
        rng = np.random.default_rng(seed)
        target = rng.choice(self.table.ids.values, 300)
        frame = pl.DataFrame(
            {
                "item_seq": [rng.choice(self.table.ids.values, 5).tolist() for _ in target],
                "item_id": target,
                "likes_level": rng.integers(1, 11, len(target)),
                "views_level": rng.integers(1, 11, len(target)),
                "label": (self.table.weights[self.table.lookup(target)][:, 0] > 0).astype(int),
            }
        )
        path = self.folder / f"valid{seed}.parquet"
        frame.write_parquet(path)
        return self.workspace.file_ref(path)

    def trained(self, *, good, digests=DIGESTS, ancestor="", space=None):
        """A finished training of a model that knows the rule, or of one that knows nothing.

        `space` is that of its PCA; without one the PCA is of an earlier version.
        """
        model, weights = architecture(self.table), din(self.table).state_dict()
        if good:
            if good not in LEARNED:
                split = load_split(self.workspace.path(self.valid(9)), table=self.table, with_label=True)
                settings = {"architecture": model, "recipe": Recipe(epochs=good, batch_size=30, learning_rate=0.01)}
                found, _ = train_model(self.table, split, split, **settings, max_len=64, device="cpu", progress=False)
                LEARNED[good] = found.weights
            weights = LEARNED[good]
        checkpoint = small_checkpoint(self.table, weights=weights, valid_auc=0.5)
        client, experiment = self.tracker.client, self.tracker.experiment_id()
        run_id = client.create_run(experiment).info.run_id
        path = self.folder / run_id / "task1and2_best.pt"
        save_checkpoint(checkpoint, path)
        vectors = self.table.weights[1:] + np.float32(len(self.registry.versions()) + 1)
        write_item_embeddings(pl.Series(self.table.ids.values), vectors, self.item_embeddings(run_id))
        save_pca(fitted_pca(int(run_id[:8], 16)), self.folder / run_id / "pca.npz", space=space)
        client.log_artifact(run_id, str(path), "checkpoint")
        client.log_artifact(run_id, str(self.folder / run_id / "pca.npz"), "pca")
        for name, value in digests.items():
            client.set_tag(run_id, f"digest.{name}", value)
        if ancestor:
            client.set_tag(run_id, "mmctr.ancestor", ancestor)
        client.create_logged_model(experiment, name="din", source_run_id=run_id)
        client.set_terminated(run_id)
        ref = self.workspace.file_ref(path)
        figures = {"best_epoch": 1, "valid_auc": 0.5, "valid_logloss": 0.7}
        return Trained(checkpoint=ref, history=FileRef(path="x", sha256="x"), run_id=run_id, **figures)

    def promote(self, trained, *, valid=None, digests=DIGESTS, **settings):
        with disable_run_logger():
            return promote.fn(
                self.context,
                config=(config := PromoteConfig(**settings)),
                registry=Registry(self.tracker, config.registered_model),
                trained=trained,
                item_embeddings=self.workspace.file_ref(self.item_embeddings(trained.run_id)),
                columns=ClickColumns(),
                valid=valid or self.valid(),
                held_out=None,
                digests=digests,
            )

    def item_embeddings(self, run_id):
        """Where the stage `reduce` would have left the item embeddings of a training."""
        return self.folder / run_id / "item_emb_task1_clip.parquet"

    def champion(self):
        """MLflow run of the champion."""
        return self.registry.version_at(CHAMPION).run_id

    def artifact(self, trained, name):
        """Where a local store keeps an artifact of a training."""
        return self.folder / "mlruns/artifacts/mmctr" / trained.run_id / "artifacts" / name

    def ancestor(self, digests=DIGESTS, reduce=None, **settings):
        config = PipelineConfig(base_path=self.folder, reduce={"pca": "reuse", **(reduce or {})}, **settings)
        starts_from = {"reuse_pca": config.reduce.pca == "reuse", "warm_start": config.train.warm_start}
        space = space_of_run(config.embed, config.reduce, clip_model=digests.get("clip_model"))
        return find_ancestor(self.registry, **starts_from, digests=digests, space=space, workspace=self.workspace)

    def write_test(self, rows=20, seed=0, ids=None):
        """A test split whose items are those of the models."""
        rng = np.random.default_rng(seed)
        known = self.table.ids.values if ids is None else ids
        frame = pl.DataFrame(
            {
                "ID": range(rows),
                "item_seq": [rng.choice(known, 5).tolist() for _ in range(rows)],
                "item_id": rng.choice(known, rows),
                "likes_level": rng.integers(1, 11, rows),
                "views_level": rng.integers(1, 11, rows),
            }
        )
        path = self.folder / MICROLENS_1M.test
        path.parent.mkdir(exist_ok=True)
        frame.write_parquet(path)
        return self.workspace.file_ref(path)


def new_world(folder, mlflow_original) -> World:
    """A world in a new folder, with an empty MLflow store of its own."""
    (folder / "mlruns").mkdir()
    return World(folder, f"sqlite:///{shutil.copy(mlflow_original, folder / 'mlruns/mlflow.db')}")


def copied_world(original, folder, monkeypatch) -> World:
    """A copy of `original`, a world's folder and its trainings, for one test to change."""
    source, trainings = original
    shutil.copytree(source, folder, dirs_exist_ok=True)
    uri = f"sqlite:///{folder / 'mlruns/mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    world = World(folder, uri)
    world.trainings = list(trainings)
    return world

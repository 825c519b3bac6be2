"""What a run publishes under BASE_PATH, and whose files lie there."""

from dataclasses import dataclass

import polars as pl
from trainings import World

from flows.run.publish import Model, Outputs, publish_run
from mmctr.inputs.layout import ClickColumns
from mmctr.submission.challenge import check_submission
from tasks.cache.public_files import published
from tasks.cache.workspace import PUBLIC
from tasks.predict import make_submission
from tasks.settings.sections import PredictConfig, PromoteConfig


@dataclass
class Runner:
    """Calls `predict` without Prefect."""

    world: World

    def __call__(self, _, *, config, test, checkpoint):
        folder = self.world.folder / "made" / checkpoint.sha256[:8] / test.sha256[:8]
        given = {"columns": ClickColumns(), "row_id": "ID", "submission": "challenge"}
        return make_submission(self.world.context, folder, config=config, test=test, checkpoint=checkpoint, **given)


def end_of_run(world, trained, *, test, **promote) -> Outputs:
    """What a run publishes after its training."""
    decision = world.promote(trained)
    embeddings = world.workspace.file_ref(world.item_embeddings(trained.run_id))
    runner, settings = Runner(world), PromoteConfig(**promote)

    def submission_by(checkpoint):
        return runner(None, config=PredictConfig(), test=test, checkpoint=checkpoint)

    return publish_run(
        Model(f"mmctr-din version {decision.version}", trained.run_id, trained.checkpoint, embeddings),
        submission_by(trained.checkpoint),
        version=decision.version,
        which=settings.publish,
        registry=world.registry,
        workspace=world.workspace,
        submission_by=submission_by,
    )


def owner(world):
    """MLflow run whose checkpoint, embedding and submission the public files are; fails where they are of several."""
    note = published(world.workspace)
    assert note is not None
    public = {role: (world.folder / place).read_bytes() for role, place in PUBLIC.items()}
    assert public["checkpoint"] == (world.folder / note.run_id / "task1and2_best.pt").read_bytes()
    assert public["item_embeddings"] == world.item_embeddings(note.run_id).read_bytes()
    assert not list(world.folder.rglob(".*.partial"))
    test = world.workspace.file_ref(world.folder / "MicroLens_1M_x1/test.parquet")
    checkpoint = world.workspace.file_ref(world.folder / PUBLIC["checkpoint"])
    made = Runner(world)(None, config=PredictConfig(), test=test, checkpoint=checkpoint)
    assert public["csv"] == world.workspace.path(made.csv).read_bytes()
    ids = pl.read_parquet(world.workspace.path(test))["ID"]
    assert check_submission(world.folder / PUBLIC["archive"], test_ids=ids) == len(ids)
    return note.run_id

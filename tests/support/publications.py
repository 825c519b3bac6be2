"""What a run publishes under BASE_PATH, and whose files lie there."""

from dataclasses import dataclass

import polars as pl
from trainings import World

from flows.run.publish import Outputs, publish_run
from mmctr.submission.challenge import check_submission
from tasks.cache.public_files import PUBLIC, published
from tasks.cache.results import Reduced
from tasks.predict import make_submission
from tasks.settings.sections import PipelineConfig, PredictConfig


@dataclass
class Runner:
    """Calls `predict` without Prefect."""

    world: World

    @property
    def workspace(self):
        return self.world.workspace

    def __call__(self, _, *, config, test, checkpoint):
        folder = self.world.folder / "made" / checkpoint.sha256[:8] / test.sha256[:8]
        return make_submission(self.world.context, folder, config=config, test=test, checkpoint=checkpoint)


def end_of_run(world, trained, *, test, **promote) -> Outputs:
    """What a run publishes after its training."""
    decision = world.promote(trained)
    embeddings = world.workspace.file_ref(world.item_embeddings(trained.run_id))
    runner = Runner(world)
    return publish_run(
        PipelineConfig(base_path=world.folder, promote=promote),
        world.registry,
        runner,
        version=decision.version,
        reduced=Reduced(item_embeddings=embeddings, pca=embeddings, explained_variance=1.0),
        trained=trained,
        predicted=runner(None, config=PredictConfig(), test=test, checkpoint=trained.checkpoint),
        test=test,
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

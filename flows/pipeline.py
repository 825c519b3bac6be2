"""The pipeline: six cached stages from BASE_PATH to a submission.

items, archive --> extract --> embed --> reduce --> build_weights --> train --> predict --> prediction.zip
                                                                       |       |
train, valid ----------------------------------------------------------+       +--> promote --> champion
"""

import flows.process.environment  # noqa: F401  before Prefect is imported

import json
import time
from importlib.metadata import version
from typing import Any

from prefect import flow

from flows.run.artifacts import show_on_page, show_training
from flows.run.context import registry_of, run_context
from flows.run.hooks import end_mlflow_runs
from flows.run.inputs import Inputs, open_inputs
from flows.run.publish import Model, publish_run
from flows.run.settings import whole_settings
from flows.run.summary import Summary
from tasks.build_weights import build_weights
from tasks.cache.code_digest import vectors_folder
from tasks.cache.results import Embedded, Extracted, Reduced, Result, Trained
from tasks.cache.run_manifest import ManifestWriter, settings_digest
from tasks.cache.stage import StageRunner
from tasks.cache.workspace import Workspace
from tasks.embed import embed
from tasks.extract import extract
from tasks.predict import predict
from tasks.promote import promote
from tasks.reduce import reduce
from tasks.running.refusal import outcome, refusing
from tasks.running.retry import retries
from tasks.settings.sections import PipelineConfig
from tasks.tracking.ancestor import Ancestor, find_ancestor
from tasks.tracking.lineage import Lineage
from tasks.tracking.lost_artifacts import log_lost_artifacts
from tasks.tracking.store import Tracker
from tasks.tracking.training_run import end_left_runs
from tasks.train import train


@flow(
    name="pipeline",
    flow_run_name="pipeline-{config.base_path.name}",
    version=version("mmctr"),
    validate_parameters=True,
    on_failure=[end_mlflow_runs],
    on_crashed=[end_mlflow_runs],
    on_cancellation=[end_mlflow_runs],
)
@refusing
def pipeline(config: PipelineConfig, reason: str = "by hand") -> Any:
    """Make the embeddings, the model and the submission of the data in `config.base_path`.

    Args:
        config: the data folder, and settings that go over those of its mmctr.toml.
        reason: why the run was started; it is kept with the training in MLflow.
    """
    config = whole_settings(config)
    workspace = Workspace(config.base_path)
    with workspace.running():
        return run_stages(config, workspace, reason=reason)


def run_stages(config: PipelineConfig, workspace: Workspace, *, reason: str = "by hand") -> Summary:
    """All stages one after the other; each runs only when its inputs, its settings or its code have changed."""
    started = time.perf_counter()
    inputs = open_inputs(config, workspace)
    context, registry = run_context(config), registry_of(config)
    tracker = registry.tracker
    ancestor = find_ancestor(config, registry, digests=inputs.digests(), workspace=workspace)
    manifest = ManifestWriter(
        workspace,
        settings=settings_digest(config),
        inputs=inputs.digests(),
        vectors=vectors_folder(),
        ancestor=ancestor.run_id,
    )
    end_left_runs(tracker, workspace)
    run = StageRunner(
        context,
        config=config.run,
        intact=lambda result: run_is_kept(result, tracker),
        begin=lambda stage, key, runs: manifest.begin_stage(stage, key, runs=runs),
    )

    images = run(extract, config=config.extract, archive=inputs.archive)
    embedded = run(embed, config=config.embed, clip_model=inputs.clip_model, items=inputs.items, images=images.images)
    reduced = run(reduce, config=config.reduce, embeddings=embedded.embeddings, pca=ancestor.pca)
    weights = run(build_weights, config=config.build_weights, item_embeddings=reduced.item_embeddings)
    story = lineage(config, inputs, images, embedded, reduced, ancestor=ancestor, reason=reason)
    trained = run(
        train,
        config=config.train,
        train=inputs.train,
        valid=inputs.valid,
        table=weights.table,
        earlier=ancestor.checkpoint,
        lineage=story,
    )
    log_lost_artifacts(tracker, trained, lineage=story, workspace=workspace)
    history = workspace.path(trained.history)
    if any(report.name == train.name and report.cached for report in run.reports):
        show_training(trained.run_id, epochs=history, tracker=tracker)
    predicted = run(predict, config=config.predict, test=inputs.test, checkpoint=trained.checkpoint)

    tracker.attach_submission(
        trained.run_id,
        workspace.path(predicted.archive),
        sha256=predicted.archive.sha256,
        config=config.predict,
    )
    decision = outcome(
        promote.with_options(**retries(config.run))(
            context,
            config=config.promote,
            trained=trained,
            item_embeddings=reduced.item_embeddings,
            valid=inputs.valid,
            digests=inputs.digests(),
            return_state=True,
        ),
        of="promote",
    )
    by_champion = StageRunner(
        context,
        config=config.run,
        begin=lambda stage, key, runs: manifest.begin_stage(f"{stage} by the champion", key, runs=runs),
    )
    outputs = publish_run(
        Model(
            f"{registry.name} version {decision.version}", trained.run_id, trained.checkpoint, reduced.item_embeddings
        ),
        predicted,
        version=decision.version,
        which=config.promote.publish,
        registry=registry,
        workspace=workspace,
        submission_by=lambda checkpoint: by_champion(
            predict, config=config.predict, test=inputs.test, checkpoint=checkpoint
        ),
    )
    manifest.finish(mlflow_run=trained.run_id)
    summary = Summary(
        stages=run.reports,
        seconds=time.perf_counter() - started,
        items=embedded.counts,
        explained_variance=reduced.explained_variance,
        n_components=config.reduce.n_components,
        epochs=len(json.loads(history.read_bytes())),
        most_epochs=config.train.epochs,
        best_epoch=trained.best_epoch,
        valid_auc=trained.valid_auc,
        valid_logloss=trained.valid_logloss,
        rows=predicted.rows,
        outputs=outputs.places,
        owner=outputs.owner,
        mlflow_run=trained.run_id,
        mlflow_address=tracker.run_address(trained.run_id),
        decision=decision,
        reason=reason,
    )
    show_on_page(summary)
    return summary


def run_is_kept(result: Result, tracker: Tracker) -> bool:
    """A training's record counts only as long as its MLflow run is there."""
    return not isinstance(result, Trained) or tracker.is_finished(result.run_id)


def lineage(
    config: PipelineConfig,
    inputs: Inputs,
    images: Extracted,
    embedded: Embedded,
    reduced: Reduced,
    *,
    ancestor: Ancestor,
    reason: str,
) -> Lineage:
    """What MLflow is told about the data and the stages before training."""
    sections = ("extract", "embed", "reduce")
    settings = {name: getattr(config, name).model_dump(mode="json") for name in sections}
    params = {f"{name}.{field}": value for name, fields in settings.items() for field, value in fields.items()}
    counts = {f"extract.{name}": value for name, value in images.counts.items()}
    counts |= {f"embed.{name}": value for name, value in embedded.counts.items()}
    return Lineage(
        params=params,
        digests=inputs.digests(),
        counts={**counts, "explained_variance": reduced.explained_variance},
        pca=reduced.pca,
        reports={"extract": images.report, "embed": embedded.report},
        reason=reason,
        ancestor=ancestor.run_id,
    )

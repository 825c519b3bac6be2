"""The pipeline: six cached stages from BASE_PATH to a submission.

items, images --> extract --> embed --> reduce --> build_weights --> train --> predict --> prediction.zip
                                                                      |       |
train, valid ---------------------------------------------------------+       +--> promote --> champion

A data set without images, with vectors of its own or without a test split does without a stage (`flows.run.items`).
"""

import flows.process.environment  # noqa: F401  before Prefect is imported

import json
import time
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

from prefect import flow

from flows.run.artifacts import show_on_page, show_training
from flows.run.context import registry_of, run_context
from flows.run.hooks import end_mlflow_runs
from flows.run.inputs import Inputs, open_inputs
from flows.run.items import ItemStages, make_items
from flows.run.lineage import lineage_of
from flows.run.parts import parts_in, parts_of
from flows.run.publish import Model, Outputs, publish_run
from flows.run.settings import prediction_settings, whole_settings
from flows.run.summary import Summary
from flows.run.training import ancestor_of, clicks_of, training_inputs
from mmctr.encoders.names import parse_model
from tasks.cache.code_digest import vectors_folder
from tasks.cache.results import Predicted, Trained
from tasks.cache.run_manifest import ManifestWriter, settings_digest
from tasks.cache.stage import RunContext, StageRunner
from tasks.cache.workspace import FileRef, Workspace
from tasks.predict import predict
from tasks.promote import Decision, promote
from tasks.running.refusal import refusing
from tasks.settings.model import ModelParts
from tasks.settings.sections import PipelineConfig
from tasks.tracking.ancestor import Ancestor
from tasks.tracking.lost_artifacts import log_lost_artifacts
from tasks.tracking.registry import Registry
from tasks.tracking.training_run import end_left_runs, is_kept
from tasks.tracking.trial import NO_TRIAL
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
    context = run_context(config)
    with context.workspace.running():
        return run_stages(config, context, reason=reason)


def run_stages(config: PipelineConfig, context: RunContext, *, reason: str = "by hand") -> Summary:
    """All stages one after the other; each runs only when its inputs, its settings or its code have changed."""
    started, workspace = time.perf_counter(), context.workspace
    start = begin(config, workspace)
    inputs, ancestor, tracker = start.inputs, start.ancestor, start.registry.tracker
    run = StageRunner(context, intact=partial(is_kept, tracker=tracker), begin=start.manifest.begin_stage)

    with start.manifest.going_on():
        items = make_items(run, config, inputs, ancestor)
        lineage = lineage_of(config, inputs, items, ancestor=ancestor.run_id, reason=reason)
        training = training_inputs(config, inputs, items, ancestor, half=None)
        trained = run(train, **training, trial=NO_TRIAL, tracker=tracker, lineage=lineage)
        log_lost_artifacts(tracker, trained, lineage=lineage, workspace=workspace)
        if run.is_cached(train):
            tracker.tag(trained.run_id, lineage.tags)
            show_training(trained.run_id, epochs=workspace.path(trained.history), tracker=tracker)
        made = Made(items, trained, predicted_by(run, config, inputs, trained.checkpoint, parts=parts_of(config)))
        decision, outputs = promote_and_publish(config, context, start, made)
        start.manifest.finish(mlflow_run=trained.run_id)

    summary = Summary(
        stages=run.reports,
        seconds=time.perf_counter() - started,
        outputs=outputs.places,
        owner=outputs.owner,
        mlflow_address=tracker.run_address(trained.run_id),
        decision=decision,
        reason=reason,
        preset=config.preset,
        rules=config.rules,
        n_components=config.reduce.n_components,
        most_epochs=config.train.epochs,
        **figures_of(made, workspace),
    )
    show_on_page(summary)
    return summary


@dataclass(frozen=True)
class Start:
    """What a run begins with."""

    inputs: Inputs
    registry: Registry
    ancestor: Ancestor
    manifest: ManifestWriter


@dataclass(frozen=True)
class Made:
    """What its stages made; there are no predictions without a test split."""

    items: ItemStages
    trained: Trained
    predicted: Predicted | None


def predicted_by(
    run: StageRunner, config: PipelineConfig, inputs: Inputs, checkpoint: FileRef, *, parts: ModelParts | None = None
) -> Predicted | None:
    """The predictions of the model in a checkpoint; None where there is no test split."""
    if inputs.test is None:
        return None
    if parts is None:
        parts = parts_in(run.context.workspace, checkpoint)
    return run(
        predict,
        test=inputs.test,
        checkpoint=checkpoint,
        parts=parts,
        task1=None,
        task2=None,
        **prediction_settings(config),
    )


def begin(config: PipelineConfig, workspace: Workspace) -> Start:
    """Open the inputs, find what the run starts from, and write down that it has started."""
    inputs, registry = open_inputs(config, workspace), registry_of(config)
    ancestor = ancestor_of(config, inputs, registry=registry, workspace=workspace)
    manifest = ManifestWriter(
        workspace,
        settings=settings_digest(config),
        inputs=inputs.digests(),
        vectors=vectors_folder(parse_model(config.embed.model).kind) if config.embed.source == "clip" else "",
        ancestor=ancestor.run_id,
    )
    end_left_runs(registry.tracker, workspace)
    return Start(inputs, registry, ancestor, manifest)


def promote_and_publish(
    config: PipelineConfig, context: RunContext, start: Start, made: Made
) -> tuple[Decision, Outputs]:
    """Decide whether the run's model is the champion, and put the champion's files into BASE_PATH."""
    workspace, inputs, registry = context.workspace, start.inputs, start.registry
    trained, reduced = made.trained, made.items.reduced
    embeddings = None if reduced is None else reduced.item_embeddings
    if made.predicted is not None:
        archive = made.predicted.archive
        registry.tracker.attach_submission(
            trained.run_id, workspace.path(archive), sha256=archive.sha256, config=config.predict
        )
    run = StageRunner(
        context,
        begin=lambda stage, key, runs: start.manifest.begin_stage(f"{stage} by the champion", key, runs=runs),
    )
    decision = run.without_record(
        promote,
        config=config.promote,
        registry=registry,
        trained=trained,
        item_embeddings=embeddings,
        **clicks_of(config, inputs),
        digests=inputs.digests(),
    )
    name = f"{registry.name} version {decision.version}"
    outputs = publish_run(
        Model(name, trained.run_id, trained.checkpoint, embeddings, has_vectors=reduced is not None),
        made.predicted,
        version=decision.version,
        which=config.promote.publish,
        registry=registry,
        workspace=workspace,
        submission_by=partial(predicted_by, run, config, inputs),
    )
    return decision, outputs


def figures_of(made: Made, workspace: Workspace) -> dict[str, Any]:
    """The summary's figures of what the stages made."""
    trained, items, predicted = made.trained, made.items, made.predicted
    return {
        "items": {"items": items.weights.items} if items.embedded is None else items.embedded.counts,
        "explained_variance": None if items.reduced is None else items.reduced.explained_variance,
        "part_variances": {} if items.reduced is None else items.reduced.part_variances,
        "epochs": json.loads(workspace.path(trained.history).read_bytes())[-1]["epoch"],
        "best_epoch": trained.best_epoch,
        "valid_auc": trained.valid_auc,
        "valid_logloss": trained.valid_logloss,
        "rows": None if predicted is None else predicted.rows,
        "test_auc": None if predicted is None else predicted.auc,
        "test_logloss": None if predicted is None else predicted.logloss,
        "mlflow_run": trained.run_id,
    }

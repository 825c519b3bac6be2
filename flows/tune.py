"""A search for settings: trials train on one half of the validation clicks, and the best one is judged by the other.

It publishes nothing, registers nothing but its best trial's model, and gives no alias: the champion stays who it is.
"""

import flows.process.environment  # noqa: F401  before Prefect is imported

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prefect import flow, get_run_logger

from flows.run.context import registry_of, run_context
from flows.run.hooks import end_mlflow_runs
from flows.run.inputs import open_inputs
from flows.run.settings import whole_settings
from flows.run.training import clicks_of
from flows.search.best import Keeper, command_of
from flows.search.items import Items
from flows.search.judge import Judge
from flows.search.loop import Course, Limits
from flows.search.report import Found
from flows.search.slots import Slots, slots_for
from flows.search.study import Study
from flows.search.trial import Surroundings
from mmctr.compute.device import resolve_device
from mmctr.encoders.names import parse_model
from mmctr.inputs.layout import Half
from tasks.cache.code_digest import vectors_folder
from tasks.cache.run_manifest import ManifestWriter, settings_digest
from tasks.cache.stage import RunContext
from tasks.running.refusal import refusing
from tasks.settings.search import SearchConfig
from tasks.settings.sections import PipelineConfig
from tasks.settings.space import Space
from tasks.settings.space_file import space_of
from tasks.tracking.registry import Registry
from tasks.tracking.search_run import search_run
from tasks.tracking.training_run import TrainingRun, end_left_runs

NO_NAME = re.compile(r"[^\w.-]+", re.ASCII)


@flow(
    name="tune",
    flow_run_name="tune-{config.base_path.name}",
    version=version("mmctr"),
    validate_parameters=True,
    on_failure=[end_mlflow_runs],
    on_crashed=[end_mlflow_runs],
    on_cancellation=[end_mlflow_runs],
)
@refusing
def tune(config: PipelineConfig, space: dict[str, Any], search: SearchConfig, called: str = "space") -> Any:
    """Search for the settings with the best validation AUC.

    Args:
        config: the data folder, and settings that all trials have.
        space: what is searched, by dotted names of settings, as a space file has it.
        search: how.
        called: name of the space, which begins the name of a search that has none of its own.
    """
    config = whole_settings(config)
    started, context, registry = time.monotonic(), run_context(config), registry_of(config)
    found = space_of(space, config)
    with context.workspace.running(), ExitStack() as stack:
        ready = _begin(stack, found, space, search, called, context, registry)
        deadline = float("inf") if search.timeout is None else started + search.timeout
        limits = Limits(search.trials, deadline)
        with _said_where_stopped(ready.study, search):
            Course(ready.study, ready.slots, job_of=ready.items.job_of, limits=limits, say=get_run_logger().info).run()
            kept = ready.keeper.keep()
        prepared = ready.items.of(found.config_at(kept.best.params))
        key = kept.best.user_attrs["key"]
        if not ready.study.left:  # else a later call still needs what they have done
            ready.manifest.finish(mlflow_run=kept.trained.run_id, stages={**prepared.keys, "train": key})
    return Found(
        name=ready.study.folder.name,
        base_path=config.base_path,
        trials=ready.study.trials(),
        most=search.trials,
        best=kept.best,
        verdict=kept.verdict,
        settings=kept.settings,
        command=command_of(config, kept.settings),
        model=registry.name,
        version=kept.version,
        mlflow_address=registry.tracker.run_address(ready.run.run_id),
    )


@dataclass(frozen=True)
class Ready:
    """What a search goes on with."""

    study: Study
    slots: Slots
    items: Items
    keeper: Keeper
    manifest: ManifestWriter
    run: TrainingRun


def _begin(
    stack: ExitStack,
    space: Space,
    table: dict[str, Any],
    search: SearchConfig,
    called: str,
    context: RunContext,
    registry: Registry,
) -> Ready:
    """Open the inputs, the study and the places for trials, until `stack` is closed."""
    config, workspace, tracker = space.config, context.workspace, registry.tracker
    inputs, half = open_inputs(config, workspace), Half(user=config.data.user)
    device = resolve_device(config.device)
    judge = Judge(workspace, device, **clicks_of(config, inputs), half=half)
    judge.check()

    about = _about(config, table, inputs.digests())
    name = search.study or f"{NO_NAME.sub('-', called).strip('.-')[:60] or 'space'}-{about[:8]}"
    stack.enter_context(workspace.locks.of_search(name))
    study = Study(workspace.searches / name, space, about=about, pruner=search.pruner, seed=search.seed)
    end_left_runs(tracker, workspace)
    manifest = ManifestWriter(
        workspace,
        settings=about,
        inputs={},  # no run of the data: `retrain` does not take it for one
        vectors=vectors_folder(parse_model(config.embed.model).kind) if config.embed.source == "clip" else "",
        ancestor="",
    )
    stack.enter_context(manifest.going_on())
    recorded = search_run(tracker, study.folder, name=name, space=table, digests=inputs.digests())
    run = stack.enter_context(recorded)
    surroundings = Surroundings(
        base_path=workspace.base_path,
        public=workspace.public,
        run=config.run,
        store=tracker.uri,
        experiment=tracker.experiment,
        pauses=tracker.pauses,
        search=run.run_id,
    )
    slots = slots_for(search.jobs, surroundings, device=config.device, folder=study.folder)
    stack.callback(slots.close)
    items = Items(context, manifest, registry, half=half, reason=f"search {name}")
    keeper = Keeper(study, items, surroundings, judge, registry, run)
    get_run_logger().info("search %s in %s: %s", name, study.folder, _progress(study, search))
    return Ready(study, slots, items, keeper, manifest, run)


def _about(config: PipelineConfig, table: dict[str, Any], digests: dict[str, str]) -> str:
    """What all trials of a search have in common, as a digest: the space, the settings and the data."""
    content = [settings_digest(config), table, digests]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _progress(study: Study, search: SearchConfig) -> str:
    trials = study.trials()
    ended = sum(trial.state.is_finished() for trial in trials)
    left = f", {len(study.left)} to go on" if study.left else ""
    best = study.best()
    return f"{ended} of {search.trials} trials have ended{left}" + (
        f", the best AUC is {best.value:.4f} of trial {best.number}" if best is not None else ""
    )


@contextmanager
def _said_where_stopped(study: Study, search: SearchConfig) -> Iterator[None]:
    """Say how far a search is that is stopped."""
    try:
        yield
    except KeyboardInterrupt:
        get_run_logger().warning("search %s is stopped: %s", study.folder.name, _progress(study, search))
        raise

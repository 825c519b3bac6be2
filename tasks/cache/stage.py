"""How a stage runs: the key that its result is cached under, and the call that trusts no record blindly.

The key is made of the stage's name, the digest of its code, and its inputs: settings by value, files by the digest of
their content. What is `Unkeyed`, such as where a run works (`RunContext`), takes no part. A record is used only when
every file that it names is there, byte for byte; otherwise the stage runs again.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.exceptions import MissingContextError
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore

from mmctr.common.errors import InputError
from mmctr.common.files import sync_file, sync_folder
from tasks.cache.code_digest import stage_code
from tasks.cache.results import Result, ResultSerializer
from tasks.cache.unkeyed import Unkeyed
from tasks.cache.workspace import FileRef, FolderRef, ImagesRef, Workspace
from tasks.running.refusal import outcome, refusing
from tasks.running.retry import retries
from tasks.settings.base import Section
from tasks.settings.data import DataConfig
from tasks.settings.named import settings_named
from tasks.settings.sections import RunConfig

P = ParamSpec("P")
R = TypeVar("R", bound=Result)
T = TypeVar("T")
KEY_DIGITS = 24


@dataclass(frozen=True)
class RunContext(Unkeyed):
    """A run's surroundings: the one workspace that all of it uses, the device, and how its stages are run."""

    workspace: Workspace
    device: str
    run: RunConfig = field(default_factory=RunConfig)


def stage_key(stage: Task[Any, Any], inputs: dict[str, Any]) -> str:
    """Cache key of a stage for its inputs, without those that are `Unkeyed`."""
    keyed = {name: _identity(value) for name, value in inputs.items() if not isinstance(value, Unkeyed)}
    sections = [value for value in inputs.values() if isinstance(value, Section)]
    content = [stage.name, stage_code(stage.fn.__module__, sections), keyed]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:KEY_DIGITS]


def _identity(value: Any) -> Any:
    """What of an input counts: the content of a file, what differs from its default of a section or of
    columns, which are the section `data`, a plain value as it is."""
    if isinstance(value, FileRef):
        return value.sha256
    if isinstance(value, FolderRef):
        return value.digest
    if isinstance(value, Section):
        return value.keyed()
    if is_dataclass(value) and not isinstance(value, type):
        values = {one.name: getattr(value, one.name) for one in fields(value)}
        changed = {one.name: _identity(values[one.name]) for one in fields(value) if values[one.name] != one.default}
        return {"revision": DataConfig.revision, **changed}
    if isinstance(value, tuple):
        return [_identity(one) for one in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a stage takes sections, references and plain values, found {type(value).__name__}")


class ContentPolicy(CachePolicy):
    """Prefect's view of `stage_key`."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],  # noqa: ARG002 the name is Prefect's
        **_: Any,
    ) -> str:
        """The key of the task run in `task_ctx`."""
        return stage_key(task_ctx.task, inputs)


def stage(function: Callable[Concatenate[RunContext, P], R]) -> Task[Concatenate[RunContext, P], R]:
    """Make a Prefect task of a stage's function, which takes the context first and opens inputs by `reading`.

    What the library refuses in it is said in the names of the settings of its section.
    """
    return task(
        name=function.__name__, cache_policy=ContentPolicy(), persist_result=True, result_serializer=ResultSerializer()
    )(refusing(settings_named(function.__name__)(function)))


def logger() -> logging.LoggerAdapter[logging.Logger] | logging.Logger:
    """The logger of the stage or flow that is running; its lines are shown on Prefect's page of the run.

    Before a stage of a process that has no flow run, as one of a search, it is this module's own.
    """
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)


def own_folder(workspace: Workspace) -> Path:
    """The folder for the results of the stage that is running."""
    return workspace.store(*_current())


def own_work(workspace: Workspace) -> Path:
    """The folder for the unfinished work of the stage that is running; created where it is missing."""
    return workspace.work(*_current())


def _current() -> tuple[str, str]:
    """Name and cache key of the stage that is running."""
    context = TaskRunContext.get()
    assert context is not None
    return context.task.name, stage_key(context.task, context.parameters)


@dataclass(frozen=True)
class StageReport:
    """What happened to one stage in a run."""

    name: str
    cached: bool
    seconds: float


class StageRunner:
    """Calls stages in one context and keeps the report of each."""

    def __init__(
        self,
        context: RunContext,
        *,
        intact: Callable[[Result], bool] = lambda _: True,
        begin: Callable[[str, str, bool], None] = lambda *_: None,
    ) -> None:
        """`intact` adds a condition to those on files, under which a record may be used.

        `begin` is called before each stage with its name, its cache key, and whether it runs.
        """
        self.context, self.workspace = context, context.workspace
        self.intact, self.begin = intact, begin
        self.reports: list[StageReport] = []

    def __call__(self, stage: Task[Concatenate[RunContext, P], R], *args: P.args, **inputs: P.kwargs) -> R:
        """The result of `stage` for `inputs`, from its record where that can be trusted."""
        assert not args
        started = time.perf_counter()
        key = stage_key(stage, inputs)
        if self._trusted(key) and not self.workspace.has_work(stage.name, key):
            result, cached = self._call(stage, key, inputs, trusted=True)
        else:  # who else wants this very result waits, and then has it from its record
            with self.workspace.locks.of_stage(stage.name, key, say=logger().info):
                result, cached = self._call(stage, key, inputs, trusted=self._trusted(key))
                if self._record(key) is not None:  # else it could not be written: the next run needs the work again
                    self.workspace.clear_work(stage.name, key)
        self.reports.append(StageReport(stage.name, cached, time.perf_counter() - started))
        return result

    def without_record(self, task: Task[Concatenate[RunContext, P], T], *args: P.args, **inputs: P.kwargs) -> T:
        """What a task returns that is no stage: it runs each time."""
        assert not args
        configured = task.with_options(**retries(self.context.run))
        made: T = outcome(configured(self.context, **inputs, return_state=True), of=task.name)
        return made

    def is_cached(self, stage: Task[Any, Any]) -> bool:
        """Whether the stage has been called and its result was that of a record."""
        return any(report.name == stage.name and report.cached for report in self.reports)

    def _call(
        self, stage: Task[Concatenate[RunContext, P], R], key: str, inputs: dict[str, Any], *, trusted: bool
    ) -> tuple[R, bool]:
        """The result of `stage`, and whether it is that of its record; a new record is on the disk then."""
        self.begin(stage.name, key, not trusted)
        limits = self.context.run.timeout
        configured = stage.with_options(
            result_storage=self.workspace.records,
            refresh_cache=not trusted,
            task_run_name=stage.name,
            timeout_seconds=next((limit for name, limit in limits.items() if name == stage.name), None),
            **retries(self.context.run),
        )
        state: Any = configured(self.context, **inputs, return_state=True)
        result: R = outcome(state, of=stage.name)
        cached = state.name == "Cached"
        if not cached and self._record(key) is not None:
            sync_file(self.workspace.records / key)  # Prefect does not: after a power cut both would be gone
            sync_folder(self.workspace.records)
        return result, cached

    def _trusted(self, key: str) -> bool:
        """Whether there is a record for `key` and all that it refers to is there unaltered."""
        result = self._record(key)
        return result is not None and all(self._holds(ref) for ref in result.references()) and self.intact(result)

    def _record(self, key: str) -> Result | None:
        """What was recorded for `key`, its files unchecked."""
        storage = LocalFileSystem(basepath=str(self.workspace.records))
        try:
            record = ResultStore(result_storage=storage, serializer=ResultSerializer()).read(key)
            result: Result = record.result
            written_for = Path(record.metadata.storage_key or "").name
        except Exception:  # whatever is wrong with a record, the answer is to make it anew
            return None
        return result if written_for == key else None

    def _holds(self, ref: FileRef | FolderRef) -> bool:
        if isinstance(ref, FileRef):
            return self.workspace.holds(ref)
        assert isinstance(ref, ImagesRef), "no other folder is made by a stage"
        from mmctr.images.in_place import in_place_digest
        from mmctr.images.manifest import manifest_digest

        folder, manifest = self.workspace.path(ref), self.workspace.base_path / ref.manifest
        try:
            if ref.in_place:
                return in_place_digest(manifest, folder, memory=self.workspace.image_memory) == ref.digest
            return manifest_digest(folder) == ref.digest
        except (OSError, ValueError, InputError):
            return False

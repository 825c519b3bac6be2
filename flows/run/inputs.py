"""The inputs of a run: validated once for their content, then named by it."""

import hashlib
import json
import time
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from flows.run.outputs import check_places
from mmctr.common.errors import InputError
from mmctr.common.files import SETTLED_NS, is_file, read_json, remember_json
from mmctr.common.text import shown_value
from mmctr.compute.device import resolve_device
from mmctr.images.rar.volumes import archive_parts
from mmctr.inputs.layout import find_inputs
from mmctr.inputs.rules import check_inputs
from tasks.cache.code_digest import code_digest
from tasks.cache.workspace import FileRef, PartsRef, Workspace
from tasks.settings.archive import archive_limits
from tasks.settings.named import settings_named
from tasks.settings.sections import ExtractConfig, PipelineConfig, home_expanded
from tasks.tracking.store_address import tracking_uri
from tasks.tracking.store_check import check_store


@dataclass(frozen=True)
class Inputs:
    """References to the input files; `clip_model` is a checkpoint or the name of an official model."""

    items: FileRef
    archive: PartsRef
    train: FileRef
    valid: FileRef
    test: FileRef
    clip_model: FileRef | str

    def digests(self) -> dict[str, str]:
        """Content of each input, by its role."""
        model = self.clip_model if isinstance(self.clip_model, str) else self.clip_model.sha256
        files = ("items", "archive", "train", "valid", "test")
        return {**{name: getattr(self, name).sha256 for name in files}, "clip_model": model}


@settings_named("inputs")
def look_before(config: PipelineConfig) -> None:
    """Refuse at once what is cheap to see: absent files, an absent device, no CLIP model, taken names, no store.

    Raises:
        InputError: with everything that is wrong where files are absent.
    """
    _, problems = find_inputs(config.base_path)
    if problems:
        check_inputs(config.base_path, min_items=config.reduce.n_components)
    model = config.embed.model
    if model != _remembered(config.base_path).get("clip_model"):
        if is_file(home_expanded(Path(model))):
            _check_width(config)
        else:
            _check_model_name(model)
    if config.device not in ("auto", "cpu"):
        resolve_device(config.device)
    check_places(config.base_path)
    check_store(tracking_uri(), config.experiment)


def look_at_archive(config: PipelineConfig) -> None:
    """Refuse what the extraction would refuse by the archive's listing, which is read unless it was found good before.

    Raises:
        InputError: as `mmctr.images.extract.check_archive` has it.
    """
    archive = find_inputs(config.base_path)[0]["archive"]
    stamp = _archive_stamp(config, archive)
    if _remembered(config.base_path).get("archive") != stamp:
        _check_archive(stamp, config.extract, archive)


@settings_named("inputs")
def open_inputs(config: PipelineConfig, workspace: Workspace) -> Inputs:
    """Validate all inputs, unless the same content was found good before, and refer to them.

    Raises:
        InputError: everything that is wrong with them.
    """
    base_path, min_items = config.base_path, config.reduce.n_components
    look_before(config)
    look_at_archive(config)
    inputs = name_inputs(config, workspace)
    known = config.predict.min_known_targets
    fingerprint = hashlib.sha256(
        json.dumps([inputs.digests(), min_items, known, code_digest("mmctr.inputs.rules")], sort_keys=True).encode()
    ).hexdigest()
    if _remembered(base_path).get("inputs") != fingerprint:
        check_inputs(base_path, min_items=min_items, min_known_targets=known)
        _check_width(config)
    archive = _archive_stamp(config, workspace.path(inputs.archive))
    good = {"inputs": fingerprint, "clip_model": config.embed.model, "archive": archive}
    if _remembered(base_path) != good:
        remember_json(_memory(base_path), good)
    return inputs


def name_inputs(config: PipelineConfig, workspace: Workspace) -> Inputs:
    """References to the inputs as they are now, which must be there; files that have not changed are not read."""
    paths, _ = find_inputs(config.base_path)
    archive = workspace.parts_ref(archive_parts(paths.pop("archive")))
    return Inputs(
        archive=archive,
        **{role: workspace.file_ref(path) for role, path in paths.items()},
        clip_model=_clip_model(config.embed.model, workspace),
    )


def _memory(base_path: Path) -> Path:
    """Where it is written down which inputs were found good, so that they are not read through again."""
    return Workspace(base_path).root / "checked.json"


def _remembered(base_path: Path) -> dict[str, str]:
    found = read_json(_memory(base_path))
    return found if isinstance(found, dict) else {}


def _archive_stamp(config: PipelineConfig, archive: Path) -> str:
    """What the answer of `_check_archive` depends on, without reading the archive's listing."""
    states = [(part.name, part.stat()) for part in archive_parts(archive)]
    stamps = [(name, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for name, s in states]
    settings = config.extract.model_dump(mode="json")
    unsettled = time.time_ns() - max(state.st_ctime_ns for _, state in states) < SETTLED_NS
    content = [stamps, settings, code_digest("mmctr.images.extract"), time.time_ns() if unsettled else 0]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@lru_cache(maxsize=1)
def _check_archive(_: str, config: ExtractConfig, archive: Path) -> None:
    """Check once for a stamp, as the command line looks before Prefect starts, and the pipeline again."""
    from mmctr.images.extract import check_archive

    with settings_named("extract"):
        check_archive(archive, **archive_limits(config))


def _clip_model(model: str, workspace: Workspace) -> FileRef | str:
    path = home_expanded(Path(model))
    return workspace.file_ref(path) if is_file(path) else model


def _check_width(config: PipelineConfig) -> None:
    """Refuse a CLIP model that is unusable, or too narrow for the reduction, before anything is done."""
    model, needed = str(home_expanded(Path(config.embed.model))), config.reduce.n_components
    status = Path(model).stat() if is_file(Path(model)) else None
    stamp = status and (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    width = _width(model, stamp, config.embed.allow_torchscript)
    if width is not None and width < needed:
        raise InputError(
            f"PCA to {needed} components needs embeddings at least that wide, {model} gives {width}; "
            "use a wider model (embed.model) or lower reduce.n_components"
        )


@cache
def _width(model: str, stamp: tuple[int, ...] | None, allow_torchscript: bool) -> int | None:  # noqa: ARG001 for @cache
    """`clip_width` of a file as it is now, which takes seconds and is asked for twice in a run."""
    from mmctr.encoders.clip import clip_width

    with settings_named("embed"):
        return clip_width(model, allow_torchscript=allow_torchscript)


def _check_model_name(model: str) -> None:
    from mmctr.encoders.clip import official_models

    if model not in official_models():
        raise InputError(
            f"embed.model must be the path of a checkpoint or one of {', '.join(official_models())}; "
            f"found {shown_value(model)}, and no such file"
        )

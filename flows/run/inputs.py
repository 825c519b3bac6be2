"""The inputs of a run: validated once for their content, then named by it."""

import hashlib
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flows.run.model import check_width, look_at_model, model_ref
from flows.run.outputs import check_places, workspace_of
from mmctr.common.files import SETTLED_NS, read_json, remember_json
from mmctr.compute.device import resolve_device
from mmctr.images.find import files_of
from mmctr.inputs.layout import find_inputs
from mmctr.inputs.rules import check_inputs
from tasks.cache.code_digest import code_digest, stage_code
from tasks.cache.images import ImagesInput, content_of, image_source, images_ref
from tasks.cache.workspace import FileRef, Workspace
from tasks.settings.archive import ImageSource, archive_limits
from tasks.settings.named import settings_named
from tasks.settings.sections import EmbedConfig, ExtractConfig, PipelineConfig
from tasks.tracking.store_address import tracking_uri
from tasks.tracking.store_check import check_store


@dataclass(frozen=True)
class Inputs:
    """References to the input files; `clip_model` is a checkpoint or the name of an official model."""

    items: FileRef
    archive: ImagesInput
    source: ImageSource
    train: FileRef
    valid: FileRef
    test: FileRef
    clip_model: FileRef | str | None  # None where no title or image is encoded

    def digests(self) -> dict[str, str]:
        """Content of each input, by its role."""
        model = self.clip_model.sha256 if isinstance(self.clip_model, FileRef) else self.clip_model
        files = {name: getattr(self, name).sha256 for name in ("items", "train", "valid", "test")}
        return {**files, "archive": content_of(self.archive), **({"clip_model": model} if model else {})}


@settings_named("inputs")
def look_before(config: PipelineConfig) -> None:
    """Refuse at once what is cheap to see: absent files, an absent device, no CLIP model, taken names, no store.

    Raises:
        InputError: with everything that is wrong where files are absent.
    """
    _, problems = find_inputs(config.base_path)
    if problems:
        check_inputs(config.base_path, min_items=config.reduce.n_components)
    is_known = config.embed.model == _remembered(config.base_path).get("clip_model")
    if config.embed.source == "clip" and not is_known:
        look_at_model(config.embed, n_components=config.reduce.n_components)
    if config.device not in ("auto", "cpu"):
        resolve_device(config.device)
    check_places(workspace_of(config))
    check_store(tracking_uri(), config.experiment)


def look_at_archive(base_path: Path, config: ExtractConfig) -> str:
    """Refuse what the extraction would refuse by the archive's listing, which is read unless it was found good before.

    Returns a stamp of the archive as it is, by which it is known to be good.

    Raises:
        InputError: as `mmctr.images.extract.check_images` has it.
    """
    archive = find_inputs(base_path)[0]["archive"]
    stamp = _archive_stamp(archive, config)
    if _remembered(base_path).get("archive") != stamp:
        _check_archive(stamp, config, archive)
    return stamp


@settings_named("inputs")
def open_inputs(config: PipelineConfig, workspace: Workspace) -> Inputs:
    """Validate all inputs, unless the same content was found good before, and refer to them.

    Raises:
        InputError: everything that is wrong with them.
    """
    base_path, min_items, known = config.base_path, config.reduce.n_components, config.predict.min_known_targets
    look_before(config)
    archive = look_at_archive(base_path, config.extract)
    inputs = name_inputs(workspace, embed=config.embed, extract=config.extract)
    content = [inputs.digests(), min_items, known, code_digest("mmctr.inputs.rules")]
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if _remembered(base_path).get("inputs") != fingerprint:
        check_inputs(base_path, min_items=min_items, min_known_targets=known)
        if config.embed.source == "clip":
            check_width(config.embed, n_components=min_items)
    good = {"inputs": fingerprint, "clip_model": config.embed.model, "archive": archive}
    if _remembered(base_path) != good:
        remember_json(_memory(base_path), good)
    return inputs


def name_inputs(workspace: Workspace, *, embed: EmbedConfig, extract: ExtractConfig) -> Inputs:
    """References to the inputs as they are now, which must be there; files that have not changed are not read."""
    paths, _ = find_inputs(workspace.base_path)
    images = paths.pop("archive")
    return Inputs(
        archive=images_ref(workspace, images, extract),
        source=image_source(images, names="integer"),
        **{role: workspace.file_ref(path) for role, path in paths.items()},
        clip_model=model_ref(workspace, embed) if embed.source == "clip" else None,
    )


def _memory(base_path: Path) -> Path:
    """Where it is written down which inputs were found good, so that they are not read through again."""
    return Workspace(base_path).root / "checked.json"


def _remembered(base_path: Path) -> dict[str, str]:
    found = read_json(_memory(base_path))
    return found if isinstance(found, dict) else {}


def _archive_stamp(archive: Path, config: ExtractConfig) -> str:
    """What the answer of `_check_archive` depends on, without reading the archive's listing."""
    states = [(part.name, part.stat()) for part in files_of(archive)]
    stamps = [(name, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for name, s in states]
    settings = config.model_dump(mode="json")
    unsettled = time.time_ns() - max(state.st_ctime_ns for _, state in states) < SETTLED_NS
    code = stage_code("mmctr.images.extract", [image_source(archive, names="integer")])
    content = [stamps, settings, code, time.time_ns() if unsettled else 0]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@lru_cache(maxsize=1)
def _check_archive(_: str, config: ExtractConfig, archive: Path) -> None:
    """Check once for a stamp, as the command line looks before Prefect starts, and the pipeline again."""
    from mmctr.images.extract import check_images

    with settings_named("extract"):
        check_images(archive, whole=False, **archive_limits(config))

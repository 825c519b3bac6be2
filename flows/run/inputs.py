"""The inputs of a run: validated once for their content, then named by it."""

import hashlib
import json
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from flows.run.model import check_width, look_at_columns, look_at_model, model_ref
from flows.run.outputs import check_places, workspace_of
from mmctr.clicks.users import check_users_known, has_column
from mmctr.common.errors import InputError
from mmctr.common.files import SETTLED_NS, read_json, remember_json
from mmctr.compute.device import resolve_device
from mmctr.images.find import files_of, find_images
from mmctr.images.naming import Naming, naming_of
from mmctr.inputs.files import find_inputs
from mmctr.inputs.rules import check_inputs, text_columns
from tasks.cache.code_digest import code_digest, stage_code
from tasks.cache.images import ImagesInput, content_of, image_source, images_ref
from tasks.cache.workspace import FileRef, PartsRef, Workspace
from tasks.settings.archive import ImageSource, archive_limits
from tasks.settings.items import ExtractConfig
from tasks.settings.named import settings_named
from tasks.settings.sections import PipelineConfig
from tasks.tracking.store_address import tracking_uri
from tasks.tracking.store_check import check_store


@dataclass(frozen=True)
class Inputs:
    """References to the inputs; None for what the settings do without.

    `clip_model` is the file of the weights, or an official name. Without `valid`, users of `train` are held out.
    """

    items: PartsRef
    images: ImagesInput | None
    source: ImageSource | None
    train: PartsRef
    valid: PartsRef | None
    test: PartsRef | None
    clip_model: FileRef | str | None

    def digests(self) -> dict[str, str]:
        """Content of each input that there is, by its role."""
        tables = {name: getattr(self, name) for name in ("items", "train", "valid", "test")}
        digests = {name: ref.sha256 for name, ref in tables.items() if ref is not None}
        if self.images is not None:
            digests["images"] = content_of(self.images)
        if self.clip_model is not None:
            digests["clip_model"] = self.clip_model if isinstance(self.clip_model, str) else self.clip_model.sha256
        return digests


@dataclass(frozen=True)
class FoundFiles:
    """Where the inputs are: files of the tables by role, none for one that is not named, and the source of images."""

    tables: dict[str, list[Path]]
    images: Path | None
    problems: list[str]  # a sentence for each that is missing

    def all(self) -> dict[str, list[Path]]:
        """Every file that is read, by role."""
        return {**self.tables, "images": [] if self.images is None else files_of(self.images)}


def find_files(config: PipelineConfig) -> FoundFiles:
    """Look where the inputs are; images only where they are embedded."""
    layout = config.data.layout
    tables, problems = find_inputs(config.base_path, layout)
    images, problem = _find_images(config)
    return FoundFiles(tables, images, [*problems, *([problem] if problem else [])])


def _find_images(config: PipelineConfig) -> tuple[Path | None, str | None]:
    """Where the images are, or a sentence on why they are not there; neither where none are embedded."""
    return find_images(config.base_path, config.data.images if config.embed.source == "clip" else [])


def check_source(config: PipelineConfig) -> None:
    """Refuse a configuration in which there is nothing to make vectors of.

    Raises:
        InputError: with what to set.
    """
    if config.embed.source == "clip" and not config.data.title and not config.data.images:
        raise InputError(
            "vectors are made of titles or images, and neither data.title nor data.images names any; name one of them, "
            'or set embed.source = "columns" for vectors that the item table has, or "none" for items that are known '
            "by their ids and features alone"
        )


@settings_named("inputs")
def look_before(config: PipelineConfig) -> None:
    """Refuse at once what is cheap to see: absent files, an absent device, no CLIP model, taken names, no store.

    Raises:
        InputError: with everything that is wrong where files are absent.
    """
    check_source(config)
    found = find_files(config)
    if found.problems:
        _check_tables(config)
    if weight := config.train.pairwise_weight:
        with settings_named("train"):
            check_users_known(has_column(found.tables["train"], config.data.user), pairwise_weight=weight)
    if config.embed.source == "columns":
        look_at_columns(config.embed, found.tables["items"], n_components=config.reduce.n_components)
    if config.embed.source == "clip" and config.embed.model != _remembered(config.base_path).get("clip_model"):
        look_at_model(config.embed, n_components=config.reduce.n_components)
    if config.device not in ("auto", "cpu"):
        resolve_device(config.device)
    check_places(workspace_of(config))
    check_store(tracking_uri(), config.experiment)


def look_at_images(config: PipelineConfig) -> str:
    """Refuse what the extraction would refuse by a listing of the images, unless it was found good before.

    Returns a stamp of the images as they are, by which they are known to be good; an empty one where there are none.

    Raises:
        InputError: as `mmctr.images.extract.check_images` has it.
    """
    found = find_files(config)
    if found.images is None:
        return ""
    names = _names(config, found)
    stamp = _images_stamp(found.images, config.extract, names=names)
    if _remembered(config.base_path).get("images") != stamp:
        _check_images(stamp, config.extract, found.images, names)
    return stamp


@settings_named("inputs")
def open_inputs(config: PipelineConfig, workspace: Workspace) -> Inputs:
    """Validate all inputs, unless the same content was found good before, and refer to them.

    Raises:
        InputError: everything that is wrong with them.
    """
    look_before(config)
    images = look_at_images(config)
    inputs = name_inputs(config, workspace)
    min_items, known = fewest_items(config), config.predict.min_known_targets
    content = [
        inputs.digests(),
        config.data.model_dump(mode="json"),
        min_items,
        known,
        code_digest("mmctr.inputs.rules"),
    ]
    fingerprint = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    if _remembered(config.base_path).get("inputs") != fingerprint:
        _check_tables(config)
        if inputs.clip_model is not None:
            check_width(config.embed, n_components=min_items)
    good = {"inputs": fingerprint, "clip_model": config.embed.model, "images": images}
    if _remembered(config.base_path) != good:
        remember_json(_memory(config.base_path), good)
    return inputs


def name_inputs(config: PipelineConfig, workspace: Workspace) -> Inputs:
    """References to the inputs as they are now, which must be there; files that have not changed are not read."""
    found = find_files(config)
    tables = {role: workspace.parts_ref(paths) for role, paths in found.tables.items() if paths}
    images = source = None
    if found.images is not None:
        source = image_source(found.images, names=_names(config, found))
        images = images_ref(workspace, found.images, config.extract)
    return Inputs(
        items=tables["items"],
        images=images,
        source=source,
        train=tables["train"],
        valid=tables.get("valid"),
        test=tables.get("test"),
        clip_model=model_ref(workspace, config.embed) if config.embed.source == "clip" else None,
    )


def _memory(base_path: Path) -> Path:
    """Where it is written down which inputs were found good, so that they are not read through again."""
    return Workspace(base_path).root / "checked.json"


def _remembered(base_path: Path) -> dict[str, str]:
    found = read_json(_memory(base_path))
    return found if isinstance(found, dict) else {}


def fewest_items(config: PipelineConfig) -> int:
    """Fewest items that PCA can be fitted to; any number where there is none."""
    return 1 if config.embed.source == "none" else config.reduce.n_components


def _check_tables(config: PipelineConfig) -> None:
    """Refuse tables that break a rule, and say beside it that the images are missing."""
    _, problem = _find_images(config)
    check_inputs(
        config.base_path,
        config.data.layout,
        min_items=fewest_items(config),
        min_known_targets=config.predict.min_known_targets,
        problems=[problem] if problem else [],
    )


def _names(config: PipelineConfig, found: FoundFiles) -> Naming:
    """How images are called, by the columns of the item table."""
    column = config.data.item_id
    is_text = text_columns(found.tables["items"], [column]).get(column, False)
    return naming_of(config.data.image, text_ids=is_text)


def _images_stamp(images: Path, config: ExtractConfig, *, names: Naming) -> str:
    """What the answer of `_check_images` depends on, without reading a listing."""
    states = [(str(file), file.stat()) for file in files_of(images)]
    stamps = [(name, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns) for name, s in states]
    settings = config.model_dump(mode="json")
    unsettled = time.time_ns() - max((state.st_ctime_ns for _, state in states), default=0) < SETTLED_NS
    code = stage_code("mmctr.images.extract", [image_source(images, names=names)])
    content = [stamps, settings, names, code, time.time_ns() if unsettled else 0]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@lru_cache(maxsize=1)
def _check_images(_: str, config: ExtractConfig, images: Path, names: Naming) -> None:
    """Check once for a stamp, as the command line looks before Prefect starts, and the pipeline again."""
    from mmctr.images.extract import check_images

    with settings_named("extract"):
        check_images(images, names=names, whole=False, **archive_limits(config))

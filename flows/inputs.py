"""The inputs of a run: validated once for their content, then named by it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from flows.outputs import check_places
from mmctr.device import resolve_device
from mmctr.errors import InputError, shown_value
from mmctr.files import is_file, write_bytes
from mmctr.schema import check_inputs, find_inputs
from tasks.code import code_digest
from tasks.config import PipelineConfig, home_expanded, named_as_settings
from tasks.references import FileRef, Workspace
from tasks.store_address import tracking_uri
from tasks.store_check import check_store


@dataclass(frozen=True)
class Inputs:
    """References to the input files; `clip_model` is a checkpoint or the name of an official model."""

    items: FileRef
    archive: FileRef
    train: FileRef
    valid: FileRef
    test: FileRef
    clip_model: FileRef | str

    def digests(self) -> dict[str, str]:
        """Content of each input, by its role."""
        model = self.clip_model if isinstance(self.clip_model, str) else self.clip_model.sha256
        files = ("items", "archive", "train", "valid", "test")
        return {**{name: getattr(self, name).sha256 for name in files}, "clip_model": model}


def look_before(config: PipelineConfig) -> None:
    """Refuse at once what is cheap to see: absent files, an absent device, no CLIP model, taken names, no store.

    Raises:
        InputError: with everything that is wrong where files are absent.
    """
    _, problems = find_inputs(config.base_path)
    if problems:
        check_inputs(config.base_path, min_items=config.reduce.n_components)
    model = config.embed.model
    if not is_file(home_expanded(Path(model))) and model != _remembered(config.base_path).get("clip_model"):
        _check_model_name(model)
    if config.device not in ("auto", "cpu"):
        resolve_device(config.device)
    check_places(config.base_path)
    check_store(tracking_uri(), config.experiment)


def open_inputs(config: PipelineConfig, workspace: Workspace) -> Inputs:
    """Validate all inputs, unless the same content was found good before, and refer to them.

    Raises:
        InputError: everything that is wrong with them.
    """
    base_path, min_items = config.base_path, config.reduce.n_components
    look_before(config)
    inputs = name_inputs(config, workspace)
    fingerprint = hashlib.sha256(
        json.dumps([inputs.digests(), min_items, code_digest("mmctr.schema")], sort_keys=True).encode()
    ).hexdigest()
    if _remembered(base_path).get("inputs") != fingerprint:
        check_inputs(base_path, min_items=min_items)
        _check_width(config)
        good = {"inputs": fingerprint, "clip_model": config.embed.model}
        write_bytes(_memory(base_path), json.dumps(good).encode())
    return inputs


def name_inputs(config: PipelineConfig, workspace: Workspace) -> Inputs:
    """References to the inputs as they are now, which must be there; files that have not changed are not read."""
    paths, _ = find_inputs(config.base_path)
    return Inputs(
        **{role: workspace.file_ref(path) for role, path in paths.items()},
        clip_model=_clip_model(config.embed.model, workspace),
    )


def _memory(base_path: Path) -> Path:
    """Where it is written down which inputs were found good, so that they are not read through again."""
    return Workspace(base_path).root / "checked.json"


def _remembered(base_path: Path) -> dict[str, str]:
    try:
        found = json.loads(_memory(base_path).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _clip_model(model: str, workspace: Workspace) -> FileRef | str:
    path = home_expanded(Path(model))
    return workspace.file_ref(path) if is_file(path) else model


def _check_width(config: PipelineConfig) -> None:
    """Refuse a CLIP model that is too narrow for the reduction, before hours are spent on its embeddings."""
    from mmctr.clip_model import clip_width

    model, needed = str(home_expanded(Path(config.embed.model))), config.reduce.n_components
    with named_as_settings("embed"):
        width = clip_width(model, allow_torchscript=config.embed.allow_torchscript)
    if width is not None and width < needed:
        raise InputError(
            f"PCA to {needed} components needs embeddings at least that wide, {model} gives {width}; "
            "use a wider model (embed.model) or lower reduce.n_components"
        )


def _check_model_name(model: str) -> None:
    from mmctr.clip_model import official_models

    if model not in official_models():
        raise InputError(
            f"embed.model must be the path of a checkpoint or one of {', '.join(official_models())}; "
            f"found {shown_value(model)}, and no such file"
        )

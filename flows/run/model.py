"""Where the vectors of items come from, looked at before anything starts: a model by its weights, or columns."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mmctr.common.errors import InputError
from mmctr.encoders.base import kind_of, weights_file
from mmctr.encoders.names import CLIP, ModelName, parse_model
from tasks.cache.workspace import FileRef, Workspace
from tasks.settings.items import EmbedConfig
from tasks.settings.named import settings_named
from tasks.settings.sections import home_expanded


@settings_named("embed")
def look_at_model(config: EmbedConfig, *, n_components: int) -> None:
    """Refuse a model that there is not, and one that is unusable or too narrow where that is cheap to see.

    Raises:
        InputError: with what there is, or what to do.
    """
    home_expanded(Path(config.model))  # a user that there is not is named
    name = parse_model(config.model)
    home_expanded(Path(name.weights))
    kind_of(name).weights(name, download=False)
    if name.file or name.kind != CLIP:
        check_width(config, n_components=n_components)


def check_width(config: EmbedConfig, *, n_components: int) -> None:
    """Refuse a model that is unusable, or too narrow for the reduction, before anything is done."""
    name = parse_model(config.model)
    status = name.file.stat() if name.file else None
    stamp = status and (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    width = _width(name, stamp, config.allow_torchscript)
    needed = n_components - n_components // 2 if config.fuse == "concat" else n_components  # of a title, of an image
    if width is not None and width < needed:
        raise InputError(
            f"PCA to {n_components} components needs embeddings at least that wide; those of {name} have {width} "
            f"numbers{' for each of two parts' if config.fuse == 'concat' else ''}; use a wider model (embed.model) or "
            "lower reduce.n_components"
        )


@cache
def _width(name: ModelName, stamp: tuple[int, ...] | None, allow_torchscript: bool) -> int | None:  # noqa: ARG001 for @cache
    """The width of a model whose file is as it is now, which takes seconds and is asked for twice in a run."""
    with settings_named("embed"):
        return kind_of(name).width(name, allow_torchscript=allow_torchscript)


@settings_named("embed")
def model_ref(workspace: Workspace, config: EmbedConfig) -> FileRef | str:
    """The weights by their file, which is downloaded where it is missing; CLIP's official ones by their name.

    Raises:
        InputError: weights that are published under a tag are not here and were not to be had.
    """
    name = parse_model(config.model)
    file = weights_file(name)
    return name.weights if file is None else workspace.file_ref(file)


@settings_named("embed")
def look_at_columns(config: EmbedConfig, files: Sequence[Path], *, n_components: int) -> None:
    """Refuse columns of vectors that are missing, of another type, or too narrow, by their first vectors.

    Raises:
        InputError: with the column and what to do.
    """
    from mmctr.embedding.sources.columns import given_parts
    from mmctr.embedding.vectors import fused_parts

    width = sum(part.width for part in fused_parts(given_parts(files, columns=config.columns), fuse=config.fuse))
    if width < n_components:
        raise InputError(
            f"PCA to {n_components} components needs vectors at least that wide; those of embed.columns have {width} "
            "numbers; name others or lower reduce.n_components"
        )

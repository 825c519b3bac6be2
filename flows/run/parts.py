"""Which parts a model has: their code counts in the key of what it predicts."""

from collections.abc import Iterable

from tasks.cache.workspace import FileRef, Workspace
from tasks.settings.model import ModelParts
from tasks.settings.sections import PipelineConfig


def parts_of(config: PipelineConfig) -> ModelParts:
    """Those of the model that a run of these settings trains."""
    return ModelParts(modules=tuple(config.model.components()))


def parts_in(workspace: Workspace, checkpoint: FileRef) -> ModelParts:
    """Those of the model in a checkpoint.

    Raises:
        InputError: it cannot be read.
    """
    from mmctr.models.checkpoint import modules_of

    with workspace.reading(checkpoint) as file:
        return ModelParts(modules=modules_of(file))


def together(models: Iterable[ModelParts]) -> ModelParts:
    """Those of several models, each once."""
    return ModelParts(modules=tuple(dict.fromkeys(module for parts in models for module in parts.modules)))

"""What a run of the pipeline and a trial of a search train with."""

from typing import Any

from flows.run.inputs import Inputs
from flows.run.items import ItemStages
from mmctr.inputs.layout import Half
from tasks.cache.workspace import Workspace
from tasks.settings.sections import PipelineConfig
from tasks.tracking.ancestor import Ancestor, find_ancestor, space_of_run
from tasks.tracking.registry import Registry


def ancestor_of(config: PipelineConfig, inputs: Inputs, *, registry: Registry, workspace: Workspace) -> Ancestor:
    """The earlier training that a run starts from; an empty one for none."""
    digests = inputs.digests()
    return find_ancestor(
        registry,
        reuse_pca=config.reduce.pca == "reuse",
        warm_start=config.train.warm_start,
        digests=digests,
        space=space_of_run(config.embed, config.reduce, clip_model=digests.get("clip_model")),
        workspace=workspace,
    )


def training_inputs(
    config: PipelineConfig, inputs: Inputs, items: ItemStages, ancestor: Ancestor, *, half: Half | None
) -> dict[str, Any]:
    """What the stage `train` is called with, but for where it records: `half` is which validation clicks it has."""
    layout = config.data.layout
    return {
        "config": config.train,
        "model": config.model,
        **clicks_of(config, inputs),
        "user": layout.user,
        "train": inputs.train,
        "table": items.weights.table,
        "items": inputs.items if layout.item_features else None,
        "item_columns": layout.item_columns if layout.item_features else None,
        "earlier": ancestor.checkpoint,
        "half": half,
    }


def clicks_of(config: PipelineConfig, inputs: Inputs) -> dict[str, Any]:
    """What stages that read validation clicks are called with: where there are none, users of train are held out."""
    layout = config.data.layout
    return {
        "columns": layout.click_columns,
        "valid": inputs.train if inputs.valid is None else inputs.valid,
        "held_out": layout.held_out("valid"),
    }

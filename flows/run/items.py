"""The stages that make the item table, of which a data set needs some or all.

images --> extract --+
                     +--> embed --> reduce --> build_weights      titles and images through an encoder
items ---------------+
items ------------------> embed --> reduce --> build_weights      vectors that the item table has
items ---------------------------------------> build_weights      neither: ids are learned from clicks alone
"""

from dataclasses import dataclass

from flows.run.inputs import Inputs
from mmctr.inputs.layout import ItemColumns
from tasks.build_weights import build_weights
from tasks.cache.results import BuiltWeights, Embedded, Extracted, Reduced
from tasks.cache.stage import StageRunner
from tasks.embed import embed
from tasks.extract import extract
from tasks.reduce import reduce
from tasks.settings.sections import PipelineConfig
from tasks.tracking.ancestor import Ancestor


@dataclass(frozen=True)
class ItemStages:
    """What the stages returned; None for one that the data set does without."""

    images: Extracted | None
    embedded: Embedded | None
    reduced: Reduced | None
    weights: BuiltWeights


def make_items(run: StageRunner, config: PipelineConfig, inputs: Inputs, ancestor: Ancestor) -> ItemStages:
    """Run the stages that this data set needs."""
    layout = config.data.layout
    if config.embed.source == "none":
        weights = run(
            build_weights,
            item_embeddings=None,
            items=inputs.items,
            columns=ItemColumns(item_id=layout.item_id),
            dim=config.reduce.n_components,
            seed=config.train.seed,
        )
        return ItemStages(None, None, None, weights)
    images = None
    if inputs.images is not None and inputs.source is not None:
        images = run(extract, config=config.extract, source=inputs.source, images=inputs.images)
    embedded = run(
        embed,
        config=config.embed,
        columns=_embedded_columns(config),
        clip_model=inputs.clip_model,
        items=inputs.items,
        images=None if images is None else images.images,
        names="integer" if inputs.source is None else inputs.source.names,
    )
    reduced = run(reduce, config=config.reduce, embeddings=embedded.embeddings, pca=ancestor.pca)
    weights = run(build_weights, item_embeddings=reduced.item_embeddings, items=None, columns=None, dim=None, seed=None)
    return ItemStages(images, embedded, reduced, weights)


def _embedded_columns(config: PipelineConfig) -> ItemColumns:
    """What the vectors of items are made of in their table, and nothing else that a change of would embed again."""
    layout = config.data.layout
    if config.embed.source == "columns":
        return ItemColumns(item_id=layout.item_id)
    return ItemColumns(item_id=layout.item_id, title=layout.title, image=layout.image)

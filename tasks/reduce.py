"""Stage 3: PCA of the items' vectors."""

from dataclasses import replace

from mmctr.common.text import shown
from tasks.cache.results import Reduced
from tasks.cache.stage import RunContext, logger, own_folder, stage
from tasks.cache.workspace import STORED, FileRef
from tasks.settings.items import ReduceConfig


@stage
def reduce(context: RunContext, *, config: ReduceConfig, embeddings: FileRef, pca: FileRef | None) -> Reduced:
    """Write the item embeddings and `pca.npz`: fitted here, or `pca` of an earlier run as it is."""
    from mmctr.embedding.pca import load_pca, save_pca, write_item_embeddings
    from mmctr.embedding.reduction import reduce_embeddings
    from mmctr.embedding.vectors import read_vectors

    workspace = context.workspace
    folder = own_folder(workspace)
    with workspace.reading(embeddings) as embeddings_file:
        items = read_vectors(embeddings_file)
    earlier = None
    if pca is not None:
        with workspace.reading(pca) as pca_file:
            earlier = load_pca(pca_file)
    reduction = reduce_embeddings(
        items.vectors, n_components=config.n_components, pca=earlier, parts=items.parts, fit=config.fit
    )
    logger().info(
        "PCA to %d dimensions keeps %.1f %% of the variance", config.n_components, 100 * reduction.explained_variance
    )
    for name, share in reduction.part_variances.items():
        logger().info("of %s it keeps %.1f %%", shown(name), 100 * share)
    write_item_embeddings(items.item_ids, reduction.vectors, folder / STORED["item_embeddings"])
    save_pca(reduction.pca, folder / "pca.npz", space=replace(items.space, fit=config.fit))
    return Reduced(
        item_embeddings=workspace.file_ref(folder / STORED["item_embeddings"]),
        pca=workspace.file_ref(folder / "pca.npz"),
        explained_variance=reduction.explained_variance,
        part_variances=dict(reduction.part_variances),
    )

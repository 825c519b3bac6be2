"""Stage 3: PCA of the CLIP embeddings."""

from tasks.cache.results import Reduced
from tasks.cache.stage import RunContext, logger, own_folder, stage
from tasks.cache.workspace import FileRef
from tasks.settings.sections import ReduceConfig


@stage
def reduce(context: RunContext, *, config: ReduceConfig, embeddings: FileRef, pca: FileRef | None) -> Reduced:
    """Write `item_emb_task1_clip.parquet` and `pca.npz`: fitted here, or `pca` of an earlier run as it is."""
    from mmctr.embedding.pca import load_pca, reduce_embeddings, save_pca, write_item_embeddings
    from mmctr.inputs.layout import ITEM_EMBEDDINGS_FILE
    from mmctr.inputs.parquet import read_table

    workspace = context.workspace
    folder = own_folder(workspace)
    with workspace.reading(embeddings) as embeddings_file:
        items = read_table(embeddings_file)
    earlier = None
    if pca is not None:
        with workspace.reading(pca) as pca_file:
            earlier = load_pca(pca_file)
    reduction = reduce_embeddings(
        items["embedding"].to_numpy(),
        n_components=config.n_components,
        pca=earlier,
    )
    logger().info(
        "PCA to %d dimensions keeps %.1f %% of the variance", config.n_components, 100 * reduction.explained_variance
    )
    write_item_embeddings(items["item_id"], reduction.vectors, folder / ITEM_EMBEDDINGS_FILE)
    save_pca(reduction.pca, folder / "pca.npz")
    return Reduced(
        item_embeddings=workspace.file_ref(folder / ITEM_EMBEDDINGS_FILE),
        pca=workspace.file_ref(folder / "pca.npz"),
        explained_variance=reduction.explained_variance,
    )

"""Stage 4: the id map and the embedding table."""

from tasks.cache.results import BuiltWeights
from tasks.cache.stage import RunContext, own_folder, stage
from tasks.cache.workspace import FileRef


@stage
def build_weights(context: RunContext, *, item_embeddings: FileRef) -> BuiltWeights:
    """Write `item_table.npz`: item ids by position, and the weights with a zero padding row."""
    from mmctr.clicks.item_table import build_item_table, save_item_table
    from mmctr.inputs.parquet import read_table

    workspace = context.workspace
    path = own_folder(workspace) / "item_table.npz"
    with workspace.reading(item_embeddings) as embeddings_file:
        embeddings = read_table(embeddings_file)
    table = build_item_table(embeddings, column=embeddings.columns[1])
    save_item_table(table, path)
    return BuiltWeights(table=workspace.file_ref(path), items=len(table.ids))

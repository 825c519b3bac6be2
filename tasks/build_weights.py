"""Stage 4: the id map and the embedding table."""

from typing import TYPE_CHECKING

from mmctr.inputs.layout import ItemColumns
from tasks.cache.results import BuiltWeights
from tasks.cache.stage import RunContext, own_folder, stage
from tasks.cache.workspace import FileRef, PartsRef, Workspace

if TYPE_CHECKING:
    import polars as pl


@stage
def build_weights(
    context: RunContext,
    *,
    item_embeddings: FileRef | None,
    items: PartsRef | None,
    columns: ItemColumns | None,
    dim: int | None,
    seed: int | None,
) -> BuiltWeights:
    """Write `item_table.npz`: item ids by position, and the weights with a zero padding row.

    Where there are no `item_embeddings`, the `items` start from small random vectors of `dim` numbers each.
    """
    from mmctr.clicks.item_table import build_item_table, save_item_table
    from mmctr.inputs.parquet import read_table

    workspace = context.workspace
    path = own_folder(workspace) / "item_table.npz"
    if item_embeddings is not None:
        with workspace.reading(item_embeddings) as embeddings_file:
            embeddings = read_table(embeddings_file)
    else:
        assert items is not None
        assert columns is not None
        assert dim is not None
        assert seed is not None
        embeddings = _untrained(workspace, items, columns=columns, dim=dim, seed=seed)
    table = build_item_table(embeddings, column=embeddings.columns[1])
    save_item_table(table, path)
    return BuiltWeights(table=workspace.file_ref(path), items=len(table.ids))


def _untrained(workspace: Workspace, items: PartsRef, *, columns: ItemColumns, dim: int, seed: int) -> "pl.DataFrame":
    """Vectors to begin with, from the items' ids alone, sorted by id as embeddings are."""
    import polars as pl

    from mmctr.embedding.untrained import untrained_vectors
    from mmctr.inputs.columns import read_items

    with workspace.reading_table(items) as files:
        ids = read_items(files, columns=columns)["item_id"].sort()
    vectors = untrained_vectors(ids, dim=dim, seed=seed)
    return pl.DataFrame({"item_id": ids, "vector": pl.Series(vectors, dtype=pl.Array(pl.Float32, dim))})

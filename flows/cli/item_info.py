"""`mmctr item-info`: the organisers' `item_info.parquet`, with the item embeddings of the last run."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import numpy as np
import numpy.typing as npt

from flows.cli.places import check_place
from flows.cli.published_vectors import published_vectors
from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_value
from mmctr.inputs.columns import history_ids, ids_of
from mmctr.inputs.files import find_table
from mmctr.inputs.tables import column_names, read_chunks
from mmctr.submission.item_info import PLACE, TAG_PLACES, TAGS, item_info, write_item_info
from tasks.settings.sections import PipelineConfig, home_expanded

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WrittenItemInfo:
    """What was written."""

    items: int
    cut: int  # items with more tags than there are places
    out: Path

    def text(self) -> str:
        """As lines of text, for a terminal."""
        cut = f"; of {self.cut:,} with more tags the last {TAG_PLACES} are kept" if self.cut else ""
        return f"items         {self.items:,}, and row 0, which is padding{cut}\nwritten       {self.out}"


def make_item_info(config: PipelineConfig, *, out: Path | None, force: bool) -> WrittenItemInfo:
    """Write the table of the item table's tags and the embeddings that the last run published.

    Args:
        config: of the data folder.
        out: file to write; by default where the organisers' code looks for it.
        force: write over a file that another wrote.

    Raises:
        InputError: something is missing, the ids are not 1 to V, or the place is taken.
    """
    base_path, layout = config.base_path, config.data.layout
    place = base_path / PLACE if out is None else home_expanded(out).absolute()
    if place.suffix.lower() != ".parquet":
        raise InputError(f"OUT must end in .parquet, as item_info.parquet is one; found {shown(str(out))}")
    check_place(place, base_path=base_path, layout=layout, command="item-info")
    published, vectors = published_vectors(base_path, layout, command="item-info")
    if not published.dtype.is_integer():
        raise InputError(
            "the organisers' loader takes row i for item i, so ids must be whole numbers; those of the last run are "
            f"text, such as {shown_value(published[0] if len(published) else '')}; number the items"
        )
    ids, tags, counts = _tags(base_path, items=layout.items, item_id=layout.item_id)
    order = np.argsort(ids)
    embedded = np.argsort(published.to_numpy())
    if not np.array_equal(ids[order], published.to_numpy()[embedded]):
        raise InputError(
            f"{base_path / layout.item_embeddings} must have the items of {layout.items}; they differ, as one has "
            f"changed since; run again: mmctr run {quote(str(base_path))}"
        )
    aligned = np.empty_like(vectors)
    aligned[order] = vectors[embedded]
    place.parent.mkdir(parents=True, exist_ok=True)
    write_item_info(item_info(ids, aligned, tags=tags, tag_counts=counts), place, force=force)
    return WrittenItemInfo(items=len(ids), cut=int((counts > TAG_PLACES).sum()), out=place)


def _tags(base_path: Path, *, items: str, item_id: str) -> tuple[IntArray, IntArray, IntArray]:
    """(V,) ids, (N,) tags of all items one after another, and how many each has."""
    files, problem = find_table(base_path, items)
    if problem is not None:
        raise InputError(f"item-info reads the tags of the item table; in {base_path} {problem}")
    there = column_names(files)
    remedies = {item_id: "name it with data.item_id", TAGS: "add it, a list of whole numbers from 1 on for each item"}
    missing = next((name for name in remedies if name not in there), None)
    if missing is not None:
        raise InputError(
            f"item-info reads columns {item_id} and {TAGS} of {items}; {missing} is missing, it has "
            f"{shown(', '.join(there))}; {remedies[missing]}"
        )
    none = np.zeros(0, dtype=np.int64)
    parts = [(none, none, none)]
    for chunk in read_chunks(files, columns=[item_id, TAGS]):
        try:
            tags, counts = history_ids(chunk.column(TAGS), padding="zero", text=False)
        except InputError as error:
            raise InputError(f"{TAGS} of {items} must be lists of whole numbers from 1 on: {error}") from error
        parts.append((np.asarray(ids_of(chunk.column(item_id), text=False)), np.asarray(tags), counts))
    ids, tags, counts = (np.concatenate(part) for part in zip(*parts, strict=True))
    return ids, tags, counts

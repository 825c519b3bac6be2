"""`mmctr similar`: the items whose embeddings are nearest to one's, by exact search."""

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from flows.cli.published_vectors import published_vectors
from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_value
from mmctr.inputs.columns import ITEM_ID, read_items
from mmctr.inputs.files import find_table
from mmctr.inputs.layout import Layout
from tasks.settings.sections import PipelineConfig

NEAR_IDS, NEAR_TEXTS = 3, 20_000  # ids that are shown for one that is unknown; most that are compared as texts
SHOWN_TITLE = 70


@dataclass(frozen=True)
class Neighbour:
    """An item, its title, and the cosine of its embedding with that of the item that was asked for."""

    item_id: int | str
    title: str | None
    similarity: float


@dataclass(frozen=True)
class Similar:
    """The nearest items, nearest first."""

    item_id: int | str
    title: str | None
    neighbours: tuple[Neighbour, ...]
    items: int
    without_content: int  # items whose embedding is zero; they are near to none

    def as_json(self) -> str:
        """All of it."""
        found = [vars(one) for one in self.neighbours]
        return json.dumps({**vars(self), "neighbours": found}, indent=2, ensure_ascii=False)

    def as_text(self) -> str:
        """As aligned lines, for a terminal."""
        width = max([len(_cell(one.item_id)) for one in self.neighbours] + [len(_cell(self.item_id)), 7])
        lines = [f"{_cell(self.item_id):<{width}}  cosine  {_title(self.title)}"]
        lines += [
            f"{_cell(one.item_id):<{width}}  {one.similarity:6.3f}  {_title(one.title)}" for one in self.neighbours
        ]
        if self.without_content:
            lines.append(f"{self.without_content:,} of {self.items:,} items have no content, so they are near to none")
        return "\n".join(lines)


def _cell(item_id: int | str) -> str:
    return shown(str(item_id), limit=40)


def _title(title: str | None) -> str:
    return shown(title, limit=SHOWN_TITLE) if title else "(no title)"


def similar(config: PipelineConfig, item_id: str, *, k: int) -> Similar:
    """The `k` items with the highest cosine to the item `item_id`, which is left out, as are items of zero vectors.

    Raises:
        InputError: there are no published embeddings, no such item among them, or it has no content.
    """
    if k < 1:
        raise InputError(f"-k is the number of items to list, 1 or more; found {k}")
    layout = config.data.layout
    ids, vectors = published_vectors(config.base_path, layout, command="similar")
    wanted = _row(ids, item_id)
    norms = np.linalg.norm(vectors, axis=1)
    empty = norms == 0
    if empty[wanted]:
        raise InputError(
            f"similar compares what items are made of; {_cell(ids[wanted])} has no content, so its embedding is zero; "
            "choose another item, or add a title or an image and run the pipeline"
        )
    cosine = vectors @ vectors[wanted] / np.where(empty, 1, norms * norms[wanted])
    cosine[empty] = cosine[wanted] = -np.inf
    order = np.argsort(-cosine, kind="stable")[: min(k, int((~empty).sum()) - 1)]
    titles = _titles(config.base_path, layout, [ids[int(row)] for row in (wanted, *order)])
    found = tuple(
        Neighbour(ids[int(row)], title, float(np.clip(cosine[row], -1, 1)))
        for row, title in zip(order, titles[1:], strict=True)
    )
    return Similar(ids[wanted], titles[0], found, len(ids), int(empty.sum()))


def _row(ids: pl.Series, item_id: str) -> int:
    """The position of an id.

    Raises:
        InputError: it is not there; with ids that are near.
    """
    wanted: Any = item_id
    if ids.dtype != pl.String:
        wanted = int(item_id) if item_id.isascii() and item_id.lstrip("-").isdigit() and len(item_id) < 19 else None
    row = None if wanted is None else ids.index_of(wanted)
    if row is None:
        near = ", ".join(_cell(one) for one in _near(ids, item_id, wanted))
        raise InputError(
            f"ITEM_ID must be one of the {len(ids):,} items of the last run; {shown_value(item_id)} is none"
            f"{f'; did you mean one of {near}?' if near else '; use one of the item table'}"
        )
    return int(row)


def _near(ids: pl.Series, item_id: str, wanted: Any) -> list[Any]:
    if ids.dtype != pl.String:
        distance = (ids.cast(pl.Int64) - wanted).abs() if wanted is not None else None
        return [] if distance is None else ids.gather(distance.arg_sort()[:NEAR_IDS]).to_list()
    begins = ids.filter(ids.str.to_lowercase().str.starts_with(item_id.lower()))[:NEAR_IDS].to_list()
    return begins or get_close_matches(item_id[:256], ids[:NEAR_TEXTS].to_list(), n=NEAR_IDS)


def _titles(base_path: Path, layout: Layout, ids: list[int | str]) -> list[str | None]:
    """Title of each item; None where the item table is gone or does not have it."""
    files, problem = find_table(base_path, layout.items)
    if problem is not None or not layout.title:
        return [None] * len(ids)
    items = read_items(files, columns=layout.item_columns)
    rows = items.filter(items[ITEM_ID].is_in(ids))
    titles = dict(zip(rows[ITEM_ID], rows["title"], strict=True))
    return [titles.get(item_id) for item_id in ids]

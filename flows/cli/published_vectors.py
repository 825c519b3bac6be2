"""The item embeddings that the last run published, for commands that read them."""

from pathlib import Path
from shlex import quote

import numpy as np
import numpy.typing as npt
import polars as pl
import polars.exceptions

from mmctr.common.errors import InputError, raise_if_of_the_machine
from mmctr.common.files import is_file
from mmctr.common.text import first_line
from mmctr.inputs.columns import ITEM_ID
from mmctr.inputs.layout import Layout
from mmctr.inputs.parquet import read_table


def published_vectors(base_path: Path, layout: Layout, *, command: str) -> tuple[pl.Series, npt.NDArray[np.float32]]:
    """(V,) ids and (V, D) float32 vectors of the file that the last run published; `command` reads them.

    Raises:
        InputError: there is none, or it is no such file.
    """
    path = base_path / layout.item_embeddings
    if not is_file(path):
        raise InputError(
            f"{command} reads the item embeddings that a run has published; {path} is missing; make it: "
            f"mmctr run {quote(str(base_path))}"
        )
    try:
        frame = read_table(path)
        (name,) = (name for name, kind in frame.schema.items() if isinstance(kind, pl.List | pl.Array))
        column = frame[name]
        if isinstance(column.dtype, pl.List):
            column = column.list.to_array(len(column[0]))
        return frame[ITEM_ID], np.ascontiguousarray(column.to_numpy(), dtype=np.float32)
    except (polars.exceptions.PolarsError, OSError, ValueError, IndexError, TypeError) as error:
        raise_if_of_the_machine(error, path=path)
        raise InputError(
            f"{path} must be item embeddings as a run publishes them: {first_line(error)}; make them again: "
            f"mmctr run {quote(str(base_path))}"
        ) from error

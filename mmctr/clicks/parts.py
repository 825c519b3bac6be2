"""Rows of a click log, all of them or those of one part of its users."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from mmctr.inputs.files import Files
from mmctr.inputs.held_out import kept_rows
from mmctr.inputs.layout import HeldOut
from mmctr.inputs.tables import read_chunks


def read_part(files: Files, *, columns: Sequence[str], held_out: HeldOut | None) -> Iterator[pa.RecordBatch]:
    """The columns of a click log, some rows at a time; of the rows those of `held_out`, or all where it is None.

    A column that is named twice is there once.

    Raises:
        InputError: a column is missing, or a file cannot be read to its end.
    """
    names = list(dict.fromkeys([*columns, *([held_out.user] if held_out else [])]))
    for chunk in read_chunks(files, columns=names):
        yield chunk.filter(pa.array(kept_rows(chunk[held_out.user], held_out))) if held_out else chunk

"""Chunks of parquet files that Arrow alone would not read."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmctr.inputs.parquet_chunks import READ_ROWS_AT_LEAST, parquet_chunks


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_lists_of_texts_in_several_row_groups_are_read(tmp_path, kind):
    """A chunk across two row groups: "Nested data conversions not implemented for chunked array outputs"."""
    lists = [[str(row % 97)] * (row % 60) for row in range(20 * READ_ROWS_AT_LEAST)]
    table = pa.table({"history": pa.array(lists, pa.list_(kind)), "row": range(len(lists))})
    pq.write_table(table, tmp_path / "train.parquet", row_group_size=READ_ROWS_AT_LEAST + 1)
    chunks = list(parquet_chunks(tmp_path / "train.parquet", columns=["history", "row"]))
    assert [one for chunk in chunks for one in chunk.column("history").to_pylist()] == lists
    assert [one for chunk in chunks for one in chunk.column("row").to_pylist()] == list(range(len(lists)))

"""Hostile parquet tables: damaged bytes, and whole files with columns of every kind."""

import io
import shutil
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from fuzz_bytes import mutate
from fuzz_verdicts import refused

ARCHIVE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "rar" / "plain_store_py.rar"
ROWS = 12
ROLES = ("items", "train", "valid", "test")


def prepare(folder: Path) -> dict[str, Any]:
    """A good data set in `folder/base`, and the bytes of its files."""
    import mmctr.clicks.split
    import mmctr.report.dataset  # noqa: F401  both now, as importing torch maps gigabytes of address space

    base = folder / "base"
    (base / "MicroLens_1M_x1").mkdir(parents=True)
    shutil.copy(ARCHIVE, base / "item_images_2.rar")
    seeds = {}
    for role in ROLES:
        table = _columns(role)
        seeds[role] = [_written(table, **options) for options in _WAYS]
        _path(base, role).write_bytes(seeds[role][0])
    return {"base": base, "seeds": seeds}


_WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "zstd", "row_group_size": 5},
    {"compression": "none", "use_dictionary": False, "data_page_version": "2.0"},
    {"compression": "gzip", "version": "1.0", "store_schema": False},
    {"compression": "none", "use_dictionary": False, "column_encoding": {"item_id": "DELTA_BINARY_PACKED"}},
)


def _columns(role: str) -> Any:
    import pyarrow as pa

    rows = range(ROWS)
    if role == "items":
        return pa.table({"item_id": [row + 1 for row in rows], "item_title": [f"title {row}" for row in rows]})
    columns: dict[str, Any] = {
        "item_seq": pa.array([[0] * (row % 4) + [row + 1] * (3 - row % 4) for row in rows], pa.list_(pa.int64(), 3)),
        "item_id": [row % 5 + 1 for row in rows],
        "likes_level": [row % 10 + 1 for row in rows],
        "views_level": [row % 7 for row in rows],
    }
    return pa.table(columns | ({"ID": list(rows)} if role == "test" else {"label": [row % 2 for row in rows]}))


def _written(table: Any, **options: Any) -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def _path(base: Path, role: str) -> Path:
    return base / "item_feature.parquet" if role == "items" else base / "MicroLens_1M_x1" / f"{role}.parquet"


def _odd_column(rng: Random) -> Any:
    """A column of a random type and odd values, or None where PyArrow cannot make it."""
    import pyarrow as pa

    whole = rng.choice(
        (pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64(), pa.bool_(), pa.float64())
    )
    other = rng.choice(
        (pa.string(), pa.large_string(), pa.binary(), pa.date32(), pa.timestamp("us"), pa.null(), pa.decimal128(20, 0))
    )
    inner = rng.choice((whole, whole, whole, other, pa.list_(whole), pa.dictionary(pa.int32(), whole)))
    shape = rng.choice(("flat", "flat", "list", "large", "fixed", "dictionary", "struct", "view"))
    kind = {
        "flat": inner,
        "list": pa.list_(inner),
        "large": pa.large_list(inner),
        "fixed": pa.list_(inner, rng.choice((1, 3))),  # writing lists of the fixed size 0 aborts in Arrow itself
        "dictionary": pa.dictionary(pa.int16(), inner),
        "struct": pa.struct([("a", inner)]),
        "view": pa.list_view(inner),
    }[shape]
    numbers = rng.choice(((0, 1), (1, 2, 3), (0, None), (-1, 2**31, 5), (2**63, 1), (2**63 - 1, 1), (None,), (19, 20)))

    def value(depth: pa.DataType) -> Any:
        if pa.types.is_dictionary(depth):
            return value(depth.value_type)
        if pa.types.is_struct(depth):
            return {"a": value(depth.field(0).type)}
        if pa.types.is_fixed_size_list(depth):
            return [value(depth.value_type) for _ in range(depth.list_size)]
        if pa.types.is_nested(depth):
            return [value(depth.value_type) for _ in range(rng.choice((0, 1, 2, 5)))]
        number = rng.choice(numbers)
        if number is None or pa.types.is_null(depth):
            return None
        if pa.types.is_string(depth) or pa.types.is_large_string(depth):
            return str(number)
        return str(number).encode() if pa.types.is_binary(depth) else number

    try:
        return pa.array([value(kind) for _ in range(ROWS)], kind)
    except (pa.ArrowException, OverflowError, TypeError, ValueError, KeyError):
        return None


def _odd_file(role: str, rng: Random) -> bytes:
    import pyarrow as pa

    table = _columns(role)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice([*table.column_names, "user_id"])
        column = _odd_column(rng)
        at = table.schema.get_field_index(name)
        if column is None or rng.random() < 0.05:
            table = table.drop_columns([name]) if at >= 0 and table.num_columns > 1 else table
        elif at < 0 or rng.random() < 0.05:
            table = table.append_column(name, column)
        else:
            table = table.set_column(at, name, column)
    table = table.slice(0, rng.choice((0, 1, 2, ROWS, ROWS, ROWS)))
    try:
        return _written(table, **rng.choice(_WAYS[:4]))
    except (pa.ArrowException, OSError):
        return _written(table.select(table.column_names[:1])) if role == "items" else b"PAR1"


def case(state: dict[str, Any], rng: Random, _: Path) -> str:
    """Put one hostile table into the good data set; whatever is accepted must load to what a slow reading gives."""
    base, role = state["base"], rng.choice(ROLES)
    seed = rng.choice(state["seeds"][role])
    if rng.random() < 0.5:
        content = mutate(rng, seed, donors=state["seeds"][role])
        if rng.random() < 0.5:  # the footer is where the metadata is
            cut = max(0, len(seed) - rng.choice((64, 512, 2048)))
            content = seed[:cut] + mutate(rng, seed[cut:-8], donors=state["seeds"][role]) + seed[-8:]
    else:
        content = _odd_file(role, rng)
    path = _path(base, role)
    path.write_bytes(content)
    try:
        return refused(lambda: _use(base, role))
    finally:
        path.write_bytes(state["seeds"][role][0])


def _use(base: Path, role: str) -> None:
    import numpy as np
    import pyarrow as pa

    from mmctr.clicks.item_table import ItemTable
    from mmctr.clicks.split import load_split
    from mmctr.inputs.columns import read_items
    from mmctr.inputs.rules import check_inputs
    from mmctr.inputs.vocabulary import Vocabulary
    from mmctr.report.dataset import report_dataset

    check_inputs(base)
    report_dataset(base)
    item_ids = np.arange(1, 8)
    table = ItemTable(Vocabulary(item_ids), np.zeros((8, 2), np.float32))
    if role == "items":
        read_items(_path(base, role))
        return
    split = load_split(_path(base, role), table=table, max_len=3, with_label=role != "test")
    try:
        expected = _slow(_path(base, role), set(item_ids.tolist()), max_len=3)
    except pa.ArrowException:  # a column that is not needed, or a writer's notes, which only the slow reading looks at
        return
    rows = split.offsets.tolist()
    found = [split.history[start:stop].tolist() for start, stop in pairwise(rows)]
    assert found == expected["history"], "other histories than a slow reading gives"
    likes, views = split.feature_ids.unbind(dim=1)
    for name, tensor in (("target", split.target), ("likes", likes), ("views", views)):
        assert tensor.tolist() == expected[name], f"another {name} than a slow reading gives"
    assert split.label is None or split.label.tolist() == expected["label"], "other labels than a slow reading gives"


def _slow(path: Path, known: set[int], *, max_len: int) -> dict[str, list[Any]]:
    """What a split holds, read row by row; the item with id i owns row i of the table."""
    import pyarrow.parquet as pq

    names = ["item_seq", "item_id", "likes_level", "views_level", *([] if path.stem == "test" else ["label"])]
    rows = pq.read_table(path, columns=names).to_pylist()
    recent = [[item for item in row["item_seq"] if item != 0][-max_len:] for row in rows]
    return {
        "history": [[item for item in items if item in known] for items in recent],
        "target": [row["item_id"] if row["item_id"] in known else 0 for row in rows],
        "likes": [row["likes_level"] for row in rows],
        "views": [row["views_level"] for row in rows],
        "label": [float(row["label"]) for row in rows if "label" in row],
    }

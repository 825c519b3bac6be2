"""A path means that very path, whatever characters it has."""

import re
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from project import PROJECT

from mmctr.clicks.item_table import build_item_table
from mmctr.clicks.split import load_split
from mmctr.embedding.pca import write_item_embeddings
from mmctr.images.extract import extract_images
from mmctr.images.manifest import manifest_digest
from mmctr.inputs.parquet import read_table, scan_table, table_schema
from mmctr.inputs.rules import check_inputs
from mmctr.report.dataset import report_dataset
from mmctr.submission.challenge import check_submission, write_prediction
from mmctr.submission.packed import zip_prediction

NAMES = [("x[1]", "x1"), ("x*", "xy"), ("x?", "xy"), ("{x,y}", "x"), ("a=1", "a"), ("x%31", "x1"), ("x\\[1]", "x[1]")]


@pytest.mark.parametrize(("name", "beside"), NAMES)
def test_the_named_file_is_read_and_not_one_beside_it(tmp_path, name, beside):
    for folder, frame in ((name, pl.DataFrame({"mine": [1], "b": [2]})), (beside, pl.DataFrame({"others": ["x"]}))):
        (tmp_path / folder).mkdir()
        frame.write_parquet(tmp_path / folder / "t.parquet")
    path = tmp_path / name / "t.parquet"
    assert read_table(path).to_dict(as_series=False) == {"mine": [1], "b": [2]}
    assert read_table(path, columns=["b"]).columns == ["b"]
    assert scan_table(path).collect().columns == ["mine", "b"]
    assert table_schema(path) == {"mine": pl.Int64, "b": pl.Int64}


def test_a_folder_named_as_the_users_own_is_that_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder, value in (("~", 1), ("home", 2)):
        (tmp_path / folder).mkdir()
        pl.DataFrame({"value": [value]}).write_parquet(tmp_path / folder / "t.parquet")
    assert read_table(Path("~/t.parquet"))["value"].item() == 1
    assert table_schema(Path("~/t.parquet")).names() == ["value"]


def test_a_base_path_that_looks_like_a_pattern_is_read_and_written_itself(demo_original, tmp_path):
    base, beside = (Path(shutil.copytree(demo_original, tmp_path / name)) for name in ("x[1]", "x1"))
    (beside / "images").mkdir()
    for path in [*beside.rglob("*.parquet"), beside / "images/manifest.parquet", beside / "embeddings.parquet"]:
        pl.DataFrame({"others": [1]}).write_parquet(path)
    before = {path: path.read_bytes() for path in beside.rglob("*") if path.is_file()}

    assert check_inputs(base).rows == check_inputs(demo_original).rows
    report, expected = report_dataset(base), report_dataset(demo_original)
    assert (report.coverage, report.splits) == (expected.coverage, expected.splits)
    extract_images(base / "item_images_2.rar", base / "images", progress=False)
    assert manifest_digest(base / "images") == manifest_digest(Path(shutil.copytree(base / "images", tmp_path / "i")))

    items = read_table(base / "item_feature.parquet", columns=["item_id"])["item_id"]
    vectors = np.random.default_rng(0).normal(size=(len(items), 3)).astype(np.float32)
    write_item_embeddings(items, vectors, base / "embeddings.parquet")
    table = build_item_table(read_table(base / "embeddings.parquet"), column="item_emb_d3")
    assert np.array_equal(table.weights[1:], vectors)
    test = base / "MicroLens_1M_x1/test.parquet"
    assert len(load_split(test, table=table, with_label=False)) == report.splits["test"].rows
    ids = read_table(test, columns=["ID"])["ID"]
    write_prediction(ids, np.zeros(len(ids), dtype=np.float32), base / "prediction.csv")
    zip_prediction(base / "prediction.csv", base / "prediction.zip")
    assert check_submission(base / "prediction.zip", test_ids=ids) == len(ids)
    assert {path: path.read_bytes() for path in beside.rglob("*") if path.is_file()} == before


def test_no_other_module_lets_polars_find_a_parquet_file():
    root = PROJECT
    readers = re.compile(r"\b(read|scan)_parquet\w*\(")
    found = {path for name in ("mmctr", "tasks", "flows") for path in root.joinpath(name).rglob("*.py")}
    assert [path.name for path in found if readers.search(path.read_text())] == ["parquet.py"]

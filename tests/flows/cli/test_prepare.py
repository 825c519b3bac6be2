"""`mmctr prepare` as a person types it: what it writes and says, and what it refuses."""

import shlex
import subprocess
import sys
import tomllib

import polars as pl
import pytest
from project import PROJECT
from raw_logs import random_log

from flows.cli.main import main
from tasks.settings.load import load_config


@pytest.fixture
def prepare(capsys):
    def prepare(*arguments):
        try:
            code = main(["prepare", *map(str, arguments)])
        except SystemExit as stop:  # argparse
            code = stop.code
        return code, *capsys.readouterr()

    return prepare


@pytest.fixture
def shop(tmp_path):
    """Clicks in CSV with columns of other names, and items in a table of tabs."""
    log = random_log(events=900).rename({"user_id": "visitor", "item_id": "sku", "timestamp": "at", "label": "stars"})
    log.with_columns(pl.col("stars") * 4 + 1).write_csv(tmp_path / "clicks.csv")
    items = pl.DataFrame({"sku": range(0, 200, 5), "name": "a", "year": 1999, "kinds": "x|y"})
    items.write_csv(tmp_path / "items.tsv", separator="\t")
    return tmp_path


OPTIONS = shlex.split(
    "--user visitor --item sku --time at --label stars --positive-from 4 --context device=category --items-id sku "
    "--title name --item-feature year=number --item-feature kinds=tags --tag-separator '|'"
)


def test_logs_become_a_folder_that_the_settings_read(prepare, shop):
    code, out, err = prepare(
        shop / "clicks.csv", "--out", shop / "data", "--items", shop / "items.tsv", *OPTIONS, "--max-len", 9
    )
    assert (code, err) == (0, f"data folder {shop / 'data'} of raw logs\n")
    lines = out.splitlines()
    assert lines[0].startswith("log           ")
    assert lines[-2:] == [f"next          mmctr check {shop / 'data'}", f"then          mmctr run {shop / 'data'}"]
    config = load_config(shop / "data")
    layout = config.data.layout
    assert (config.embed.source, config.train.max_len, config.train.batch_size) == ("clip", 9, 512)
    for name in ("train", "valid", "test", "items"):
        assert (shop / "data" / getattr(layout, name)).is_file()
    train = pl.read_parquet(shop / "data/train.parquet")
    assert train.columns == [layout.user, layout.time, layout.history, layout.target, "device", layout.label]
    assert pl.read_parquet(shop / "data/test.parquet").columns[0] == layout.row_id
    assert train["history"].list.len().max() == 9
    assert f"{len(train):,}" in out
    items = pl.read_parquet(shop / "data/items.parquet")
    assert {layout.item_id, layout.title} < set(items.columns)
    assert [(one.column, one.kind) for one in layout.row_features] == [("device", "category")]
    assert [(one.column, one.kind) for one in layout.item_features] == [("year", "number"), ("kinds", "tags")]
    assert items.schema["kinds"] == pl.List(pl.String)
    assert (layout.padding, layout.submission, layout.images) == ("none", "plain", ())


def test_hostile_names_stay_text_in_the_settings(prepare, tmp_path):
    name = 'dev"ice\\ = 1\n[train]\x7f 😀'
    random_log().rename({"device": name}).write_parquet(tmp_path / "log.parquet")
    code, *_ = prepare(
        tmp_path / "log.parquet", "--out", tmp_path / "a", "--label", "label", "--context", f"{name}=category"
    )
    assert code == 0
    settings = tomllib.loads((tmp_path / "a/mmctr.toml").read_text())
    assert list(settings) == ["data", "embed", "train", "promote"]
    assert settings["data"]["row_features"] == {name: {"kind": "category"}}


def test_each_data_set_has_a_registered_model_of_its_own(prepare, tmp_path):
    random_log().write_parquet(tmp_path / "log.parquet")
    for name in ("My shop", "news"):
        assert prepare(tmp_path / "log.parquet", "--out", tmp_path / name, "--label", "label")[0] == 0
    names = [load_config(tmp_path / name).promote.registered_model for name in ("My shop", "news")]
    assert names == ["My-shop", "news"]


def test_what_cannot_be_prepared_is_one_message_and_leaves_nothing(prepare, shop):
    before = sorted(shop.iterdir())
    for arguments, message in [
        ([shop / "clicks.csv"], "required: --out"),
        ([shop / "clicks.csv", "--out", shop / "a"], "mmctr: a model needs both classes: name the column of labels"),
        (
            [shop / "clicks.csv", "--out", shop / "a", "--negatives", 1],
            "user_id is missing; it has visitor, sku, at, stars",
        ),
        ([shop / "absent", "--out", shop / "a", "--negatives", 1], "absent is missing"),
        ([shop / "clicks.csv", "--out", shop / "a", "--context", "device=colour"], "found 'device=colour'"),
        ([shop / "clicks.csv", "--out", shop / "a", "--label", "stars", "--title", "x"], "name its file with --items"),
        ([shop / "clicks.csv", "--out", shop, "--negatives", 1], "--out must be a new or an empty folder"),
        (["\udcff.csv", "--out", shop / "a", "--negatives", 1], "must be valid UTF-8"),
        ([shop / "clicks.csv", "--out", shop / "a", "--user", "\x00" * 100_000, "--negatives", 1], "is missing"),
    ]:
        code, out, err = prepare(*arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert "Traceback" not in err
        assert len(err) < 3000
    assert sorted(shop.iterdir()) == before


def test_as_many_threads_as_there_are_make_the_same_bytes(shop):
    """Polars reads the number of threads when it is imported, so each count has a process of its own."""
    random_log(events=5000, users=300).drop("label", "device").write_parquet(shop / "log.parquet")
    code = "import sys; from flows.cli.main import main; sys.exit(main(sys.argv[1:]))"
    written = []
    for threads in ("1", "4"):
        arguments = ["prepare", shop / "log.parquet", "--out", shop / threads / "data", "--negatives", "2"]
        environment = {"POLARS_MAX_THREADS": threads, "OMP_NUM_THREADS": threads, "PATH": ""}
        subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            check=True,
            cwd=PROJECT,
            env=environment,
            capture_output=True,
        )
        written.append({path.name: path.read_bytes() for path in (shop / threads / "data").iterdir()})
    assert written[0] == written[1]

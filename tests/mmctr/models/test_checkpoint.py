import hashlib
import pickle
from dataclasses import asdict

import numpy as np
import pytest
import torch
from featured import CLICKS, ROWS, THINGS, open_shop, write_shop
from generated import architecture, checkpoint, click_split, din, item_table

from mmctr.clicks.split import load_split
from mmctr.common.errors import InputError
from mmctr.evaluation.prediction import predict_logits, predict_probabilities
from mmctr.inputs.features import Feature
from mmctr.models.checkpoint import Checkpoint, load_checkpoint, restore_model, save_checkpoint
from mmctr.training.recipe import Recipe


@pytest.fixture
def trained():
    table = item_table(np.random.default_rng(0))
    return table, checkpoint(table, epoch=1, valid_auc=0.5, valid_logloss=0.7)


def test_round_trip_gives_the_same_logits_and_the_same_bytes(trained, tmp_path):
    table, checkpoint = trained
    for name in ("a.pt", "b.pt"):
        save_checkpoint(checkpoint, tmp_path / name)
    assert len({hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.pt", "b.pt")}) == 1
    assert sorted(torch.load(tmp_path / "a.pt", weights_only=True)) == [
        "architecture",
        "columns",
        "format",
        "item_encoding",
        "item_feature_ids",
        "item_feature_numbers",
        "item_ids",
        "max_len",
        "metrics",
        "row_encoding",
        "weights",
    ]
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert (loaded.metrics, loaded.max_len, loaded.architecture) == (checkpoint.metrics, 64, checkpoint.architecture)
    split = click_split(np.random.default_rng(1), table)
    restored = restore_model(loaded)
    assert np.array_equal(
        predict_logits(restored, split, batch_size=7), predict_logits(din(table), split, batch_size=7)
    )


def test_probabilities_are_the_sigmoid_of_the_logits_in_any_batching(trained):
    table, _ = trained
    split = click_split(np.random.default_rng(1), table)
    logits = predict_logits(din(table), split, batch_size=1000)
    for batch_size in (1, 7, 64):
        probabilities = predict_probabilities(din(table), split, batch_size=batch_size)
        assert np.allclose(probabilities, 1 / (1 + np.exp(-logits)), atol=1e-6)


class Evil:
    def __reduce__(self):
        return exec, ("import pathlib; pathlib.Path('ran').touch()",)


def write_pickle(path, _):
    path.write_bytes(pickle.dumps(Evil()))


def write_evil_tensors(path, _):
    torch.save({"format": 4, "weights": Evil()}, path)


def truncate(path, checkpoint):
    save_checkpoint(checkpoint, path)
    path.write_bytes(path.read_bytes()[:-200])


@pytest.mark.parametrize(
    "write",
    [
        write_pickle,
        write_evil_tensors,
        truncate,
        lambda path, _: path.write_bytes(b""),
        lambda path, _: path.write_bytes(b"not a checkpoint"),
        lambda path, _: torch.save([1, 2], path),
        lambda path, _: torch.save({"format": 99}, path),
        lambda path, _: torch.save({"format": 4}, path),
        lambda *_: None,
    ],
    ids=["pickle", "code", "truncated", "empty", "text", "list", "format", "keys", "missing"],
)
def test_what_is_no_checkpoint_is_refused_and_never_run(write, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "c.pt", trained[1])
    with pytest.raises(InputError, match="cannot load the checkpoint") as error:
        load_checkpoint(tmp_path / "c.pt")
    assert "train again" in str(error.value)
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_brings_its_own_id_map(trained, tmp_path):
    table, checkpoint = trained
    save_checkpoint(checkpoint, tmp_path / "a.pt")
    own = load_checkpoint(tmp_path / "a.pt").table
    assert own.digest == table.digest
    assert np.array_equal(own.weights, din(table).items.content.weight.numpy(force=True))


def test_weights_of_another_architecture_are_refused(trained):
    _, checkpoint = trained
    wider = Checkpoint(
        **{**vars(checkpoint), "architecture": architecture(item_table(np.random.default_rng(0), dim=4))}
    )
    with pytest.raises(InputError, match="do not fit the architecture"):
        restore_model(wider)


TOWER = {"activation": "dice", "batch_norm": False, "dropout": 0.0}


def part(kind, **options):
    return {"kind": kind, "options": options}


def changed(parts, path, value):
    """A copy of a checkpoint's content with another value at `path`."""
    copy = {name: dict(entry) if isinstance(entry, dict) else entry for name, entry in parts.items()}
    *outer, last = path
    where = copy
    for name in outer:
        where = where[name]
    where[last] = value
    return copy


def text_parts(content, offsets):
    return {"bytes": torch.tensor(list(content), dtype=torch.uint8), "offsets": torch.tensor(offsets)}


def levels(**changes):
    """A row feature as a checkpoint has it."""
    feature = asdict(Feature("likes_level", "category", size=20))
    return {"feature": {**feature, **changes}, "values": None, "mean": 0.0, "std": 1.0}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format"], torch.zeros(2), "this program reads 4"),
        (["weights"], torch.zeros(3), "weights must be named tensors"),
        (["weights"], {3: torch.zeros(3)}, "weights must be named tensors"),
        (["weights", "head.logit.bias"], "x", "finite floating point tensors, 'head.logit.bias' is not"),
        (
            ["weights", "head.logit.bias"],
            torch.tensor([float("nan")]),
            "finite floating point tensors, 'head.logit.bias' is not",
        ),
        (["weights", "head.logit.bias"], torch.zeros(1, dtype=torch.int64), "finite floating point tensors"),
        (["architecture"], None, "architecture must have dim, feature_width, head"),
        (["architecture", "another"], 1, "architecture must have dim, feature_width, head"),
        (["architecture", "num_items"], 10**12, "num_items must be a whole number from 1, found 1000000000000"),
        (["architecture", "num_items"], 51, "num_items must be the number of item_ids, 50; found 51"),
        (["architecture", "dim"], -8, "dim must be a whole number from 1, found -8"),
        (["architecture", "dim"], 9, "'items.content.weight' must be (51, 9), the weights have (51, 8)"),
        (["architecture", "num_items"], 50.0, "num_items must be a whole number from 1, found 50.0"),
        (["architecture", "feature_width"], "x", "feature_width must be a whole number, found 'x'"),
        (
            ["architecture", "feature_width"],
            8,
            "'row_features.tables.0.weight' must be (20, 8), the weights have (20, 16)",
        ),
        (["architecture", "item"], {}, "item must have content, content_width"),
        (["architecture", "item", "content"], "whole", "content of item must be one of trained, frozen, none"),
        (["architecture", "item", "id_width"], 10**9, "its id_width is 1000000000"),
        (["architecture", "item", "id_width"], 2, "'items.counts' must be (51,), the weights have none"),
        (["architecture", "item", "dropout"], 1.5, "its dropout is 1.5"),
        (["architecture", "item", "features"], 1, "its features is 1"),
        (["architecture", "sequence"], None, "architecture must have a list of sequence"),
        (["architecture", "sequence"], [], "must be (7, 40), the weights have (7, 48)"),
        (["architecture", "sequence"], [{}], "sequence must have kind, options"),
        (["architecture", "sequence"], [part("os")], "a component of mmctr.models.sequence must be"),
        (["architecture", "sequence"], [part("target_attention")], "missing 3 required keyword-only arguments"),
        (["architecture", "sequence"], [part("target_attention", layers=10**6)], "must be a kind with plain options"),
        (["architecture", "head"], part("mlp", hidden=[]), "head must be a kind with plain options"),
        (["architecture", "head"], part("mlp", hidden=[10**9]), "head must be a kind with plain options"),
        (["architecture", "head"], part("mlp", hidden=[[4]]), "head must be a kind with plain options"),
        (["architecture", "head"], part("mlp", dropout=float("nan")), "head must be a kind with plain options"),
        (["architecture", "head"], part("mlp", **TOWER, hidden=[8, 4]), "must be (8, 48), the weights have (7, 48)"),
        (["architecture", "head"], part("mlp", **TOWER, hidden=[7, 4], more=1), "unexpected keyword argument 'more'"),
        (["architecture", "head"], part("../mlp", **TOWER), "must be one of cross, mlp, quadratic; found '../mlp'"),
        (["max_len"], 0, "max_len must be 1 or more"),
        (["max_len"], True, "max_len must be 1 or more"),
        (["item_ids"], None, "item_ids must be different int64 numbers"),
        (["item_ids"], torch.zeros(50, dtype=torch.int64), "item_ids must be different int64 numbers"),
        (["item_ids"], torch.arange(49), "num_items must be the number of item_ids, 49; found 50"),
        (["item_ids"], torch.arange(50).double(), "item_ids must be different int64 numbers"),
        (["item_ids"], {"bytes": None, "offsets": None}, "item_ids must be different int64 numbers"),
        (["item_ids"], text_parts(b"aa", [0, 1, 2]), "or the bytes of different texts"),
        (["item_ids"], text_parts(b"ab", [0, 2, 1]), "texts must be bytes, and the offsets"),
        (["item_ids"], text_parts(b"ab", [0, 1, 10**9]), "texts must be bytes, and the offsets"),
        (["item_ids"], text_parts(b"a\xff", [0, 1, 2]), "texts must be UTF-8"),
        (["item_ids"], text_parts(b"ab", [0, 1, 2]), "num_items must be the number of item_ids, 2; found 50"),
        (["columns"], None, "columns must be the names"),
        (["columns", "history"], 3, "columns must be the names"),
        (["columns", "padding"], "?", "columns must have a padding and a separator"),
        (["architecture", "row_features"], None, "must have a list of row_features"),
        (["architecture", "row_features"], [], "row_features must be those of their encoding"),
        (["architecture", "item_features"], [{"column": "x"}], "item_features must have features with column, kind"),
        (["row_encoding"], None, "row_encoding must be a list of features"),
        (["row_encoding"], [{}], "row_encoding must be features with their values"),
        (["row_encoding"], [levels(size=10**9)], "row_features must be those of their encoding"),
        (["row_encoding"], [levels(size=True)], "row_encoding must have features as they are declared"),
        (["row_encoding"], [levels(max_tags=10**9)], "row_encoding must have features as they are declared"),
        (["row_encoding"], [levels(kind="code")], "row_encoding must have features as they are declared"),
        (["row_encoding"], [levels(column=3)], "row_encoding must have features as they are declared"),
        (["row_encoding"], [levels(size=None)], "row_encoding must have the values of each feature without a size"),
        (["row_encoding"], [{**levels(), "std": 0.0}], "a finite mean and a positive std"),
        (["row_encoding"], [{**levels(), "mean": float("nan")}], "a finite mean and a positive std"),
        (["weights", "row_features.tables.0.weight"], torch.zeros(3, 16), "must be (20, 16), the weights have (3, 16)"),
        (["item_encoding"], [levels()], "item_features must be those of their encoding"),
        (["item_feature_ids"], [], "item_feature_ids must be a tensor"),
        (["item_feature_ids"], torch.zeros(51, 1, dtype=torch.int32), "item_feature_ids must be (51, 0) of int32"),
        (["item_feature_numbers"], torch.zeros(51, 0).double(), "item_feature_numbers must be (51, 0) of float32"),
        (["metrics"], [], "metrics must be named numbers"),
    ],
)
def test_values_of_a_wrong_kind_or_size_are_refused_before_anything_is_built(trained, tmp_path, path, value, message):
    save_checkpoint(trained[1], tmp_path / "good.pt")
    parts = torch.load(tmp_path / "good.pt", weights_only=True)
    torch.save(changed(parts, path, value), tmp_path / "c.pt")
    with pytest.raises(InputError, match="cannot load the checkpoint") as error:
        load_checkpoint(tmp_path / "c.pt")
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_shop(folder)
    return open_shop(folder)


@pytest.fixture(scope="module")
def featured(shop):
    """A checkpoint of a model with text ids, and features of every kind of rows and of items."""
    return shop.trained(Recipe(epochs=1, batch_size=100))


def test_text_ids_and_features_of_every_kind_come_back_and_need_no_file_of_the_training(shop, featured, tmp_path):
    for name in ("a.pt", "b.pt"):
        save_checkpoint(featured, tmp_path / name)
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert loaded.architecture == featured.architecture
    assert (loaded.columns, loaded.row_encoding.declared, loaded.item_encoding.declared) == (CLICKS, ROWS, THINGS)
    assert loaded.table.id_to_idx == shop.table.id_to_idx
    for name in ("feature_ids", "feature_numbers"):
        assert np.array_equal(getattr(loaded.table, name), getattr(shop.table, name))
    split = load_split(
        shop.folder / "valid.parquet",
        table=loaded.table,
        columns=loaded.columns,
        encoding=loaded.row_encoding,
        with_label=True,
    )
    found = predict_logits(restore_model(loaded), split, batch_size=64)
    assert np.array_equal(found, predict_logits(restore_model(featured), shop.valid, batch_size=64))
    assert np.unique(found).size > 100


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["item_feature_ids"], torch.full((161, 4), 10**6, dtype=torch.int32), "item_feature_ids must be rows of the"),
        (["item_feature_ids"], torch.full((161, 4), -1, dtype=torch.int32), "item_feature_ids must be rows of the"),
        (["item_feature_ids"], torch.zeros(161, 4), "item_feature_ids must be (161, 4) of int32, found (161, 4) of"),
        (["item_feature_numbers"], torch.full((161, 2), float("nan")), "item_feature_numbers must be finite"),
        (["item_encoding"], [], "item_features must be those of their encoding"),
        (["item_ids", "offsets"], torch.zeros(161, dtype=torch.int64), "texts must be bytes, and the offsets"),
        (["weights", "items.features.tables.1.weight"], torch.zeros(2, 5), "must be (9, 5), the weights have (2, 5)"),
    ],
)
def test_values_of_features_of_a_wrong_kind_or_size_are_refused(featured, tmp_path, path, value, message):
    save_checkpoint(featured, tmp_path / "good.pt")
    parts = torch.load(tmp_path / "good.pt", weights_only=True)
    torch.save(changed(parts, path, value), tmp_path / "c.pt")
    with pytest.raises(InputError, match="cannot load the checkpoint") as error:
        load_checkpoint(tmp_path / "c.pt")
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_an_older_format_is_refused_with_the_remedy(tmp_path):
    torch.save({"format": 2}, tmp_path / "c.pt")
    with pytest.raises(InputError, match=r"has checkpoint format 2, this program reads 4; use .*, or train again"):
        load_checkpoint(tmp_path / "c.pt")

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Annotated, get_args

import pytest
from golden_defaults import DEFAULTS, described, served_stale
from project import PROJECT

from mmctr.common.errors import InputError
from tasks.settings.items import EmbedConfig
from tasks.settings.load import load_config
from tasks.settings.model import ModelConfig
from tasks.settings.sections import PipelineConfig, PromoteConfig, RunConfig, RunsOnly, Section
from tasks.settings.train import TrainConfig


def test_defaults_are_those_of_the_challenges_baseline():
    config = PipelineConfig(base_path="/data")
    train = config.train
    assert (train.epochs, train.batch_size, train.learning_rate, train.max_len) == (20, 4096, 1e-3, 64)
    (attention,), tower = config.model.sequence, config.model.head
    assert (attention.kind, attention.hidden, tower.kind, tower.hidden) == (
        "target_attention",
        (80, 40),
        "mlp",
        (256, 128),
    )
    assert (attention.activation, tower.activation, tower.batch_norm) == ("dice", "dice", False)
    assert (attention.dropout, tower.dropout) == (0.0, 0.0)
    assert (config.model.item.content, config.model.item.content_width, config.model.item.id_width) == ("trained", 0, 0)
    assert (train.weight_decay, train.label_smoothing, train.clip_norm, train.patience) == (1e-4, 0.01, 5.0, 3)
    assert (train.plateau_factor, train.plateau_patience, train.seed) == (0.5, 1, 0)
    assert (config.embed.model, config.reduce.n_components) == ("ViT-B/32", 128)
    assert (config.embed.image_batch, config.embed.token_batch, config.embed.shard_size) == (256, 4096, 1024)
    assert (config.embed.max_pixels, config.embed.max_failure_share, config.embed.workers) == (10**8, 0.2, None)
    assert (config.extract.max_member_mib, config.extract.max_total_gib) == (64, 256)


def test_file_then_overrides_then_device(tmp_path):
    (tmp_path / "mmctr.toml").write_text("device = 'cuda'\n[train]\nepochs = 7\nbatch_size = 64\n")
    config = load_config(tmp_path, overrides=["train.epochs=3", "model.head.hidden=[8, 4]"], device="cpu")
    assert (config.train.epochs, config.train.batch_size, config.model.head.hidden) == (3, 64, (8, 4))
    assert config.device == "cpu"
    assert config.base_path == tmp_path


def test_another_file_takes_the_place_of_the_folders_own(tmp_path):
    (tmp_path / "mmctr.toml").write_text("[train]\nepochs = 7\n")
    (tmp_path / "other.toml").write_text("[train]\nbatch_size = 64\n")
    assert load_config(tmp_path, config_file=tmp_path / "other.toml").train.epochs == 20


def test_a_checkpoint_in_a_file_is_meant_from_that_files_folder(tmp_path, monkeypatch):
    (tmp_path / "tiny.pt").touch()
    (tmp_path / "mmctr.toml").write_text("[embed]\nmodel = 'tiny.pt'\n")
    monkeypatch.chdir("/")
    assert load_config(tmp_path).embed.model == str(tmp_path / "tiny.pt")
    assert load_config(tmp_path, overrides=["embed.model=ViT-L/14"]).embed.model == "ViT-L/14"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs=0", "train.epochs = 0: Input should be greater than or equal to 1"),
        ("train.epochs=many", "train.epochs = 'many': Input should be a valid integer"),
        (
            "train.epoch=3",
            "train.epoch = 3: there is no such setting; did you mean train.epochs? Known are max_len",
        ),
        (
            "trian.epochs=3",
            "trian = {'epochs': 3}: there is no such setting; did you mean train? Known are device",
        ),
        ("epochs=3", "epochs = 3: there is no such setting; did you mean train.epochs? Known are device, experiment"),
        ("qqqq.x=3", "qqqq = {'x': 3}: there is no such setting; known are device, experiment"),
        ('run.timeout={"\\u001b[2J" = 3}', r"run.timeout.\x1b[2J"),
        ("train.learning_rate=nan", "train.learning_rate = nan: Input should be"),
        ("train.epochs", "a setting is written section.field=value"),
        ("train.a.b=1", "train.a = {'b': 1}: there is no such setting; known are max_len"),
        (".".join("abcdefghi") + "=1", "a setting is written section.field=value"),
        ("train.epochs.x=1", "train.epochs is not a section"),
        ("=1", "a setting is written section.field=value"),
        ("device.x=1", "device is not a section"),
        ("train.epochs=" + "9" * 5000, "train.epochs = '999"),  # from here on what fuzzing found
        ("train.epochs=0x" + "f" * 6000, "train.epochs = <int too large to show>"),
        ("train.epochs=" + "[" * 5000, "train.epochs = '[[["),
        ("experiment='" + "x" * 9000 + "'", "experiment = 'xxx"),
        ("experiment=\ud800", "must be valid UTF-8"),
        ("embed.columns=[" + "0, " * 500 + "]", "and 480 more"),
        ("train.warm_start=true", '\n  train.warm_start needs reduce.pca = "reuse"'),
        ("run.timeout={trian = 3}", "run.timeout.trian"),
        ("run.timeout={train = 0}", "Input should be greater than 0"),
    ],
)
def test_a_wrong_setting_says_rule_value_and_remedy(tmp_path, override, message):
    (tmp_path / "mmctr.toml").write_text("device = 'cpu'\n")
    with pytest.raises(InputError) as error:
        load_config(tmp_path, overrides=[override])
    assert message in str(error.value)
    assert len(str(error.value)) < 2500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[train", "not a readable TOML"),
        (b"\xff", "not a readable TOML"),
        (b"a = " + b"[" * 5000, "not a readable TOML"),
        (b"a = " + b"9" * 5000, "not a readable TOML"),
        (None, "no configuration file"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, content, message):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_config(tmp_path, config_file=path)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_file_of_a_windows_editor_is_read(tmp_path, ends):
    lines = ["# Größe", "[train]", "epochs = 7", ""]
    (tmp_path / "mmctr.toml").write_bytes(ends.join(lines).encode("utf-8-sig"))
    assert load_config(tmp_path).train.epochs == 7


@pytest.mark.parametrize(
    ("encoding", "found"), [("utf-16", "UTF-16 in line 1"), ("latin-1", "the byte 0xf6 in line 2"), ("cp1252", "0xf6")]
)
def test_a_file_in_another_encoding_says_which_byte_is_wrong(tmp_path, encoding, found):
    (tmp_path / "mmctr.toml").write_bytes("[train]\n# Größe\nepochs = 7\n".encode(encoding))
    with pytest.raises(InputError, match="a TOML file must be in UTF-8") as error:
        load_config(tmp_path)
    assert found in str(error.value)
    assert "save it as UTF-8" in str(error.value)


def test_a_model_that_cannot_be_a_path_is_left_as_it_is(tmp_path):
    (tmp_path / "mmctr.toml").write_text(f"[embed]\nmodel = '{'x' * 5000}'\n")
    assert load_config(tmp_path).embed.model == "x" * 5000


def test_an_unknown_users_folder_is_refused():
    with pytest.raises(InputError, match="must name a user of this machine"):
        load_config(Path("~nobody-of-this-name/data"))


def test_what_only_says_how_to_run_is_no_part_of_a_key():
    config = EmbedConfig(workers=3, image_batch=2, model="elsewhere.pt", max_pixels=5)
    assert config.keyed() == {"revision": 1, "max_pixels": 5}
    assert set(TrainConfig.defaults()) == set(TrainConfig.model_fields) - {"warm_start"}
    assert RunConfig.defaults() == PromoteConfig.defaults() == {}


class Older(Section):
    depth: int = 3


class Newer(Section):
    depth: int = 3
    width: int = 8
    threads: Annotated[int, RunsOnly()] = 1


class Revised(Section):
    revision = 2
    depth: int = 4


def test_a_new_setting_at_its_default_changes_no_key():
    assert Older().keyed() == Newer().keyed() == Newer(depth=3, width=8, threads=4).keyed() == {"revision": 1}
    assert Older(depth=5).keyed() == Newer(depth=5).keyed() == {"revision": 1, "depth": 5}
    assert Newer(width=9).keyed() != Newer().keyed()


def test_a_changed_default_is_a_revision():
    keys = [section.keyed() for section in (Older(), Older(depth=4), Revised(), Revised(depth=3))]
    assert all(key not in keys[:number] for number, key in enumerate(keys))


def test_keys_leave_out_the_defaults_that_were_reviewed():
    """Where this fails: `python tests/support/golden_defaults.py`, and review the difference."""
    known = json.loads(DEFAULTS.read_text())
    assert served_stale(known, described()) == []
    assert known == described()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"defaults": {"depth": 4, "gone": 1}}, "train.depth changed its default from 3 to 4"),
        ({"defaults": {"depth": 3}}, "train.gone is no keyed setting any more"),
        ({"defaults": {"depth": 3, "gone": 1, "threads": 1}, "not keyed": []}, "train.threads is keyed now"),
        ({"revision": 1}, "train: the revision fell from 2 to 1"),
        ({"defaults": {"depth": 3, "gone": 1, "width": 8}}, None),
        ({"revision": 3, "defaults": {"depth": 4}}, None),
    ],
)
def test_what_would_serve_old_results_for_new_settings(change, problem):
    known = {"train": {"revision": 2, "defaults": {"depth": 3, "gone": 1}, "not keyed": ["threads"]}}
    found = served_stale(known, {"train": {**known["train"], **change}})
    assert found == ([problem] if problem else [])


def test_a_component_is_named_by_its_setting():
    package = "mmctr.encoders.clip_cpu.matmul"
    source, kind = "mmctr.embedding.sources", "mmctr.encoders.kinds"
    assert EmbedConfig().components() == [f"{source}.clip", f"{kind}.clip", f"{package}.float32"]
    assert EmbedConfig(image_precision="int8").components()[-1] == f"{package}.int8"
    assert EmbedConfig(model="open_clip:ViT-B-32/x").components() == [f"{source}.clip", f"{kind}.open_clip"]
    assert EmbedConfig(source="columns", columns=("a",)).components() == [f"{source}.columns"]
    assert EmbedConfig(source="none").components() == []
    names = {module.name for module in iter_modules(import_module(package).__path__)}
    assert names == set(get_args(EmbedConfig.model_fields["image_precision"].annotation))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (['embed.source="columns"'], "needs embed.columns, the names of the columns with vectors"),
        (['embed.columns=["a"]'], 'embed.columns is read where embed.source = "columns"; set that, or remove'),
        (['embed.source="columns"', 'embed.columns=["a", "a"]'], "must name each column once"),
        (['embed.model="open_clip:ViT-B-32"'], "is written open_clip:MODEL/TAG or open_clip:MODEL/PATH"),
        (['reduce.fit="parts"'], 'reduce.fit = "parts" needs embed.fuse = "concat": a mean has no parts'),
        (['embed.source="none"', 'reduce.pca="reuse"'], 'is for vectors; embed.source = "none" has none'),
    ],
)
def test_settings_of_vectors_that_do_not_fit_each_other(tmp_path, overrides, words):
    with pytest.raises(InputError) as error:
        load_config(tmp_path, overrides=overrides)
    assert words in str(error.value)


def test_settings_of_vectors_may_come_from_two_places(tmp_path):
    (tmp_path / "mmctr.toml").write_text('[embed]\nsource = "columns"\nfuse = "concat"\n')
    config = load_config(tmp_path, overrides=['embed.columns=["a", "b"]', 'reduce.fit="parts"'])
    assert (config.embed.columns, config.embed.fuse, config.reduce.fit) == (("a", "b"), "concat", "parts")


@pytest.mark.parametrize("name", ["/tmp/elsewhere", "../escaped", "a/b", "", ".hidden"])
def test_an_experiments_name_is_no_path(tmp_path, name):
    with pytest.raises(InputError, match=r"experiment = .*should match pattern"):
        load_config(tmp_path, overrides=[f"experiment='{name}'"])


def test_base_path_is_no_setting(tmp_path):
    with pytest.raises(InputError, match="BASE_PATH is what a run is started with"):
        load_config(tmp_path, overrides=["base_path=/other"])


def test_a_deployments_base_path_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert PipelineConfig.model_validate({"base_path": "~/data"}).base_path == tmp_path / "data"


def test_defaults_come_from_modules_that_load_nothing_heavy():
    code = (
        "import sys, tasks.settings.sections\n"
        "heavy = {'torch', 'polars', 'pyarrow', 'prefect', 'mlflow', 'numpy', 'PIL'} & set(sys.modules)\n"
        "sys.exit(repr(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=PROJECT).returncode == 0


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.item={id_width=4}"],
        ["model.sequence=[]"],
        ['model.sequence=[{kind="target_attention", dropout=0.1}]'],
        ['model.sequence=[{kind="target_attention"}, {kind="target_attention"}]'],
        ['model.head={kind="mlp", batch_norm=true}'],
        ["model.feature_width=8"],
    ],
)
def test_each_option_of_a_part_changes_the_key_of_the_model(tmp_path, overrides):
    assert load_config(tmp_path, overrides=overrides).model.keyed() != ModelConfig().keyed()


def test_what_is_written_as_the_default_is_the_default(tmp_path):
    same = ['model.sequence=[{kind="target_attention", hidden=[80, 40]}]', 'model.head={kind="mlp"}', "model.item={}"]
    assert load_config(tmp_path, overrides=same).model.keyed() == ModelConfig().keyed() == {"revision": 1}
    assert ModelConfig().components() == ["mmctr.models.sequence.target_attention", "mmctr.models.heads.mlp"]


def test_a_field_that_a_part_gains_later_changes_no_key():
    class Older(Section):
        depth: int = 3

    class Newer(Older):
        width: int = 8

    def holding(kind):
        class Holder(Section):
            part: kind = kind()
            parts: tuple[kind, ...] = (kind(),)

        return Holder(part=kind(depth=5), parts=(kind(), kind(depth=4)))

    assert holding(Older).keyed() == holding(Newer).keyed()

"""The challenge's rules: what each refuses, with the rule and the setting, and what it allows."""

import pytest
from pydantic import ValidationError

from mmctr.common.errors import InputError
from tasks.settings.load import completed, load_config
from tasks.settings.rules import FEATURES, MAY_CHANGE
from tasks.settings.sections import PipelineConfig

TAGS = "[data.item_features.item_tags]\nkind = 'tags'\nmax_tags = 5\n"
GIVEN = ['embed.source="columns"', 'embed.columns=["item_emb_d128"]']
STRONG_REGULARISERS = [
    "train.embedding_l2=1e-7",
    "train.net_l2=0.01",
    "model.head.dropout=0.5",
    "train.learning_rate=5e-4",
    "train.batch_size=16384",
]


@pytest.fixture
def folder(tmp_path):
    """A data folder that declares the organisers' features."""
    (tmp_path / "mmctr.toml").write_text(TAGS)
    return tmp_path


def refused(folder, rules, overrides, preset="organisers"):
    with pytest.raises(InputError) as error:
        load_config(folder, preset=preset, rules=rules, overrides=overrides)
    text = str(error.value)
    assert text.startswith(f'rules = "{rules}" refuses what this task of the challenge forbids:\n  ')
    assert text.endswith('set these as the organisers have them (mmctr presets organisers), or rules = "free"')
    return text


@pytest.mark.parametrize(
    ("rules", "preset", "overrides"),
    [
        ("task1", "organisers", []),
        ("task1", "regularised", []),
        ("task1", "organisers", STRONG_REGULARISERS),
        ("task1", "organisers", ["embed.model=ViT-L/14", "embed.fuse=concat", "extract.max_member_mib=7"]),
        ("task1", "organisers", ["run.retries=9", "predict.batch_size=7", "promote.policy=newer", "device=cpu"]),
        ("task2", "organisers", GIVEN),
        ("task2", "organisers", [*GIVEN, 'model.head={kind="cross"}', "model.sequence=[]", "train.epochs=2"]),
        ("task2", "organisers", [*GIVEN, "data.item_features={}", "model.item.content=none"]),
        ("task12", "mission", []),
        ("task12", "organisers", ["model.head.kind=quadratic", "train.seed=9"]),
        ("free", "mission", ["train.warm_start=true", "reduce.pca=reuse", "model.item.history_count=true"]),
    ],
)
def test_what_a_task_allows(folder, rules, preset, overrides):
    config = load_config(folder, preset=preset, rules=rules, overrides=overrides)
    assert config.rules == rules
    assert completed(config) is config


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.head.kind=cross", "model.head.kind = 'cross', not 'mlp'"),
        ("model.head.hidden=[8]", "model.head.hidden = [8], not [1024, 512, 256]"),
        ("model.sequence=[]", "model.sequence = [], not ["),
        ("model.sequence.0.dropout=0.5", "model.sequence.0.dropout = 0.5, not 0.1"),
        ("model.item.content=trained", "model.item.content = 'trained', not 'frozen'"),
        ("model.item.content=none", "model.item.content = 'none', not 'frozen'"),
        ("model.feature_width=8", "model.feature_width = 8, not 64"),
        ("train.weight_decay=0.1", "train.weight_decay = 0.1, not 0.0"),
        ("train.epochs=3", "train.epochs = 3, not 100"),
        ("train.max_len=8", "train.max_len = 8, not 64"),
    ],
)
def test_task_1_changes_nothing_of_the_organisers_model(folder, override, words):
    text = refused(folder, "task1", [override])
    assert "the model is the organisers' DIN, of which only embedding_regularizer, net_regularizer, net_dropout" in text
    assert words in text
    assert text.count("\n") == 2, "nothing else is wrong"


def test_a_model_that_is_another_altogether_is_one_line(folder):
    text = refused(folder, "task1", [], preset="strong")
    assert text.count("\n") == 2
    assert "more\n" in text
    assert len(text) < 2000


@pytest.mark.parametrize(
    ("rules", "override", "rule", "words"),
    [
        ("task1", "data.row_features={}", "that DIN has the organisers' inputs", "data.row_features lacks likes_level"),
        ("task1", "data.item_features={}", "that DIN has", "data.item_features lacks item_tags (tags)"),
        ("task1", 'data.row_features.age={kind="number"}', "that DIN has", "data.row_features has age (number)"),
        ("task1", "data.row_features.likes_level.kind=number", "that DIN has", "has likes_level (number)"),
        ("task1", "embed.source=none", "an item embedding of 128 numbers", 'embed.source = "none"'),
        ("task1", "reduce.n_components=64", "an item embedding of 128 numbers", "reduce.n_components = 64, not 128"),
        ("task2", "embed.source=none", "the item embedding is the organisers' as it is", "embed.source = 'none'"),
        ("task2", 'embed.columns=["mine"]', "the organisers' as it is", "embed.columns = ['mine']"),
        ("task2", "reduce.n_components=64", "the organisers' as it is", "reduce.n_components = 64"),
        ("task2", "model.item.content=trained", "the organisers' as it is", 'content = "trained", which changes it'),
        ("task2", 'data.item_features.year={kind="number"}', "the inputs are", "data.item_features has year (number)"),
        ("task2", "model.item.history_count=true", "the inputs are", "model.item.history_count = true"),
        ("task2", "train.warm_start=true", "one neural model, of this data", "train.warm_start = true"),
        (
            "task12",
            'data.item_features.likes_level={kind="category"}',
            "no additional features (what every entry above 0.984 joins to the history's items may be outside",
            "data.item_features has likes_level (category)",
        ),
        ("task12", "model.item.history_count=true", "no additional features", "model.item.history_count = true"),
        ("task2", "model.item.history_width=32", "the inputs are", "model.item.history_width = 32"),
        ("task12", "model.item.history_width=32", "no additional features", "model.item.history_width = 32"),
        ("task12", "model.item.content=none", "both in cascade", 'model.item.content = "none"'),
        ("task12", "embed.source=none", "an item embedding of 128 numbers", 'embed.source = "none"'),
        ("task12", "reduce.n_components=64", "an item embedding of 128", "reduce.n_components = 64"),
        ("task12", "train.warm_start=true", "one neural model", "train.warm_start = true"),
    ],
)
def test_what_a_task_refuses(folder, rules, override, rule, words):
    given = GIVEN if rules == "task2" and "source" not in override else []
    pca = ["reduce.pca=reuse"] if "warm_start" in override else []
    line = next(line for line in refused(folder, rules, [*given, *pca, override]).split("\n") if rule in line)
    assert words in line


def test_a_flow_run_is_refused_as_a_command_is(folder):
    """By its parameters, by the folder's own settings, and where every setting is there already."""
    with pytest.raises(InputError, match=r'rules = "task1" refuses'):
        completed(PipelineConfig.model_validate({"base_path": str(folder), "rules": "task1"}))
    whole = load_config(folder).model_copy(update={"rules": "task1"})
    with pytest.raises(InputError, match=r'rules = "task1" refuses'):
        completed(whole)
    (folder / "mmctr.toml").write_text("rules = 'task1'\n")
    with pytest.raises(InputError, match=r'rules = "task1" refuses'):
        load_config(folder)
    assert load_config(folder, rules="free").rules == "free"


def test_unknown_rules_are_refused(folder):
    with pytest.raises(InputError, match="rules = 'task3': Input should be 'free', 'task1', 'task2' or 'task12'"):
        load_config(folder, rules="task3")
    with pytest.raises(ValidationError):
        PipelineConfig(base_path=folder, rules="\0")


def test_what_a_feature_is_called_is_shown_short(folder):
    name = "\\u001b[2J" + "x" * 150
    text = refused(folder, "task12", [f'data.row_features={{"{name}" = {{kind = "number"}}}}'])
    assert r"has \x1b[2Jxxx" in text
    assert len(text) < 700


def test_what_may_change_is_there(folder):
    settings = load_config(folder, preset="organisers").model_dump()
    for name in MAY_CHANGE:
        section, *rest = name.split(".")
        found = settings[section]
        for one in rest:
            found = found[one]
        assert isinstance(found, float | int)
    assert set(settings["data"]) > set(FEATURES)

"""The rules of the challenge MicroLens_1M_MMCTR, as far as settings can break them.

Task 1 is about the item embedding, task 2 about the model, tasks 1 & 2 about both in cascade. What a task fixes is what
the organisers have, so settings are compared with theirs. docs/model.md says what no tool can check.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mmctr.common.text import shown, shown_value
from tasks.settings.sections import Rules

Settings = Mapping[str, Any]
Broken = Iterator[tuple[str, list[str]]]
FREE = "free"
WIDTH = 128  # of the item embedding that the challenge asks for
GIVEN = ["item_emb_d128"]  # column of the organisers' item embedding
FEATURES = {  # of the organisers, with their kinds
    "row_features": {"likes_level": "category", "views_level": "category"},
    "item_features": {"item_tags": "tags"},
}
OF_HISTORIES = ("history_width", "history_count")  # of `model.item`: what is made of train's histories
MAY_CHANGE = {  # of the organisers' DIN in task 1, and how they call it
    "train.embedding_l2": "embedding_regularizer",
    "train.net_l2": "net_regularizer",
    "model.head.dropout": "net_dropout",
    "train.learning_rate": "learning_rate",
    "train.batch_size": "batch_size",
}
SHOWN = 5  # settings of one rule


def broken_rules(rules: Rules, *, settings: Settings, organisers: Settings) -> list[str]:
    """A sentence for each rule that settings break, with what breaks it; none where all is allowed.

    Args:
        rules: of which task.
        settings: all settings by section, as JSON values.
        organisers: the same, as the organisers' model has them.
    """
    checks = {FREE: _free, "task1": _task1, "task2": _task2, "task12": _task12}
    return [f"{rule}: {_some(broken)}" for rule, broken in checks[rules](settings, organisers) if broken]


def _free(_: Settings, __: Settings) -> Broken:
    yield from ()


def _task1(settings: Settings, organisers: Settings) -> Broken:
    own = [pair for name in ("model", "train") for pair in _differing(name, settings[name], organisers[name])]
    names = ", ".join(MAY_CHANGE.values())
    yield (
        f"the model is the organisers' DIN, of which only {names} may change",
        [text for name, text in own if name not in MAY_CHANGE],
    )
    yield "that DIN has the organisers' inputs", [*_more_features(settings), *_missing_features(settings)]
    yield from _embedding(settings)


def _task2(settings: Settings, organisers: Settings) -> Broken:
    embed, content = settings["embed"], settings["model"]["item"]["content"]
    is_given = embed["source"] == "columns" and embed["columns"] == GIVEN
    found = [] if is_given else [f"embed.source = {shown_value(embed['source'])}, embed.columns = {_list(embed)}"]
    trained = ['model.item.content = "trained", which changes it'] if content == "trained" else []
    yield (
        f'the item embedding is the organisers\' as it is (embed.source = "columns", embed.columns = {GIVEN})',
        [*found, *_width(settings), *trained],
    )
    yield "the inputs are the organisers'", _more_inputs(settings, organisers)
    yield from _one_model(settings)


def _task12(settings: Settings, organisers: Settings) -> Broken:
    yield (
        "no additional features (what every entry above 0.984 joins to the history's items may be outside the rules)",
        _more_inputs(settings, organisers),
    )
    content = settings["model"]["item"]["content"]
    yield "both in cascade, so the model reads the item embedding", _none("model.item.content", content)
    yield from _embedding(settings)
    yield from _one_model(settings)


def _embedding(settings: Settings) -> Broken:
    source = _none("embed.source", settings["embed"]["source"])
    yield f"there is an item embedding of {WIDTH} numbers", [*source, *_width(settings)]


def _width(settings: Settings) -> list[str]:
    width = settings["reduce"]["n_components"]
    return [] if width == WIDTH else [f"reduce.n_components = {width}, not {WIDTH}"]


def _none(name: str, value: str) -> list[str]:
    return [f'{name} = "none"'] if value == "none" else []


def _one_model(settings: Settings) -> Broken:
    earlier = ["train.warm_start = true starts from an earlier one"] if settings["train"]["warm_start"] else []
    yield "one neural model, of this data", earlier


def _more_inputs(settings: Settings, organisers: Settings) -> list[str]:
    item, theirs = settings["model"]["item"], organisers["model"]["item"]
    more = [name for name in OF_HISTORIES if item[name] and not theirs[name]]
    return [
        *_more_features(settings),
        *(f"model.item.{name} = {json.dumps(item[name])}, not {json.dumps(theirs[name])}" for name in more),
    ]


def _more_features(settings: Settings) -> list[str]:
    """Declared features that are none of the organisers'."""
    return [
        f"data.{role} has {shown(name, limit=40)} ({feature['kind']})"
        for role, theirs in FEATURES.items()
        for name, feature in settings["data"][role].items()
        if feature["kind"] != theirs.get(name)
    ]


def _missing_features(settings: Settings) -> list[str]:
    """The organisers' features that are not declared."""
    return [
        f"data.{role} lacks {name} ({kind})"
        for role, theirs in FEATURES.items()
        for name, kind in theirs.items()
        if name not in settings["data"][role]
    ]


def _differing(name: str, own: Any, theirs: Any) -> Iterator[tuple[str, str]]:
    """Settings that are not the organisers': the name, and both values in words."""
    if isinstance(own, Mapping) and isinstance(theirs, Mapping) and own.get("kind") != theirs.get("kind"):
        yield from _differing(f"{name}.kind", own.get("kind"), theirs.get("kind"))
    elif isinstance(own, Mapping) and isinstance(theirs, Mapping):
        for field, value in own.items():
            yield from _differing(f"{name}.{field}", value, theirs.get(field))
    elif _are_parts(own) and _are_parts(theirs) and len(own) == len(theirs):
        for number, (one, other) in enumerate(zip(own, theirs, strict=True)):
            yield from _differing(f"{name}.{number}", one, other)
    elif own != theirs:
        yield name, f"{name} = {shown_value(own, limit=60)}, not {shown_value(theirs, limit=60)}"


def _are_parts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, Mapping) for one in value)


def _list(embed: Settings) -> str:
    return shown_value(list(embed["columns"]), limit=60)


def _some(broken: list[str]) -> str:
    more = len(broken) - SHOWN
    return "; ".join([*broken[:SHOWN], *([f"and {more} more"] if more > 0 else [])])

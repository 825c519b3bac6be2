"""The rules of the challenge MicroLens_1M_MMCTR, as far as settings can break them.

Task 1 is about the item embedding, task 2 about the model, tasks 1 & 2 about both in cascade. What is fixed is what the
organisers have, so settings are compared with theirs. docs/model.md says what no tool can check.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mmctr.common.text import shown, shown_value
from tasks.settings.sections import Rules

Settings = Mapping[str, Any]
FREE = "free"
EMBEDDING_WIDTH = 128
SHOWN = 6  # settings of one rule
MAY_CHANGE = {  # of the organisers' DIN in task 1, and how they call it
    "train.embedding_l2": "embedding_regularizer",
    "train.net_l2": "net_regularizer",
    "model.head.dropout": "net_dropout",
    "train.learning_rate": "learning_rate",
    "train.batch_size": "batch_size",
}
FEATURES = ("row_features", "item_features")


def broken_rules(rules: Rules, *, settings: Settings, organisers: Settings) -> list[str]:
    """A sentence for each rule that settings break: the rule, and what breaks it; none where all is allowed.

    Args:
        rules: whose.
        settings: all settings by section, as JSON values.
        organisers: the same, as the organisers of the challenge have them.
    """
    if rules == FREE:
        return []
    found = {"task1": _task1, "task2": _task2, "task12": _task12}[rules](settings, organisers)
    return [f"{rule}: {_some(broken)}" for rule, broken in found if broken]


Broken = Iterator[tuple[str, list[str]]]


def _task1(settings: Settings, organisers: Settings) -> Broken:
    own = [*_differing("model", settings, organisers), *_differing("train", settings, organisers)]
    names = ", ".join(MAY_CHANGE.values())
    yield (
        f"task 1, the model is the organisers' DIN, and of it only {names} may change",
        [text for name, text in own if name not in MAY_CHANGE],
    )
    yield "task 1, the inputs of that DIN are the organisers'", _other_features(settings, organisers, fewer=False)
    yield from _embedding("task 1", settings)


def _task2(settings: Settings, organisers: Settings) -> Broken:
    given = [*_differing("embed", settings, organisers), *_differing("reduce", settings, organisers)]
    fixed = {f"embed.{name}" for name in ("source", "columns", "fuse")} | {"reduce.n_components", "reduce.fit"}
    content = settings["model"]["item"]["content"]
    trained = ['model.item.content = "trained" (frozen keeps it as it is)'] if content == "trained" else []
    yield (
        "task 2, the item embedding is the organisers' and stays as it is",
        [*(text for name, text in given if name in fixed), *trained],
    )
    yield "task 2, the inputs are the organisers', no additional features", _more_inputs(settings, organisers)
    yield from _one_model("task 2", settings)


def _task12(settings: Settings, organisers: Settings) -> Broken:
    yield (
        "task 1&2, no additional features (joining likes and views of the history's items may be outside the rules)",
        _more_inputs(settings, organisers),
    )
    none = [
        f'{name} = "none"'
        for name, value in {
            "embed.source": settings["embed"]["source"],
            "model.item.content": settings["model"]["item"]["content"],
        }.items()
        if value == "none"
    ]
    yield "task 1&2, both in cascade: an item embedding is made, and the model reads it", none
    yield from _embedding("task 1&2", settings)
    yield from _one_model("task 1&2", settings)


def _embedding(task: str, settings: Settings) -> Broken:
    width, source = settings["reduce"]["n_components"], settings["embed"]["source"]
    wrong = [f"reduce.n_components = {width}"] if width != EMBEDDING_WIDTH else []
    if task == "task 1" and source == "none":
        wrong.append('embed.source = "none"')
    yield f"{task}, there is an item embedding, and it has {EMBEDDING_WIDTH} dimensions", wrong


def _one_model(task: str, settings: Settings) -> Broken:
    earlier = ["train.warm_start = true"] if settings["train"]["warm_start"] else []
    yield f"{task}, one neural model, of this data alone", earlier


def _more_inputs(settings: Settings, organisers: Settings) -> list[str]:
    item, theirs = settings["model"]["item"], organisers["model"]["item"]
    counted = item["history_count"] and not theirs["history_count"]
    return [
        *_other_features(settings, organisers, fewer=True),
        *(["model.item.history_count = true"] if counted else []),
    ]


def _other_features(settings: Settings, organisers: Settings, *, fewer: bool) -> list[str]:
    """Declared features that are none of the organisers'; unless `fewer` may be, also those of theirs that lack."""
    found = []
    for role in FEATURES:
        own, theirs = settings["data"][role], organisers["data"][role]
        other = [name for name, feature in own.items() if feature["kind"] != theirs.get(name, {}).get("kind")]
        found += [f"data.{role}.{shown(name, limit=40)} (theirs: {', '.join(theirs) or 'none'})" for name in other]
        if not fewer:
            found += [f"data.{role} lacks {shown(name, limit=40)}" for name in theirs if name not in own]
    return found


def _differing(section: str, settings: Settings, organisers: Settings) -> list[tuple[str, str]]:
    """Settings of a section that are not the organisers': the name, and both values in words."""
    own, theirs = dict(_flat(section, settings[section])), dict(_flat(section, organisers[section]))
    other_kinds = [name for name in own if name.endswith(".kind") and own[name] != theirs.get(name)]
    within = tuple(name.removesuffix("kind") for name in other_kinds)  # a part of another kind has other settings
    return [
        (name, f"{name} = {shown_value(value, limit=60)} (theirs: {shown_value(theirs.get(name), limit=60)})")
        for name, value in own.items()
        if value != theirs.get(name) and (name in other_kinds or not name.startswith(within))
    ]


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield name, value
        return
    for inner, one in value.items():
        yield from _flat(f"{name}.{inner}", one)


def _some(broken: list[str]) -> str:
    more = len(broken) - SHOWN
    return "; ".join([*broken[:SHOWN], *([f"and {more} more"] if more > 0 else [])])

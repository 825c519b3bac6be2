"""What is wrong with a configuration, in words: the setting, its value, the rule, and what was perhaps meant."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from mmctr.common.text import shown, shown_value
from tasks.settings.base import Section
from tasks.settings.sections import PipelineConfig
from tasks.settings.structure import Located, below, fields_of, located, parts_of

SHOWN_PROBLEMS, SHOWN_NAME, SHOWN_NEAR = 20, 60, 3
NEITHER = {"base_path", "kind"}  # what a file sets neither of by mistake
MOVED = {  # settings of earlier versions, and where what they set is now
    "train.attention_hidden": "the setting `hidden` of an element of model.sequence of kind target_attention",
    "train.tower_hidden": "model.head.hidden",
    "train.dropout": "model.head.dropout",
    "train.freeze": 'model.item.content = "frozen"',
}


def described(error: ValidationError, *, root: type[Section] = PipelineConfig) -> str:
    """A line for each problem of settings of `root`, of many the first."""
    problems = error.errors()
    lines = [f"  {_problem(one, root)}" for one in problems[:SHOWN_PROBLEMS]]
    more = len(problems) - SHOWN_PROBLEMS
    return "\n".join([*lines, f"  and {more} more"] if more > 0 else lines)


def _problem(problem: Any, root: type[Section]) -> str:
    location = problem["loc"]
    if not location or (problem["type"] == "value_error" and isinstance(problem["input"], dict)):
        return str(problem["msg"]).removeprefix("Value error, ")  # a rule about several settings, which it names
    place = located(location, root=root)
    name = shown(".".join(place.names), limit=SHOWN_NAME)
    return f"{name} = {shown_value(problem['input'])}: {_rule(problem, place)}"


def _rule(problem: Any, place: Located) -> str:
    if problem["type"] == "extra_forbidden":
        return _instead(place)
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return f"its kind must be one of {', '.join(parts_of(below(place.holder, place.names[-1])))}"
    return str(problem["msg"])


def _instead(place: Located) -> str:
    """The setting that an unknown one may have meant, and all that there are beside it."""
    (*before, unknown), holder, kinds = place.names, place.holder, place.kinds
    if (moved := MOVED.get(".".join([*before, unknown]))) is not None:
        return f"there is no such setting any more; use {moved}"
    known = [name for name in fields_of(holder) if name not in NEITHER]
    others = [kind for kind, part in kinds.items() if unknown in part.model_fields]
    if others:
        return f"it is a setting of kind {' and '.join(others)}; known of this kind are {', '.join(known)}"
    near = list(_ending_in(unknown, holder))[:SHOWN_NEAR] or get_close_matches(unknown, known, n=1)
    meant = " or ".join(".".join([*before, name]) for name in near)
    return f"there is no such setting; {f'did you mean {meant}? Known' if meant else 'known'} are {', '.join(known)}"


def _ending_in(unknown: str, holder: Any) -> Iterator[str]:
    """Names below `holder`, deeper than its own, whose last part is `unknown`."""
    for name in fields_of(holder):
        inner = below(holder, name)
        if unknown in fields_of(inner):
            yield f"{name}.{unknown}"
        yield from (f"{name}.{deeper}" for deeper in _ending_in(unknown, inner))

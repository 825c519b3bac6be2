"""Settings as TOML, and what of them is written."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tasks.settings.toml import as_toml, changed

NAMES = st.text(max_size=8)
PLAIN = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_any_settings_are_read_back(settings):
    assert tomllib.loads(as_toml(settings)) == settings


def test_sections_come_after_what_is_in_none():
    text = as_toml({"train": {"epochs": 3}, "preset": "mission", "model": {"head": {"kind": "mlp", "hidden": [4]}}})
    assert (
        text
        == """\
preset = "mission"

[train]
epochs = 3

[model]
head = {kind = "mlp", hidden = [4]}
"""
    )


def test_what_differs():
    base = {"train": {"epochs": 3, "seed": 0}, "model": {"head": {"kind": "mlp", "hidden": [4], "dropout": 0.0}}}
    assert changed(base, base) == {}
    assert changed({"train": {"epochs": 4, "seed": 0}}, base) == {"train": {"epochs": 4}}
    same_kind = {"model": {"head": {"kind": "mlp", "hidden": [5, 5], "dropout": 0.0}}}
    assert changed(same_kind, base) == {"model": {"head": {"kind": "mlp", "hidden": [5, 5]}}}
    another_kind = {"model": {"head": {"kind": "cross", "layers": 3}}}
    assert changed(another_kind, base) == another_kind
    assert changed({"run": {"timeout": {}}}, base) == {"run": {"timeout": {}}}
    times = {"run": {"timeout": {"train": 60, "embed": 30}}}
    assert changed(times, {"run": {"timeout": {"train": 60, "embed": 20}}}) == times

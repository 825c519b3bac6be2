"""The name of a data set's registered model: its folder's, with what a registry takes."""

import re
from pathlib import Path

import pytest

from mmctr.inputs.model_name import LONGEST, model_name
from tasks.settings.sections import PromoteConfig


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("data/shop", "shop"),
        ("data/My Shop (2024)", "My-Shop-2024"),
        ("data/größe", "gr-e"),
        ("a/..", None),
        ("/", "data"),
        ("...", "data"),
        ("a\nb\x1b[2J", "a-b-2J"),
        ("x" * 200, "x" * LONGEST),
        ("日本", "data"),
    ],
)
def test_a_name_is_what_the_setting_takes(folder, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = model_name(Path(folder))
    assert found == (model_name(tmp_path) if name is None else name)
    assert re.fullmatch(r"[\w.-]+", found, re.ASCII)
    assert PromoteConfig(registered_model=found).registered_model == found

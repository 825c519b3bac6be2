"""Errors of the library in the words of the settings.

The library writes a parameter of its own in backticks, alone or with a value: `` `max_failure_share` ``,
`` `workers=0` ``. Who calls it from Python reads just that. Who starts a run reads the setting that the value comes
from, `embed.max_failure_share`; every stage and every check before one translates.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmctr.common.errors import InputError
from tasks.settings.data import DataConfig
from tasks.settings.sections import PipelineConfig

# What a setting of another name, or of another unit, sets; a parameter called as its setting needs no entry.
OTHERWISE = {
    "inputs": {
        "min_items": "reduce.n_components",
        "min_known_targets": "predict.min_known_targets",
        **{name: f"data.{name}" for name in DataConfig.model_fields},
    },
    "extract": {
        "max_member_bytes": "extract.max_member_mib",
        "max_total_bytes": "extract.max_total_gib",
        "password": "password in the environment variable that extract.password_env names",
    },
    "embed": {"batch_size": "embed.image_batch"},
    "reduce": {"pca=None": 'reduce.pca = "refit"'},
    "train": {
        "dim": "reduce.n_components",
        "earlier=None": "train.warm_start = false",
        "user": "data.user",
        "row_features": "data.row_features",
        "item_features": "data.item_features",
    },
}
_PARAMETER = re.compile(r"(?<![\w./])`(\w+)( ?= ?[^`\n]*)?`")


@contextmanager
def settings_named(*sections: str) -> Iterator[None]:
    """Let an InputError of the library name the settings of `sections`; "inputs" are those that the rules come from."""
    settings = {name: setting for section in sections for name, setting in _settings_of(section).items()}

    def setting(found: re.Match[str]) -> str:
        name, value = found[1], found[2] or ""
        whole = settings.get(name + value)
        return whole or (settings[name] + value if name in settings else found[0])

    try:
        yield
    except InputError as error:
        message = _PARAMETER.sub(setting, str(error))
        if message == str(error):
            raise
        raise InputError(message) from error


def _settings_of(section: str) -> dict[str, str]:
    """The setting of each parameter that comes from `section`."""
    field = PipelineConfig.model_fields.get(section)
    kind: Any = None if field is None else field.annotation
    own = {} if kind is None else {name: f"{section}.{name}" for name in kind.model_fields}
    return {**own, **OTHERWISE.get(section, {})}

"""An error names the library's parameter to who calls it from Python, and the setting to who starts a run."""

import re
from pathlib import Path

import numpy as np
import pytest
from project import PROJECT

from mmctr.common.errors import InputError
from mmctr.embedding.reduction import reduce_embeddings
from mmctr.inputs.targets import check_targets_known
from mmctr.training.divergence import diverged
from mmctr.training.recipe import Recipe
from tasks.cache.results import Predicted
from tasks.cache.stage import RunContext, stage
from tasks.cache.workspace import Workspace
from tasks.running.refusal import refusal
from tasks.settings.named import OTHERWISE, settings_named
from tasks.settings.sections import PipelineConfig


def said(message: str, *sections: str) -> str:
    with pytest.raises(InputError) as error, settings_named(*sections):
        raise InputError(message)
    return str(error.value)


@pytest.mark.parametrize(
    ("section", "message", "shown"),
    [
        ("embed", "or raise `max_failure_share`.", "or raise embed.max_failure_share."),
        (
            "embed",
            "fewer `workers` or a lower `max_pixels`; `workers=0` decodes",
            "fewer embed.workers or a lower embed.max_pixels; embed.workers=0 decodes",
        ),
        ("embed", "allow it with `allow_torchscript=True` if", "allow it with embed.allow_torchscript=True if"),
        ("embed", "`image_precision = int8` is for", "embed.image_precision = int8 is for"),
        ("embed", "a lower `batch_size`", "a lower embed.image_batch"),
        ("train", "a lower `batch_size`", "a lower train.batch_size"),
        ("train", "end with `epochs = 3` (", "end with train.epochs = 3 ("),
        ("train", "use `dim`, or `earlier=None`", "use reduce.n_components, or train.warm_start = false"),
        ("train", "needs the `row_features` of", "needs the data.row_features of"),
        ("reduce", "lower `n_components` or `pca=None`", 'lower reduce.n_components or reduce.pca = "refit"'),
        ("inputs", "items are needed (`min_items`)", "items are needed (reduce.n_components)"),
        ("predict", "or lower `min_known_targets`", "or lower predict.min_known_targets"),
        ("extract", "Raise `max_total_bytes` if", "Raise extract.max_total_gib if"),
        (
            "extract",
            "Use the right `password`.",
            "Use the right password in the environment variable that extract.password_env names.",
        ),
        ("embed", "a model of workers, /a/max_pixels/b.jpg", "a model of workers, /a/max_pixels/b.jpg"),  # plain words
        ("embed", "/a/`max_pixels`/b.jpg", "/a/`max_pixels`/b.jpg"),
        ("build_weights", "`epochs` is of another stage", "`epochs` is of another stage"),
    ],
)
def test_a_parameter_becomes_the_setting_it_comes_from(section: str, message: str, shown: str) -> None:
    assert said(message, section) == shown
    assert said(shown, section) == shown  # so a stage may translate what was translated within it


def test_every_name_is_a_setting() -> None:
    config = PipelineConfig(base_path=Path("/data")).model_dump()
    for names in OTHERWISE.values():
        for setting in names.values():
            section, field = next(word for word in setting.split() if "." in word).split(".")
            assert field in config[section]


def test_no_error_of_the_library_names_a_setting() -> None:
    sections = PipelineConfig(base_path=Path("/data")).model_dump()
    settings = [
        f"{section}.{field}" for section, fields in sections.items() if isinstance(fields, dict) for field in fields
    ]
    naming = re.compile("|".join(rf"\b{re.escape(setting)}\b" for setting in settings))
    drafts = PROJECT / "mmctr/inputs/discover"  # `mmctr init`, which writes settings
    paths = [path for path in (PROJECT / "mmctr").rglob("*.py") if drafts not in path.parents]
    found = {str(path): naming.findall(path.read_text()) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


def test_several_sections_at_once() -> None:
    assert said("`min_items` and `password`", "inputs", "extract").startswith("reduce.n_components and password in the")


def test_an_error_of_no_parameter_passes_as_it_is() -> None:
    error = diverged(FloatingPointError("a loss"), [], recipe=Recipe(), epoch=1)
    with pytest.raises(type(error)) as found, settings_named("extract"):
        raise error
    assert found.value is error


def refused_by_library(name: str) -> str:
    """The same mistake as the library says it."""
    with pytest.raises(InputError) as error:
        MISTAKES[name]()
    return str(error.value)


def diverge() -> None:
    raise diverged(FloatingPointError("a loss"), [], recipe=Recipe(), epoch=1)


MISTAKES = {
    "predict": lambda: check_targets_known(np.zeros(4, bool), min_known_targets=0.5),
    "reduce": lambda: reduce_embeddings(np.ones((2, 4), np.float32), n_components=3),
    "train": diverge,
}


@pytest.mark.parametrize(
    ("name", "library", "run"),
    [
        ("predict", "lower `min_known_targets`", "lower predict.min_known_targets"),
        ("reduce", "lower `n_components`", "lower reduce.n_components"),
        (
            "train",
            "`learning_rate` (0.001) or `clip_norm`",
            "train.learning_rate (0.001) or train.clip_norm",
        ),
    ],
)
def test_a_stage_says_in_settings_what_the_library_says_in_parameters(
    name: str, library: str, run: str, tmp_path: Path
) -> None:
    assert library in refused_by_library(name)

    def work(context: RunContext) -> Predicted:
        MISTAKES[name]()
        raise AssertionError

    work.__name__ = name
    context = RunContext(workspace=Workspace(tmp_path), device="cpu")
    message = refusal(stage(work).fn(context)) or ""
    assert run in message
    assert "`" not in message

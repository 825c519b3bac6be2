"""The commands that run a flow.

What can be refused is refused before Prefect's server starts, which takes ten seconds and more.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from flows.cli.options import config_of
from flows.process.terminal import MISTAKE, OK, say, show

if TYPE_CHECKING:
    from tasks.settings.search import SearchConfig


def run_pipeline(options: argparse.Namespace) -> int:
    """`mmctr run`."""
    config = config_of(options)
    from flows.run.inputs import look_at_images, look_before

    look_before(config)
    look_at_images(config)

    def load() -> Callable[[], Any]:
        from flows.pipeline import pipeline

        return partial(pipeline, config, return_state=True)

    return _run_flow(load)


def run_tune(options: argparse.Namespace) -> int:
    """`mmctr tune`."""
    config = config_of(options)
    from tasks.settings.sections import home_expanded
    from tasks.settings.space_file import read_space, space_of

    path = home_expanded(options.space)
    space, search = read_space(path), _search_of(options)
    space_of(space, config)
    from flows.run.inputs import look_at_images, look_before

    look_before(config)
    look_at_images(config)

    def load() -> Callable[[], Any]:
        from flows.tune import tune

        return partial(tune, config, space=space, search=search, called=path.stem, return_state=True)

    return _run_flow(load)


def _search_of(options: argparse.Namespace) -> "SearchConfig":
    """How a search goes on, by the options.

    Raises:
        InputError: the name cannot be one.
    """
    from pydantic import ValidationError

    from mmctr.common.errors import InputError
    from mmctr.common.text import shown_value
    from tasks.settings.search import SearchConfig

    try:
        return SearchConfig(**{name: getattr(options, name) for name in SearchConfig.model_fields})
    except ValidationError:
        raise InputError(
            f"--study must be at most 100 letters, digits, dots, dashes and underscores, and begin with a letter or a "
            f"digit; found {shown_value(options.study)}"
        ) from None


def run_predict(options: argparse.Namespace) -> int:
    """`mmctr predict`."""
    config = config_of(options)
    from flows.run.columns import check_columns
    from flows.run.outputs import check_places, workspace_of
    from mmctr.inputs.files import find_inputs
    from mmctr.inputs.rules import check_split
    from tasks.tracking.store_address import tracking_uri
    from tasks.tracking.store_check import check_store

    check_columns(config.data.submission, task1=options.task1, task2=options.task2)
    if not find_inputs(config.base_path, config.data.layout)[0]["test"]:
        check_split(config.base_path, config.data.layout, "test")
    check_places(workspace_of(config))
    check_store(tracking_uri(), config.experiment)

    def load() -> Callable[[], Any]:
        from flows.predict import predict_with

        return partial(
            predict_with, config, model=options.model, task1=options.task1, task2=options.task2, return_state=True
        )

    return _run_flow(load)


def _run_flow(load: Callable[[], Callable[[], Any]]) -> int:
    """Run a flow and print the text of its result, or the message that it was refused with.

    `load` imports the flow, while Prefect's server starts.
    """
    from flows.cli.interrupts import stop_because
    from flows.process.prefect_server import connect, server_that_stays

    server_answers = connect(on_loss=stop_because)
    run = load()
    from flows.cli.console import refusals_said_once
    from tasks.running.refusal import refusal

    server_answers()
    with refusals_said_once(), server_that_stays():
        state = run()
    message = refusal(state)
    if message is not None:
        say(f"mmctr: {message}")
        return MISTAKE
    show(state.result().text())
    return OK

"""The command line, `mmctr`: what each command does. `flows.cli.arguments` has their options.

Nothing heavy is imported before a command needs it.
"""

from flows.process.environment import import_nothing_from_here

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.cli.arguments import parser
from flows.process.terminal import prepare_streams, say, show

OK, MISTAKE = 0, 2  # exit codes: all well, the user's mistake


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. A fault of ours is raised: Python shows its trace and exits with 1."""
    prepare_streams()
    from flows.cli.interrupts import signal_number, stoppable, stopped
    from mmctr.common.errors import as_input_error, check_text

    import_nothing_from_here()
    try:
        with stoppable():
            options = _parsed(arguments)
            for option in vars(options).values():
                if isinstance(option, str | Path):
                    check_text(str(option))
            if options.doing is not None:
                say(options.doing.format_map(vars(options)))  # at once, as imports alone take seconds
            return int(commands()[options.command](options))
    except KeyboardInterrupt as stop:
        message, code = stopped(signal_number(stop))
        say(f"mmctr: {message}")
        return code
    except Exception as error:
        mistake = as_input_error(error)
        if mistake is None:
            raise
        say(f"mmctr: {mistake}")
        return MISTAKE


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options; help and version are printed here, and what argparse says of wrong ones."""
    try:
        return parser().parse_args(arguments)
    except SystemExit:
        show("", end="")  # a reader that is gone or a full disk is met here, not in the interpreter's last moment
        raise


def commands() -> dict[str, Callable[[argparse.Namespace], int]]:
    """What runs each command; it returns the exit code."""
    return {
        "demo": run_demo,
        "check": run_check,
        "run": run_pipeline,
        "predict": run_predict,
        "promote": run_promote,
        "settings": run_settings,
        "gc": run_gc,
        "check-submission": run_check_submission,
        "ui": run_ui,
    }


def run_demo(options: argparse.Namespace) -> int:
    """`mmctr demo`."""
    from mmctr.demo.write import is_demo, write_demo

    if options.if_missing and is_demo(options.out):
        show(f"{options.out} is a demo data set already")
        return OK
    write_demo(options.out, items=options.items, users=options.users, seed=options.seed)
    show(f"demo data set written to {options.out}; next: mmctr run {options.out}")
    return OK


def run_check(options: argparse.Namespace) -> int:
    """`mmctr check`."""
    from flows.cli.check_report import as_json, as_text
    from flows.run.outputs import check_places
    from mmctr.report.dataset import report_dataset
    from tasks.settings.archive import archive_limits
    from tasks.settings.load import load_config
    from tasks.settings.named import settings_named

    config = load_config(options.base_path, config_file=options.config, overrides=options.set)
    with settings_named("inputs", "extract"):
        report = report_dataset(
            config.base_path,
            min_items=config.reduce.n_components,
            min_known_targets=config.predict.min_known_targets,
            **archive_limits(config.extract),
        )
    check_places(config.base_path, writes=False)
    show(as_json(report) if options.json else f"{as_text(report)}\n\nthe inputs can be used")
    return OK


def run_pipeline(options: argparse.Namespace) -> int:
    """`mmctr run`."""
    from tasks.settings.load import load_config

    config = load_config(options.base_path, config_file=options.config, overrides=options.set, device=options.device)
    from flows.run.inputs import look_at_archive, look_before

    look_before(config)  # at once, where starting Prefect takes ten seconds and more
    look_at_archive(config.base_path, config.extract)

    def load() -> Callable[[], Any]:
        from flows.pipeline import pipeline

        return partial(pipeline, config, return_state=True)

    return _run_flow(load)


def run_predict(options: argparse.Namespace) -> int:
    """`mmctr predict`."""
    from tasks.settings.load import load_config

    config = load_config(options.base_path, config_file=options.config, overrides=options.set, device=options.device)
    from flows.run.outputs import check_places
    from mmctr.inputs.layout import split_path
    from mmctr.inputs.rules import check_split
    from tasks.tracking.store_address import tracking_uri
    from tasks.tracking.store_check import check_store

    if not split_path(config.base_path, "test").is_file():
        check_split(config.base_path, "test")  # says so at once, where starting Prefect takes ten seconds and more
    check_places(config.base_path)
    check_store(tracking_uri(), config.experiment)

    def load() -> Callable[[], Any]:
        from flows.predict import predict_with

        return partial(predict_with, config, model=options.model, return_state=True)

    return _run_flow(load)


def run_promote(options: argparse.Namespace) -> int:
    """`mmctr promote`; it needs no Prefect server."""
    from flows.cli.promote import champions_text, change_champion
    from tasks.settings.load import load_config

    config = load_config(options.base_path, config_file=options.config, overrides=options.set, device=options.device)
    if options.version is None and not (options.rollback or options.pin or options.unpin):
        show(champions_text(config))
    else:
        show(
            change_champion(
                config, version=options.version, rollback=options.rollback, pin=options.pin, unpin=options.unpin
            )
        )
    return OK


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


def run_settings(options: argparse.Namespace) -> int:
    """`mmctr settings`."""
    from flows.cli.settings_report import as_json, as_markdown, as_text

    show(as_json() if options.json else as_markdown() if options.markdown else as_text())
    return OK


def run_gc(options: argparse.Namespace) -> int:
    """`mmctr gc`."""
    from tasks.settings.sections import PipelineConfig, home_expanded
    from tasks.tracking.store_address import tracking_uri
    from tasks.tracking.store_check import check_store

    check_store(tracking_uri(), PipelineConfig.model_fields["experiment"].default, writes=False)
    from flows.cli.gc_report import as_json, as_text
    from tasks.cache.collect import known_runs, plan_collection, remove
    from tasks.cache.workspace import Workspace
    from tasks.tracking.registry import runs_with_alias

    workspace = Workspace(home_expanded(options.base_path))
    known = known_runs(workspace)  # before the lock, which makes the folder where there is none
    protected = runs_with_alias(tracking_uri(), [run.mlflow_run for run in known])
    with workspace.alone():
        collection = plan_collection(
            workspace, keep=options.keep, protected_runs=protected, drop_unfinished=options.drop_unfinished
        )
        if options.delete:
            remove(workspace, collection)
    if options.json:
        show(as_json(collection, base_path=workspace.base_path, deleted=options.delete))
    else:
        show(as_text(collection, deleted=options.delete))
    return OK


def run_check_submission(options: argparse.Namespace) -> int:
    """`mmctr check-submission`."""
    from mmctr.common.errors import InputError
    from mmctr.inputs.columns import read_ids
    from mmctr.inputs.layout import split_path
    from mmctr.submission.challenge import check_submission

    test = split_path(options.base_path, "test")
    try:
        ids = read_ids(test)
    except InputError as error:
        raise InputError(f"{error}; or give the folder of the data with --base-path") from error
    rows = check_submission(options.zip, test_ids=ids)
    show(f"{options.zip} is a valid submission of {rows:,} rows")
    return OK


def run_ui(options: argparse.Namespace) -> int:
    """`mmctr ui`."""
    from flows.cli.ui import serve_pages

    serve_pages(mlflow_port=options.mlflow_port, prefect_port=options.prefect_port)
    return OK


if __name__ == "__main__":
    sys.exit(main())

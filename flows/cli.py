"""The command line, `mmctr`.

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flows.environment import import_nothing_from_here
from flows.say import say, show, write_any_text
from mmctr import __version__

OK, MISTAKE = 0, 2  # exit codes: all well, the user's mistake


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. A fault of ours is raised: Python shows its trace and exits with 1."""
    write_any_text()
    options = _parsed(arguments)
    from flows.interrupts import signal_number, stoppable, stopped
    from mmctr.errors import as_input_error

    import_nothing_from_here()
    try:
        with stoppable():
            if options.doing is not None:
                say(options.doing.format_map(vars(options)))  # at once, as imports alone take seconds
            return int(options.command(options))
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


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog="mmctr", description="Click-through-rate models from item titles, item images and click logs."
    )
    top.add_argument("--version", action="version", version=f"mmctr {__version__}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    demo = commands.add_parser(
        "demo", help="write a demo data set", description="Write a demo data set with a RAR archive and a tiny CLIP."
    )
    demo.add_argument("out", type=Path, metavar="OUT", help="folder to write; must be empty or absent")
    demo.add_argument("--items", type=int, default=3000, help="items in the world (default %(default)s, at least 150)")
    demo.add_argument("--users", type=int, default=12000, help="users with four train rows each (default %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="seed of the world (default %(default)s)")
    demo.add_argument("--if-missing", action="store_true", help="do nothing when OUT is a whole demo data set already")
    demo.set_defaults(command=run_demo, doing="demo data set in {out}")

    check = commands.add_parser(
        "check",
        help="validate and describe a data folder",
        description="Validate the input files and report what is in them: sizes, coverage, unknown and cold items, "
        "labels, history lengths, rows and users that splits share. Nothing is written.",
    )
    _add_base_path(check)
    _add_settings(check)
    check.add_argument("--json", action="store_true", help="print the report as JSON, for a program to read")
    check.set_defaults(command=run_check, doing="looking through the inputs in {base_path}")

    run = commands.add_parser(
        "run", help="run the pipeline", description="Run the pipeline; what has not changed is taken from the cache."
    )
    _add_base_path(run)
    _add_settings(run)
    _add_device(run)
    run.set_defaults(command=run_pipeline, doing="running the pipeline on {base_path}")

    predict = commands.add_parser(
        "predict",
        help="make a submission with a model that is there already",
        description="Predict the test split with a trained model and write prediction.csv and prediction.zip, and that "
        "model and its item embeddings; nothing is trained, and of the data only the test split is needed.",
    )
    _add_base_path(predict)
    _add_settings(predict)
    predict.add_argument(
        "--model",
        default="champion",
        help="number or alias of a version in MLflow's registry, the id of an MLflow run, or the path of a checkpoint "
        "(default %(default)s)",
    )
    _add_device(predict)
    predict.set_defaults(command=run_predict, doing="predicting the test split of {base_path} with {model}")

    promote = commands.add_parser(
        "promote",
        help="say which model is the champion, or choose another",
        description="Choose the champion by hand, go back to the one before, or keep it whatever comes; the files "
        "under BASE_PATH become those of the champion. Without VERSION and options, say which versions there are.",
    )
    _add_base_path(promote)
    promote.add_argument(
        "version", nargs="?", metavar="VERSION", help="number of the version that is to be the champion, or an alias"
    )
    promote.add_argument("--rollback", action="store_true", help="go back to the champion before; again goes further")
    promote.add_argument("--pin", action="store_true", help="keep the champion, however good later models are")
    promote.add_argument("--unpin", action="store_true", help="let better models become the champion again")
    _add_settings(promote)
    _add_device(promote)
    promote.set_defaults(command=run_promote, doing="the champion of {base_path}")

    settings = commands.add_parser(
        "settings",
        help="list all settings",
        description="Every setting with its default, its range and a sentence. They are given with --set, in "
        "BASE_PATH/mmctr.toml, or in the file of --config.",
    )
    form = settings.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print them as JSON, for a program to read")
    form.add_argument("--markdown", action="store_true", help="print them as Markdown, as docs/settings.md has them")
    settings.set_defaults(command=run_settings, doing=None)

    gc = commands.add_parser(
        "gc",
        help="remove cached results that no kept run refers to",
        description="Say what of BASE_PATH/.mmctr no kept run refers to, and with --delete remove it. Kept are the "
        "newest runs, runs whose model has an alias in the MLflow registry, runs that have not finished (until one of "
        "the same settings finishes), and what is younger than an hour. MLflow's runs stay as they are, as they hold "
        "copies. To run settings again whose results were removed computes them anew, and opens a new MLflow run.",
    )
    _add_base_path(gc)
    gc.add_argument("--keep", type=int, default=3, metavar="N", help="newest runs to keep (default %(default)s)")
    gc.add_argument("--delete", action="store_true", help="remove it; without this, nothing is removed")
    gc.add_argument(
        "--drop-unfinished", action="store_true", help="do not keep the work of runs that have not finished"
    )
    gc.add_argument("--json", action="store_true", help="print the report as JSON, for a program to read")
    gc.set_defaults(command=run_gc, doing="looking what {base_path}/.mmctr holds")

    submission = commands.add_parser(
        "check-submission",
        help="verify a submission zip",
        description="Verify header, IDs and their order, count, range and zip content.",
    )
    submission.add_argument("zip", type=Path, metavar="ZIP", help="the submission")
    submission.add_argument(
        "--base-path", type=Path, required=True, metavar="BASE_PATH", help="folder with MicroLens_1M_x1/test.parquet"
    )
    submission.set_defaults(command=run_check_submission, doing="checking {zip}")

    ui = commands.add_parser(
        "ui",
        help="serve the pages of MLflow and Prefect",
        description="Serve the pages of MLflow and Prefect on the loopback address until Ctrl-C.",
    )
    ui.add_argument("--mlflow-port", type=_port, default=os.environ.get("MLFLOW_PORT") or "5000", metavar="N")
    ui.add_argument("--prefect-port", type=_port, default=os.environ.get("PREFECT_PORT") or "4200", metavar="N")
    ui.set_defaults(
        command=run_ui, doing="starting MLflow's pages on port {mlflow_port} and Prefect's on port {prefect_port}"
    )
    return top


def _port(text: str) -> int:
    """A port's number; argparse says what it was given instead."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a whole number from 1 to 65535, found {text[:20]!r}")
    return int(text)


def _add_base_path(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "base_path",
        type=Path,
        metavar="BASE_PATH",
        help="folder with item_feature.parquet, item_images_2.rar and MicroLens_1M_x1/",
    )


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config", type=Path, metavar="FILE.toml", help="settings (default: BASE_PATH/mmctr.toml where there is one)"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.FIELD=VALUE",
        help="one setting, such as train.epochs=3; may be repeated",
    )


def _add_device(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--device", help="auto, cpu, cuda or cuda:N (default: auto, which takes CUDA when there is one)"
    )


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
    from flows.check_report import as_json, as_text
    from flows.outputs import check_places
    from mmctr.dataset_report import report_dataset
    from tasks.archive_settings import archive_limits, settings_named
    from tasks.config_file import load_config

    config = load_config(options.base_path, config_file=options.config, overrides=options.set)
    with settings_named():
        report = report_dataset(
            config.base_path, min_items=config.reduce.n_components, **archive_limits(config.extract)
        )
    check_places(config.base_path, writes=False)
    show(as_json(report) if options.json else f"{as_text(report)}\n\nthe inputs can be used")
    return OK


def run_pipeline(options: argparse.Namespace) -> int:
    """`mmctr run`."""
    from tasks.config_file import load_config

    config = load_config(options.base_path, config_file=options.config, overrides=options.set, device=options.device)
    from flows.inputs import look_at_archive, look_before

    look_before(config)  # at once, where starting Prefect takes ten seconds and more
    look_at_archive(config)

    def load() -> Callable[[], Any]:
        from flows.pipeline import pipeline

        return partial(pipeline, config, return_state=True)

    return _run_flow(load)


def run_predict(options: argparse.Namespace) -> int:
    """`mmctr predict`."""
    from tasks.config_file import load_config

    config = load_config(options.base_path, config_file=options.config, overrides=options.set, device=options.device)
    from flows.outputs import check_places
    from mmctr.schema import CLICKS, check_split
    from tasks.store_address import tracking_uri
    from tasks.store_check import check_store

    if not (config.base_path / CLICKS / "test.parquet").is_file():
        check_split(config.base_path, "test")  # says so at once, where starting Prefect takes ten seconds and more
    check_places(config.base_path)
    check_store(tracking_uri(), config.experiment)

    def load() -> Callable[[], Any]:
        from flows.submission import predict_with

        return partial(predict_with, config, model=options.model, return_state=True)

    return _run_flow(load)


def run_promote(options: argparse.Namespace) -> int:
    """`mmctr promote`; it needs no Prefect server."""
    from flows.promote_command import champions_text, change_champion
    from tasks.config_file import load_config

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
    from flows.interrupts import stop_because
    from flows.prefect_server import connect, server_that_stays

    server_answers = connect(on_loss=stop_because)
    run = load()
    from flows.console import refusals_said_once
    from tasks.refusal import refusal

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
    from flows.settings_report import as_json, as_markdown, as_text

    show(as_json() if options.json else as_markdown() if options.markdown else as_text())
    return OK


def run_gc(options: argparse.Namespace) -> int:
    """`mmctr gc`."""
    from tasks.config import PipelineConfig, home_expanded
    from tasks.store_address import tracking_uri
    from tasks.store_check import check_store

    check_store(tracking_uri(), PipelineConfig.model_fields["experiment"].default, writes=False)
    from flows.gc_report import as_json, as_text
    from tasks.housekeeping import known_runs, plan_collection, remove
    from tasks.references import Workspace
    from tasks.registry import runs_with_alias

    workspace = Workspace(home_expanded(options.base_path))
    known = known_runs(workspace)  # before the lock, which makes the folder where there is none
    protected = runs_with_alias(tracking_uri(), [run.mlflow_run for run in known])
    with workspace.locked():
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
    from mmctr.errors import InputError
    from mmctr.list_columns import read_ids
    from mmctr.schema import CLICKS
    from mmctr.submission import check_submission

    test = options.base_path / CLICKS / "test.parquet"
    try:
        ids = read_ids(test)
    except InputError as error:
        raise InputError(f"{error}; or give the folder of the data with --base-path") from error
    rows = check_submission(options.zip, test_ids=ids)
    show(f"{options.zip} is a valid submission of {rows:,} rows")
    return OK


def run_ui(options: argparse.Namespace) -> int:
    """`mmctr ui`."""
    from flows.ui import serve_pages

    serve_pages(mlflow_port=options.mlflow_port, prefect_port=options.prefect_port)
    return OK


if __name__ == "__main__":
    sys.exit(main())

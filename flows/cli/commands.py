"""What the commands do that need no Prefect server; each returns the exit code."""

import argparse
from typing import TYPE_CHECKING

from flows.cli.options import config_of
from flows.process.terminal import OK, show

if TYPE_CHECKING:
    from tasks.settings.sections import PipelineConfig


def run_demo(options: argparse.Namespace) -> int:
    """`mmctr demo`."""
    from mmctr.demo.write import is_demo, write_demo

    if options.if_missing and is_demo(options.out, world=options.world):
        show(f"{options.out} is a demo data set already")
        return OK
    write_demo(options.out, world=options.world, items=options.items, users=options.users, seed=options.seed)
    words = " (figures on it are not Codabench figures: see README.md there)" if options.world == "challenge" else ""
    show(f"demo data set written to {options.out}{words}; next: mmctr run {options.out}")
    return OK


def run_init(options: argparse.Namespace) -> int:
    """`mmctr init`."""
    from flows.cli.init import init
    from tasks.settings.sections import home_expanded

    show(init(home_expanded(options.folder), to_screen=options.stdout))
    return OK


def run_check(options: argparse.Namespace) -> int:
    """`mmctr check`."""
    from dataclasses import replace

    from flows.cli.check_report import as_json, as_text, next_command, with_remedy
    from flows.run.inputs import check_source, fewest_items
    from flows.run.outputs import check_places, workspace_of
    from mmctr.common.errors import InputError
    from mmctr.report.dataset import report_dataset
    from tasks.settings.archive import archive_limits
    from tasks.settings.named import settings_named

    config = config_of(options)
    layout, embed = config.data.layout, config.embed
    check_source(config)
    try:
        with settings_named("inputs", "extract", "embed"):
            report = report_dataset(
                config.base_path,
                layout if embed.source == "clip" else replace(layout, images=()),
                embed_columns=embed.columns,
                min_items=fewest_items(config),
                min_known_targets=config.predict.min_known_targets,
                **archive_limits(config.extract),
            )
            _check_vectors(config)
    except InputError as error:
        raise with_remedy(error, config.base_path, layout) from error
    check_places(workspace_of(config), writes=False)
    show(as_json(report) if options.json else f"{as_text(report)}\n\n{next_command(report, config.base_path)}")
    return OK


def _check_vectors(config: "PipelineConfig") -> None:
    """Refuse vectors of the item table that cannot be embedded."""
    if config.embed.source != "columns":
        return
    from mmctr.embedding.sources.columns import read_item_vectors
    from mmctr.inputs.files import find_inputs

    layout = config.data.layout
    items = find_inputs(config.base_path, layout)[0]["items"]
    read_item_vectors(items, item_id=layout.item_id, columns=config.embed.columns, fuse=config.embed.fuse)


def run_promote(options: argparse.Namespace) -> int:
    """`mmctr promote`; it needs no Prefect server."""
    from flows.cli.promote import champions_text, change_champion

    config = config_of(options)
    if options.version is None and not (options.rollback or options.pin or options.unpin):
        show(champions_text(config))
    else:
        show(
            change_champion(
                config, version=options.version, rollback=options.rollback, pin=options.pin, unpin=options.unpin
            )
        )
    return OK


def run_score(options: argparse.Namespace) -> int:
    """`mmctr score`; it needs no Prefect server."""
    from flows.cli.score import score

    show(score(config_of(options), options.file, model=options.model, out=options.out, force=options.force).text())
    return OK


def run_similar(options: argparse.Namespace) -> int:
    """`mmctr similar`."""
    from flows.cli.similar import similar

    found = similar(config_of(options), options.item_id, k=options.k)
    show(found.as_json() if options.json else found.as_text())
    return OK


def run_item_info(options: argparse.Namespace) -> int:
    """`mmctr item-info`."""
    from flows.cli.item_info import make_item_info

    show(make_item_info(config_of(options), out=options.out, force=options.force).text())
    return OK


def run_presets(options: argparse.Namespace) -> int:
    """`mmctr presets`."""
    from flows.cli.presets_report import as_json, as_text
    from tasks.settings.presets import read_preset

    if options.name is not None:
        show(read_preset(options.name).text.rstrip("\n"))
    else:
        show(as_json() if options.json else as_text())
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
    from mmctr.inputs.files import find_table
    from mmctr.submission.forms import FORMS
    from tasks.settings.load import load_config

    data = load_config(options.base_path).data
    try:
        files, problem = find_table(options.base_path, data.test)
        if problem:
            raise InputError(f"{options.base_path}: {problem}")
        ids = read_ids(files, row_id=data.row_id)
    except InputError as error:
        raise InputError(f"{error}; or name the folder of the data with --base-path") from error
    rows = FORMS[data.submission].check(options.zip, test_ids=ids)
    show(f"{options.zip} is a valid submission of {rows:,} rows")
    return OK


def run_ui(options: argparse.Namespace) -> int:
    """`mmctr ui`."""
    from flows.cli.ui import serve_pages

    serve_pages(mlflow_port=options.mlflow_port, prefect_port=options.prefect_port)
    return OK

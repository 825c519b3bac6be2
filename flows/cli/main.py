"""The command line, `mmctr`: its entry, and how each command ends. `flows.cli.arguments` has the options.

Nothing heavy is imported before a command needs it.
"""

from flows.process.environment import import_nothing_from_here

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.cli.arguments import parser
from flows.cli.commands import (
    run_check,
    run_check_submission,
    run_demo,
    run_gc,
    run_init,
    run_item_info,
    run_presets,
    run_promote,
    run_score,
    run_settings,
    run_similar,
    run_ui,
)
from flows.cli.flow_commands import run_pipeline, run_predict, run_tune
from flows.cli.prepare import run_prepare
from flows.process.terminal import MISTAKE, prepare_streams, say, show


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
        "prepare": run_prepare,
        "init": run_init,
        "check": run_check,
        "run": run_pipeline,
        "tune": run_tune,
        "predict": run_predict,
        "score": run_score,
        "similar": run_similar,
        "item-info": run_item_info,
        "promote": run_promote,
        "presets": run_presets,
        "settings": run_settings,
        "gc": run_gc,
        "check-submission": run_check_submission,
        "ui": run_ui,
    }


if __name__ == "__main__":
    sys.exit(main())

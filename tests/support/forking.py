"""Forks processes of `mmctr` from one that has imported what a run imports, which takes a new process six seconds.

A line of standard input asks for one, as JSON; the answer is its process id. Its exit code comes in a file.
"""

import json
import os
import resource
import select
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from flows.cli.main import main

IMPORTED = (  # by a run, sooner or later
    *(
        "flows.pipeline",
        "mmctr.embedding.sources.clip",
        "mmctr.encoders.clip",
        "mmctr.images.extract",
        "mmctr.inputs.rules",
    ),
    *("mmctr.embedding.pca", "mmctr.training.loop", "mmctr.submission.challenge", "mmctr.evaluation.scoring"),
    *("tasks.tracking.model_logging", "tasks.tracking.plots", "mlflow.sklearn", "mlflow.pyfunc", "skops.io"),
    *("matplotlib.figure", "mlflow.store.tracking.sqlalchemy_store"),
)
POLL_SECONDS = 0.01


def serve() -> None:
    """Answer until standard input ends; a forked process returns from here by its SystemExit."""
    running: dict[int, Path] = {}
    while True:
        if select.select([sys.stdin], [], [], POLL_SECONDS if running else None)[0]:
            line = sys.stdin.readline()
            if not line:
                return
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                raise SystemExit(run(**request))
            running[pid] = Path(request["status"])
            print(pid, flush=True)
        for pid in list(running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                path = running.pop(pid)
                partial = path.with_suffix(".partial")
                partial.write_text(str(os.waitstatus_to_exitcode(status)))
                partial.replace(path)


def run(*, arguments: list[str], environment: dict[str, str], log: str, largest_file: int | None, status: str) -> Any:
    """Be a process of `mmctr` in a group of its own."""
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    return main(arguments)


if __name__ == "__main__":
    for module in IMPORTED:
        import_module(module)
    serve()

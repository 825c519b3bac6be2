"""A rerun of the whole pipeline beside what Prefect takes for a flow that does nothing."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from side_by_side import Row, in_turn

PROJECT = Path(__file__).resolve().parents[1]
STAGES, REPEATS = 6, 5
COMMAND = ("-m", "flows.cli.main")
EMPTY = f"""
import flows.process.environment
from prefect import flow, task

@task
def nothing():
    pass

@flow
def empty():
    for _ in range({STAGES}):
        nothing()

empty()
"""


def rerun(folder: Path) -> list[Row]:
    """`mmctr run` when all six stages are cached, beside a flow of six empty tasks; each starts a server of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        base = Path(place) / "demo"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {"PREFECT_HOME": f"{place}/prefect", "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db"}

        def ours() -> None:
            said = _python(*COMMAND, "run", str(base), "--set", "train.epochs=1", environment=environment)
            assert said.count(" cached ") == STAGES, said

        _python(*COMMAND, "demo", str(base), "--items", "200", "--users", "1500", environment=environment)
        _python(*COMMAND, "run", str(base), "--set", "train.epochs=1", environment=environment)
        pair = in_turn(ours, lambda: _python("-c", EMPTY, environment=environment), repeats=REPEATS)
    name = f"mmctr run, all cached: {pair[0] - pair[1]:.1f} s more than the peer"
    beside = "a Prefect flow of six empty tasks"
    return [Row(name, *pair, "s", beside, "3 s more", REPEATS, higher_is_better=False)]


def _python(*arguments: str, environment: dict[str, str]) -> str:
    """What an interpreter prints; no process that it started is left."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        out, err = process.communicate(timeout=300)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, err
    return out

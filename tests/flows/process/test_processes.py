"""A command that is stopped leaves no process behind, and its own server may die: real processes."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from mmctr_process import MmctrRun
from project import PROJECT

SETTINGS = ["embed.workers=0", "train.batch_size=256", "train.patience=5000", "train.epochs=5000"]


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until_gone(pids, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline, f"still there: {[pid for pid in pids if not gone(pid)]}"
        time.sleep(0.1)


@pytest.mark.integration
def test_a_temporary_server_ends_with_its_run_however_that_ends_and_is_replaced_when_it_dies(
    demo, tracking_uri, prefect_database, tmp_path, monkeypatch
):
    database = tracking_uri.removeprefix("sqlite:///")
    home = tmp_path / "home/prefect.db"
    home.parent.mkdir()
    shutil.copy(prefect_database, home)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

    def rows(path, query):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            return [value for (value,) in connection.execute(query)]

    def status():
        return rows(database, "select status from runs")

    with MmctrRun(demo, *SETTINGS, log=tmp_path / "killed.log", server="") as run:
        run.wait_for_line("epoch 1:")
        started = run.children()
        assert started
        run.stop(signal.SIGKILL)
        wait_until_gone(started)
    assert status() == ["RUNNING"]

    with MmctrRun(demo, *SETTINGS, log=tmp_path / "hangup.log", server="") as run:
        run.wait_for_line("epoch")
        started = run.children()
        for pid in started:
            os.kill(pid, signal.SIGKILL)
        run.wait_for_line("ended early .it ended with code -9.; starting another one")
        started = run.children()
        assert run.stop(signal.SIGHUP, within=30) == 128 + signal.SIGHUP
        wait_until_gone(started)
    assert "mmctr: stopped by SIGHUP; the same command goes on where this one stopped" in run.output()
    assert "Traceback" not in run.output()
    assert status() == ["KILLED"]
    assert rows(home, "select count(*) from flow_run") == [2]


STUCK = """
import os, signal, subprocess, time
from flows.cli import interrupts
interrupts.GRACE_SECONDS = 0.5
child = subprocess.Popen(["sh", "-c", "sleep 300 & echo $!; wait"], stdout=subprocess.PIPE, start_new_session=True)
grandchild = int(child.stdout.readline())
for pid in (child.pid, grandchild):
    os.kill(pid, signal.SIGSTOP)
with interrupts.stoppable():
    pids = f"{child.pid} {grandchild}"
    while True:  # blocks, and hears no signal
        try:
            print(pids, flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            continue
"""


def stuck(**options):
    return subprocess.Popen(
        [sys.executable, "-c", STUCK], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT, **options
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_does_not_end_in_time_takes_stopped_children_with_it(number):
    with stuck() as process:
        children = [int(pid) for pid in process.stdout.readline().split()]
        process.send_signal(number)
        assert process.wait(30) == 128 + number
        assert f"mmctr: stopped by {number.name}" in process.stderr.read()
        wait_until_gone(children)


def test_nohup_is_respected():
    program = (
        "import signal, time\nfrom flows.cli.interrupts import stoppable\nwith stoppable():\n print(1, flush=True)\n"
    )
    program += " signal.raise_signal(signal.SIGHUP)\n time.sleep(0.2)\nprint('went on')"
    done = subprocess.run(
        ["nohup", sys.executable, "-c", program], capture_output=True, text=True, cwd=PROJECT, stdin=subprocess.DEVNULL
    )
    assert done.stdout == "1\nwent on\n", done.stderr


def test_a_command_can_stop_itself_for_a_reason(monkeypatch):
    from flows.cli import interrupts

    monkeypatch.setattr(interrupts, "_reasons", [])
    monkeypatch.setattr(interrupts, "GRACE_SECONDS", 10**6)  # or else the tests would end with it

    def stop_itself():
        with interrupts.stoppable():
            interrupts.stop_because("the server is gone")
            time.sleep(10)

    with pytest.raises(interrupts.Terminated) as stop:
        stop_itself()
    message, code = interrupts.stopped(interrupts.signal_number(stop.value))
    assert (message, code) == (
        "the server is gone; what was done is kept, and the same command goes on where this one stopped",
        2,
    )


def test_a_reader_that_has_seen_enough_is_no_error(demo_original):
    command = [sys.executable, "-m", "flows.cli.main", "check", demo_original, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        process.stdout.close()
        assert process.wait(120) == 0
        assert process.stderr.read() == f"looking through the inputs in {demo_original}\n"


def test_a_log_whose_reader_is_gone_does_not_end_the_work():
    program = (
        "import flows.process.environment, logging\n"
        "from prefect.logging.configuration import setup_logging\nsetup_logging()\n"
        "from flows.cli.console import refusals_said_once\nwith refusals_said_once():\n"
        "    logging.getLogger('prefect').info('a line')\nprint('went on')"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=writer, text=True, cwd=PROJECT
    )
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, "went on\n")

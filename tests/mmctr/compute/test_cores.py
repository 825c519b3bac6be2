"""Cores are counted as the job may use them, not as the machine has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import PROJECT

from mmctr.compute import cores as module
from mmctr.compute.cores import usable_cores

V2 = {"groups": "0::/kubepods/pod7/box\n"}
V1 = {"groups": "5:memory:/docker/7\n4:cpu,cpuacct:/docker/7\n1:name=systemd:/docker/7\n"}

CASES = {
    "no limit": (V2, {"cpu.max": "max 100000", "kubepods/pod7/box/cpu.max": "max 100000"}, 16),
    "version 2": (V2, {"kubepods/pod7/box/cpu.max": "300000 100000"}, 3),
    "version 2, the pod's": (V2, {"kubepods/pod7/cpu.max": "200000 100000", "kubepods/pod7/box/cpu.max": "max 1"}, 2),
    "version 2, in a container": ({"groups": "0::/\n"}, {"cpu.max": "250000 100000"}, 2),
    "version 2, outside of what is mounted": ({"groups": "0::/../../box\n"}, {"cpu.max": "250000 100000"}, 2),
    "a half": (V2, {"kubepods/pod7/box/cpu.max": "50000 100000"}, 1),
    "more than there is": (V2, {"kubepods/pod7/box/cpu.max": "9900000 100000"}, 16),
    "version 1": (
        V1,
        {"cpu,cpuacct/docker/7/cpu.cfs_quota_us": "400000", "cpu,cpuacct/docker/7/cpu.cfs_period_us": "100000"},
        4,
    ),
    "version 1, in a container": (
        V1,
        {"cpu,cpuacct/cpu.cfs_quota_us": "150000", "cpu,cpuacct/cpu.cfs_period_us": "50000"},
        3,
    ),
    "version 1, no limit": (
        V1,
        {"cpu,cpuacct/docker/7/cpu.cfs_quota_us": "-1", "cpu,cpuacct/docker/7/cpu.cfs_period_us": "100000"},
        16,
    ),
    "garbage": ({"groups": "garbage\n\xff::\n"}, {"cpu.max": "many"}, 16),
    "garbage in the limit": (V2, {"kubepods/pod7/box/cpu.max": "1 0"}, 16),
}


@pytest.mark.parametrize("name", CASES)
def test_cores_of_a_quota(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told, files, cores = CASES[name]
    (tmp_path / "cgroup").write_text(told["groups"])
    for place, content in files.items():
        (tmp_path / "mount" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / place).write_text(content + "\n")
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: set(range(16)))
    assert usable_cores(groups=tmp_path / "cgroup", mount=tmp_path / "mount") == cores


def test_cores_that_the_process_is_bound_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `taskset`, Slurm and Kubernetes' static policy bind it."""
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda _: {3, 7})
    monkeypatch.setattr(module.os, "cpu_count", lambda: 64)
    assert usable_cores(groups=tmp_path / "absent", mount=tmp_path) == 2


def test_threads_follow_a_quota_and_the_user_may_decide_otherwise() -> None:
    program = (
        "import os, mmctr.compute.cores as d; d.usable_cores = lambda: 1; d.bound_cores = lambda: 8;"
        "import flows.process.environment;"
        "print(os.environ['OMP_NUM_THREADS'], os.environ['POLARS_MAX_THREADS'], os.environ.get('MKL_NUM_THREADS'))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_THREADS")}
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=environment | {"OMP_NUM_THREADS": "3"},
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    assert answer.stdout.split() == [b"3", b"1", b"1"]


@pytest.mark.parametrize("count", ["0", "", " ", "000"])
def test_no_threads_at_all_are_no_count_for_polars(count: str) -> None:
    program = "import flows.process.environment, polars as pl; print(pl.LazyFrame({'a': [2]}).sum().collect().item())"
    answer = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"POLARS_MAX_THREADS": count},
        cwd=PROJECT,
        check=False,
        capture_output=True,
    )
    assert (answer.returncode, answer.stdout) == (0, b"2\n"), answer.stderr.decode()[-500:]


def test_a_level_of_logging_that_does_not_exist_is_not_handed_to_mlflow() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", "import flows.process.environment, mlflow"],
        env=os.environ | {"MLFLOW_LOGGING_LEVEL": "nonsense"},
        cwd=PROJECT,
        check=False,
        capture_output=True,
    )
    assert answer.returncode == 0, answer.stderr.decode()[-500:]

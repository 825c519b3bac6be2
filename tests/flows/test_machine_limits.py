"""No permission, no open files left, a full disk: each is answered in a few lines with a remedy, and nothing stays."""

import ctypes
import errno
import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
from mmctr_process import MmctrRun
from project import FIXTURES, PROJECT

from mmctr.common.errors import as_input_error
from mmctr.images.manifest import MANIFEST_NAME, manifest_digest
from mmctr.images.rar.listing import list_members
from mmctr.inputs.rules import check_inputs
from mmctr.inputs.tables import read_chunks

PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2  # linux/prctl.h, linux/capability.h


def bound_by_permissions() -> None:
    """In the child, before it becomes the command: root without the rights to pass over permission bits."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
                raise OSError(ctypes.get_errno(), "prctl")


@pytest.fixture
def barred(tmp_path):
    """Gives a function that takes permissions from a path; they are given back at the end."""
    (tmp_path / "probe").touch(0o000)
    probe = [sys.executable, "-S", "-c", "import sys; open(sys.argv[1])", tmp_path / "probe"]
    try:
        binds = subprocess.run(probe, preexec_fn=bound_by_permissions, stderr=subprocess.DEVNULL).returncode != 0
    except subprocess.SubprocessError:
        binds = False
    if not binds:
        pytest.skip("this user passes over permission bits and cannot give that right up")
    taken = {}

    def bar(path, mode):
        taken[path] = path.stat().st_mode
        path.chmod(mode)

    yield bar
    for path, mode in reversed(taken.items()):
        path.chmod(mode)


def refused(*arguments, **environment):
    """The one line on stderr of a command that permissions bind and that must refuse; Prefect's log goes before it."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.cli.main", *map(str, arguments)],
        preexec_fn=bound_by_permissions,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | environment,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mmctr: ")]
    return line


def tree(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["MicroLens_1M_x1/train.parquet", "item_images_2.rar", "mmctr.toml"])
def test_check_of_a_file_without_permission(demo, barred, name):
    before = tree(demo)
    barred(demo / name, 0o000)
    line = refused("check", demo)
    remedy = "give this user the permission, or use another folder, then run the same command again"
    assert line == f"mmctr: cannot use {demo / name}: Permission denied; {remedy}"
    assert tree(demo) == before


@pytest.mark.integration
def test_run_in_a_base_path_that_cannot_be_written(prefect_server, demo, barred, tracking_uri):
    from prefect.settings import PREFECT_API_URL

    before = tree(demo)
    barred(demo, 0o555)
    line = refused("run", demo, PREFECT_API_URL=str(PREFECT_API_URL.value()))
    assert line.startswith(f"mmctr: cannot use {demo / '.mmctr'}")
    assert "Permission denied; give this user the permission" in line
    assert tree(demo) == before


@pytest.mark.integration
def test_run_on_a_read_only_file_system(prefect_server, demo, tracking_uri):
    from prefect.settings import PREFECT_API_URL

    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"'
    if subprocess.run(["unshare", "--mount", "sh", "-c", mount, demo], capture_output=True).returncode != 0:
        pytest.skip("this user may not mount")
    before = tree(demo)
    command = [sys.executable, "-m", "flows.cli.main", "run", demo]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', demo, *command],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())},
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("mmctr: ")]
    remedy = "mount that disk writable, or use a folder on another one, then run the same command again"
    assert line == f"mmctr: cannot use {demo / '.mmctr'}: Read-only file system; {remedy}"
    assert tree(demo) == before


@pytest.mark.integration
def test_a_run_that_gets_no_more_open_files_says_so_and_keeps_its_work(prefect_server, demo, tracking_uri, tmp_path):
    with MmctrRun(demo, "train.batch_size=64", "embed.workers=0", log=tmp_path / "log") as run:
        run.wait_for_line("epoch 1:")
        open_files = max(int(path.name) for path in Path(f"/proc/{run.process.pid}/fd").iterdir())
        resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (open_files + 1, open_files + 1))
        assert run.end() == 2, run.output()
    assert "Traceback" not in run.output()
    (line,) = [line for line in run.output().splitlines() if line.startswith("mmctr: ")]
    assert "Too many open files" in line or "unable to open database file" in line, line
    assert "raise the limit on open files (ulimit -n)" in line
    assert list(demo.glob(".mmctr/work/train/*/training.pt"))
    assert not list(demo.rglob("*.partial"))


WITHOUT_HANDLES = """
import json, os, resource, shutil, sys
from pathlib import Path
import numpy as np, polars as pl
import flows.cli.check_report
from flows.cli.main import main
from mmctr.images.extract import extract_images
from mmctr.clicks.split import load_split
from mmctr.report.dataset import report_dataset
from mmctr.common.errors import as_input_error
from mmctr.common.files import write_bytes
from mmctr.clicks.item_table import ItemTable
from mmctr.embedding.pca import write_item_embeddings
from mmctr.submission.challenge import write_prediction
from mmctr.inputs.parquet import read_table
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.embedding.store import VectorShards

base, out = Path(sys.argv[1]), Path(sys.argv[2])
report_dataset(base)  # what is loaded at first use is loaded
highest = max(map(int, os.listdir("/proc/self/fd")))
while os.open(os.devnull, os.O_RDONLY) < highest:
    pass  # no number below the highest stays free
table = ItemTable(Vocabulary(np.arange(1, 4)), weights=np.zeros((4, 2), np.float32))
shards = VectorShards(out / "vectors", dim=2)
vectors = np.ones((1, 2), np.float32)
calls = {
    "report": lambda: report_dataset(base),
    "extract": lambda: extract_images(base / "item_images_2.rar", out / "images", progress=False),
    "shard": lambda: shards.append(["0" * 64], vectors),
    "bytes": lambda: write_bytes(out / "bytes", b"content"),
    "embeddings": lambda: write_item_embeddings(pl.Series([1]), vectors, out / "e.parquet"),
    "prediction": lambda: write_prediction(pl.Series([1]), vectors[0, :1], out / "p.csv"),
    "table": lambda: read_table(base / "item_feature.parquet"),
    "split": lambda: load_split(base / "MicroLens_1M_x1/test.parquet", table=table, with_label=False),
    "check": lambda: main(["check", str(base)]),
}
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
said = {}
for name, call in calls.items():
    said[name] = []
    for free in range(40):
        used = max(int(number) for number in os.listdir("/proc/self/fd"))  # the highest is the listing's own
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + free, hard))
        try:
            answer = call()
        except Exception as error:
            answer = str(as_input_error(error) or repr(error))
        else:
            answer = "refused" if name == "check" and answer == 2 else "done"
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        said[name].append(answer)
        if answer == "done":
            break
        left = [str(path) for path in out.rglob("*") if path.is_file() or "partial" in path.name]
        if left:
            said[name].append(f"left behind: {left}")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
print(json.dumps(said))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted in /proc")
def test_without_open_files_everything_is_refused_with_the_remedy_and_leaves_nothing(demo_original, tmp_path):
    (tmp_path / "out").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HANDLES, demo_original, tmp_path / "out"],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    remedy = "Too many open files; raise the limit on open files (ulimit -n), then run the same command again"
    for name, (first, *more, last) in said.items():
        assert last == "done", said
        for answer in (first, *more):
            assert answer == "refused" or re.fullmatch(rf"cannot use /\S+: {re.escape(remedy)}", answer), (name, answer)
    lines = [line for line in done.stderr.splitlines() if line.startswith("mmctr: ")]
    assert len(lines) == said["check"].count("refused"), lines
    assert all(line.startswith("mmctr: cannot use ") and line.endswith(remedy) for line in lines), lines


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EROFS])
def test_the_file_is_not_blamed_for_the_machine(demo_original, monkeypatch, number):
    train, archive = demo_original / "MicroLens_1M_x1/train.parquet", demo_original / "item_images_2.rar"
    rar4 = FIXTURES / "rar" / "rar4_store.rar"  # of RAR5 rarfile only sees what is odd

    def fail(text):
        def failing(*_, **__):
            raise OSError(text) if text else OSError(number, os.strerror(number))

        return failing

    in_rust = f"{os.strerror(number)} (os error {number}): {train}"  # as Polars says it, without an errno
    places = [
        ("mmctr.inputs.parquet_chunks.Footer", fail(None), lambda: check_inputs(demo_original), "parquet"),
        ("mmctr.inputs.parquet_chunks.pq.ParquetFile", fail(None), lambda: check_inputs(demo_original), "parquet"),
        (
            "mmctr.inputs.parquet_chunks.pq.ParquetFile",
            fail(None),
            lambda: next(read_chunks(train, columns=["label"])),
            "train",
        ),
        ("mmctr.images.rar.listing.headers_of", fail(None), lambda: list_members(rar4, password=None), str(rar4)),
        ("mmctr.images.manifest.read_table", fail(in_rust), lambda: manifest_digest(demo_original), MANIFEST_NAME),
        (
            "mmctr.images.rar.listing.rarfile.is_rarfile",
            fail(None),
            lambda: list_members(archive, password=None),
            str(archive),
        ),
    ]
    for target, failing, call, named in places:
        with monkeypatch.context() as patch:
            patch.setattr(target, failing)
            with pytest.raises(OSError, match=os.strerror(number)) as error:
                call()
        told = str(as_input_error(error.value))
        assert os.strerror(number) in told, target
        assert named in told, target
        assert not re.search("copy|download", told, re.IGNORECASE), target


def test_a_full_disk_is_told_whichever_way_polars_says_it():
    frame = pl.DataFrame({"a": range(10_000)})
    for write in (frame.write_parquet, frame.write_csv):
        with pytest.raises((OSError, pl.exceptions.PolarsError)) as full:
            write("/dev/full")
        assert "No space left on device; free some space on that disk" in str(as_input_error(full.value))


def test_a_database_that_cannot_be_opened_may_lack_a_permission_or_a_handle(tmp_path):
    with pytest.raises(sqlite3.OperationalError) as closed, closing(sqlite3.connect(tmp_path / "absent/d.db")):
        pass
    told = str(as_input_error(closed.value))
    assert told.startswith("cannot use a database (unable to open database file); let this user write in its folder")
    assert "or raise the limit on open files" in told

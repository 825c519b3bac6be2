"""`mmctr gc`: what no kept run refers to goes, and nothing else, whenever it is stopped."""

import json
import os
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import cache_contract
import pytest
from finished_run import outputs, ran, run
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from flows.cli.gc_report import as_json, as_text
from flows.cli.main import main
from mmctr.common.errors import InputError
from tasks.cache.code_digest import vectors_folder
from tasks.cache.collect import (
    GRACE_SECONDS,
    ORDER,
    UNKNOWN,
    Piece,
    divide,
    inventory,
    known_runs,
    plan_collection,
    remove,
    runs_to_keep,
)
from tasks.cache.results import STAGES
from tasks.cache.run_manifest import ManifestWriter, RunManifest, read_manifests, read_unfinished, settings_digest
from tasks.cache.workspace import Workspace
from tasks.settings.load import load_config
from tasks.tracking.registry import runs_with_alias

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOUR = timedelta(seconds=GRACE_SECONDS)
DAY = timedelta(days=1)
KEYS_SHARED = {"extract": "shared", "embed": "shared"}  # by all runs of `runs_of`


def digits(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:24]


def manifest(number: int, *, age: timedelta = DAY, vectors: str = "old code") -> RunManifest:
    stages = {stage: digits(f"{stage} of {KEYS_SHARED.get(stage, number)}") for stage in STAGES}
    return RunManifest(
        finished=NOW - age,
        stages=stages,
        inputs={"train": "1" * 64},
        vectors=digits(vectors),
        mlflow_run=f"run{number}",
    )


def write(path: Path, content: str = "content", *, age: timedelta = DAY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    modified = (NOW - age).timestamp()
    os.utime(path, (modified, modified))
    return path


def write_run(workspace: Workspace, found: RunManifest, *, age: timedelta = DAY) -> RunManifest:
    """The manifest, the records and the results of a run."""
    write(workspace.runs / found.file_name, found.model_dump_json(), age=age)
    for stage, key in found.stages.items():
        write(workspace.records / key, stage, age=age)
        write(workspace.store(stage, key) / "deep" / "result", stage, age=age)
    return found


def plan(
    workspace: Workspace,
    *,
    keep: int = 1,
    protected_runs: frozenset[str] = frozenset(),
    drop_unfinished: bool = False,
):
    return plan_collection(
        workspace, keep=keep, protected_runs=protected_runs, drop_unfinished=drop_unfinished, now=NOW.timestamp()
    )


def files(workspace: Workspace) -> set[str]:
    return {str(path.relative_to(workspace.root)) for path in workspace.root.rglob("*") if path.is_file()}


def of(found: RunManifest, *stages: str) -> set[str]:
    """Files of a run, of some stages only."""
    keys = {stage: key for stage, key in found.stages.items() if stage in (stages or STAGES)}
    return {f"records/{key}" for key in keys.values()} | {f"store/{s}/{k}/deep/result" for s, k in keys.items()}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    found = Workspace(tmp_path)
    found.root.mkdir()
    return found


# Manifests


FACTS = {"settings": "s", "inputs": {"train": "b"}, "vectors": "c", "ancestor": ""}


def started(workspace: Workspace, *, stages: dict[str, str], **facts) -> ManifestWriter:
    """A run that called these stages and then stopped."""
    writer = ManifestWriter(workspace, **{**FACTS, **facts})
    for stage, key in stages.items():
        writer.begin_stage(stage, key, runs=True)
    return writer


def finished(workspace: Workspace, *, stages: dict[str, str], mlflow_run: str = "d", **facts) -> RunManifest:
    return started(workspace, stages=stages, **facts).finish(mlflow_run=mlflow_run)


def test_a_run_of_the_same_refreshes_its_manifest_and_others_add_one(workspace):
    first = finished(workspace, stages={"train": "a"})
    other = finished(workspace, stages={"train": "z"})
    assert read_manifests(workspace) == [other, first]
    again = finished(workspace, stages={"train": "a"})
    assert again.finished > other.finished > first.finished
    assert read_manifests(workspace) == [again, other]
    assert {path.name for path in workspace.runs.iterdir()} == {again.file_name, other.file_name}
    for name, value in (("inputs", {"train": "z"}), ("vectors", "z"), ("ancestor", "z"), ("mlflow_run", "z")):
        finished(workspace, stages={"train": "a"}, **{name: value})
    assert len(read_manifests(workspace)) == 6
    assert read_unfinished(workspace) == []


def test_a_run_is_known_from_its_start_until_one_of_the_same_settings_finishes(workspace):
    stopped = started(workspace, stages={"extract": "e", "train": "a"}).manifest
    assert read_unfinished(workspace) == [stopped]
    assert read_manifests(workspace) == []
    refused = started(workspace, stages={}).manifest  # by its inputs, say: it has no work
    assert read_unfinished(workspace) == [refused, stopped]
    new_data = started(workspace, stages={"extract": "e", "train": "z"}, inputs={"train": "y"}).manifest
    assert read_unfinished(workspace) == [new_data, stopped], "the training of the old data is resumed if it comes back"
    other = started(workspace, stages={"train": "other"}, settings="other").manifest
    again = started(workspace, stages={"extract": "e", "train": "a"}).manifest
    assert read_unfinished(workspace) == [again, other, new_data]
    last = finished(workspace, stages={"extract": "e", "train": "a"})
    assert read_unfinished(workspace) == [other]
    assert read_manifests(workspace) == [last]


def test_a_cached_stage_is_named_once_another_runs(workspace):
    writer = ManifestWriter(workspace, **FACTS)
    writer.begin_stage("extract", "e", runs=False)
    assert read_unfinished(workspace)[0].stages == {}
    writer.begin_stage("train", "a", runs=True)
    assert read_unfinished(workspace)[0].stages == {"extract": "e", "train": "a"}


def test_which_settings_are_the_same(demo_original):
    def digest(*overrides: str) -> str:
        return settings_digest(load_config(demo_original, overrides=list(overrides)))

    same = ("device=cpu", "run.retries=5", "embed.workers=3", "promote.margin=0.5", "experiment=another")
    assert {digest(setting) for setting in same} == {digest()}
    others = ["train.epochs=3", "embed.model=RN50", "reduce.pca=reuse", "predict.batch_size=3"]
    assert len({digest(), *map(digest, others)}) == 1 + len(others)


def test_what_is_no_manifest_is_passed_over_and_stays(workspace):
    kept = write_run(workspace, manifest(1))
    write(workspace.runs / "empty.json", "")
    write(workspace.runs / "other.json", '{"finished": "2026-01-01T00:00:00Z"}')
    write(workspace.runs / "naive.json", kept.model_dump_json().replace("Z", ""))
    write(workspace.runs / "quoted.json", kept.model_dump_json().replace("run1", "run' OR '1"))
    write(workspace.runs / "note.txt")
    (workspace.runs / "folder.json").mkdir()
    (workspace.runs / "binary.json").write_bytes(b"\xff\x00")
    assert read_manifests(workspace) == [kept]
    before = files(workspace)
    found = plan(workspace)
    remove(workspace, found)
    assert found.goes == ()
    assert files(workspace) == before


def test_a_manifest_keeps_its_run_under_any_name_and_with_fields_of_a_later_version(workspace):
    first, second = write_run(workspace, manifest(1, age=2 * DAY)), write_run(workspace, manifest(2))
    later = {**json.loads(first.model_dump_json()), "finished": (NOW - timedelta(days=9)).isoformat(), "added": 1}
    write(workspace.runs / "mine.json", json.dumps(later))
    remove(workspace, plan(workspace, keep=3))
    assert of(first) | of(second) <= files(workspace)
    remove(workspace, plan(workspace, keep=1))
    assert of(first, "train") & files(workspace) == set()
    assert (workspace.runs / "mine.json").exists()


# Which runs, which pieces


def test_which_runs_are_kept_and_why():
    ages = [timedelta(minutes=1), timedelta(minutes=59), HOUR, 2 * DAY, 3 * DAY]
    manifests = [manifest(number, age=age) for number, age in enumerate(ages)]

    def kept(**options):
        found = runs_to_keep(manifests, now=NOW.timestamp(), **options)
        return [(run.manifest.mlflow_run, run.why) for run in found]

    assert kept(keep=1, protected_runs=set()) == [("run0", "newest"), ("run1", "last hour")]
    assert kept(keep=3, protected_runs={"run4", "another's"}) == [
        *(("run0", "newest"), ("run1", "newest"), ("run2", "newest")),
        ("run4", "alias"),
    ]
    assert len(kept(keep=99, protected_runs=set())) == 5


def test_what_a_run_before_the_kept_one_had_alone_goes(workspace):
    first, second = write_run(workspace, manifest(1, age=2 * DAY)), write_run(workspace, manifest(2))
    before = files(workspace)
    sizes = {name: (workspace.root / name).stat().st_size for name in before}
    found = plan(workspace)
    assert files(workspace) == before, "planning removes nothing"
    remove(workspace, found)
    alone = of(first, "reduce", "build_weights", "train", "predict") | {f"runs/{first.file_name}"}
    assert files(workspace) == before - alone
    assert of(second) <= files(workspace)
    assert sum(piece.bytes for piece in found.goes) == sum(sizes[name] for name in alone)
    assert plan(workspace).goes == ()


def test_an_alias_keeps_a_run(workspace):
    first = write_run(workspace, manifest(1, age=3 * DAY))
    second = write_run(workspace, manifest(2, age=2 * DAY))
    write_run(workspace, manifest(3))
    remove(workspace, plan(workspace, protected_runs=frozenset({"run1"})))
    assert of(first) <= files(workspace)
    assert of(second, "train") & files(workspace) == set()


@pytest.mark.parametrize("part", ["records", "store", "work"])
def test_a_key_is_as_young_as_its_youngest_part(workspace, part):
    write_run(workspace, manifest(1))
    key = digits("of no run")
    parts = {
        "records": workspace.records / key,
        "store": workspace.store("train", key) / "a/b",
        "work": workspace.work("train", key) / "state",
    }
    for path in parts.values():
        write(path)
    minute = timedelta(minutes=1)
    write(parts[part], age=HOUR - minute)
    assert plan(workspace).goes == ()
    write(parts[part], age=-DAY)  # a clock that was set back
    assert plan(workspace).goes == ()
    write(parts[part], age=HOUR)
    remove(workspace, plan(workspace))
    assert not any(path.exists() for path in parts.values())


def test_unfinished_work_stays_until_a_run_of_the_same_settings_finishes(workspace):
    write_run(workspace, manifest(1))
    keys = {"extract": digits("extract"), "train": digits("stopped")}

    def state_of_stopped() -> Path:
        path = started(workspace, stages=keys).workspace.work("train", keys["train"]) / "training.pt"
        return write(path)

    state = state_of_stopped()
    unrelated = finished(workspace, stages={"train": digits("another")}, settings="another")
    found = plan(workspace, keep=9)
    assert [run.stages for run in found.unfinished] == [keys]
    remove(workspace, found)
    assert state.exists()
    assert f"work/train {len('content')} bytes" in as_text(found, deleted=True)
    assert json.loads(as_json(found, base_path=workspace.base_path, deleted=True))["unfinished"][0]["work"] == [
        {"path": f"work/train/{keys['train']}", "bytes": len("content")}
    ]
    remove(workspace, plan(workspace, keep=9, drop_unfinished=True))
    assert not state.exists()

    state = state_of_stopped()
    replacing = finished(workspace, stages={**keys, "train": digits("of newer data")})
    assert [run.file_name for run in read_manifests(workspace)][:2] == [replacing.file_name, unrelated.file_name]
    remove(workspace, plan(workspace, keep=9))
    assert not state.exists()


def test_before_the_first_finished_run_its_work_is_kept(workspace):
    started(workspace, stages={"train": digits("stopped")})
    state = write(workspace.work("train", digits("stopped")) / "training.pt")
    other = write(workspace.store("embed", digits("of nobody")) / "result")
    remove(workspace, plan(workspace))
    assert (state.exists(), other.exists()) == (True, False)


def test_unfinished_work_of_a_kept_key_stays(workspace):
    kept = write_run(workspace, manifest(1))
    state = write(workspace.work("train", kept.stages["train"]) / "training.pt")
    given_up = write(workspace.work("train", digits("given up")) / "training.pt")
    (workspace.root / "work/train" / digits("empty")).mkdir()
    remove(workspace, plan(workspace))
    assert state.exists()
    assert not given_up.parent.exists()
    assert (workspace.root / "work/train" / digits("empty")).exists(), "a new folder is young too"


def test_vectors_stay_for_the_code_of_kept_runs_and_the_code_in_force(workspace):
    write_run(workspace, manifest(1, age=2 * DAY, vectors="older code"))
    write_run(workspace, manifest(2, vectors="old code"))
    shards = {
        name: write(workspace.vectors / version / "image/space/000000.npz")
        for name, version in {
            "in force": vectors_folder("clip"),
            "of the kept run": digits("old code"),
            "of the run that goes": digits("older code"),
            "of no run": digits("oldest code"),
            "nobody's": "not-a-digest",
        }.items()
    }
    write(workspace.vectors / digits("young") / "text/space/000000.npz")
    write(workspace.vectors / digits("young") / "text/another/000000.npz", age=timedelta(minutes=9))
    remove(workspace, plan(workspace))
    assert [name for name, path in shards.items() if path.exists()] == ["in force", "of the kept run", "nobody's"]
    assert len(list((workspace.vectors / digits("young")).rglob("*.npz"))) == 2
    assert not (workspace.vectors / digits("older code")).exists()


def test_models_stay_that_a_kept_run_made_or_started_from(workspace):
    write_run(workspace, manifest(1, age=2 * DAY).model_copy(update={"ancestor": "first"}))
    write_run(workspace, manifest(2).model_copy(update={"ancestor": "second"}))
    for name in ("first", "second", "run1", "run2", "unused", "young"):
        write(
            workspace.models / name / "task1and2_best.pt", age=HOUR - timedelta(minutes=1) if name == "young" else DAY
        )
    write(workspace.models / "not a run" / "mine")
    remove(workspace, plan(workspace))
    assert sorted(path.name for path in workspace.models.iterdir()) == ["not a run", "run2", "second", "young"]


def test_what_is_unknown_stays_and_is_told(workspace, tmp_path_factory):
    write_run(workspace, manifest(1))
    outside = write(tmp_path_factory.mktemp("outside") / "mine")
    for memory in ("lock", "digests.json", "checked.json", "published.json"):
        write(workspace.root / memory)
    key = digits("anything")
    strangers = [
        write(workspace.root / name)
        for name in (
            *("ancestors/a", "ancestors/b/c", "note.txt", "store/note.txt", "store/train/note.txt"),
            *(f"store/evaluate/{key}/file", f"store/train/{key.upper()}/file", f"store/train/{key}0/file"),
            *(f"records/{key}.txt", f"work/{key}", f"vectors/{key}x/text/space/0.npz"),
        )
    ]
    (workspace.root / "store/train" / key).symlink_to(outside.parent, target_is_directory=True)
    (workspace.records / digits("link")).symlink_to(outside)
    found = plan(workspace)
    assert found.goes == ()
    remove(workspace, found)
    assert all(path.exists() for path in [*strangers, outside])
    told = {str(piece.path): piece.bytes for piece in found.stays if piece.kind == UNKNOWN}
    assert told["ancestors"] == 2 * len("content")
    assert len(told) == 10 + 2
    assert {"lock", "digests.json", "checked.json"} & set(told) == set()


def test_the_cache_may_lie_on_another_disk(workspace, tmp_path_factory):
    first, second = write_run(workspace, manifest(1, age=2 * DAY)), write_run(workspace, manifest(2))
    elsewhere = tmp_path_factory.mktemp("disk") / "store"
    (workspace.root / "store").rename(elsewhere)
    (workspace.root / "store").symlink_to(elsewhere, target_is_directory=True)
    remove(workspace, plan(workspace))
    left = {path.name for path in elsewhere.glob("train/*")}
    assert left == {second.stages["train"]} != {first.stages["train"]}


def test_digests_of_files_that_are_gone_are_forgotten(workspace):
    first, second = write_run(workspace, manifest(1, age=2 * DAY)), write_run(workspace, manifest(2))
    goes, stays = (workspace.store("train", run.stages["train"]) / "deep/result" for run in (first, second))
    names = {
        "gone": "store/gone",
        "goes": str(goes.relative_to(workspace.base_path)),
        "stays": str(stays.relative_to(workspace.base_path)),
        "input": write(workspace.base_path / "train.parquet").name,
    }
    memory = {name: [1, 2, 3, 4, "5" * 64] for name in names.values()}
    write(workspace.root / "digests.json", json.dumps(memory))
    assert set(plan(workspace).forgotten) == {names["gone"], names["goes"]}
    remove(workspace, plan(workspace))
    assert set(json.loads((workspace.root / "digests.json").read_bytes())) == {names["stays"], names["input"]}


def test_without_a_finished_run_nothing_is_collected(workspace):
    write(workspace.store("embed", digits("hours of work")) / "result")
    with pytest.raises(InputError, match=r"runs knows of no run; start one with `mmctr run` first"):
        known_runs(workspace)
    with pytest.raises(InputError, match="knows of no run"):
        plan(workspace)


@pytest.mark.parametrize("keep", [0, -1])
def test_at_least_one_run_is_kept(workspace, keep):
    write_run(workspace, manifest(1))
    with pytest.raises(InputError, match=f"--keep is {keep}"):
        plan(workspace, keep=keep)


def test_wherever_it_is_stopped_the_cache_is_whole_and_the_next_one_ends_it(tmp_path):
    def world(name: str) -> Workspace:
        workspace = Workspace(tmp_path / name)
        for number in range(4):
            write_run(workspace, manifest(number, age=(9 - number) * DAY))
        write(workspace.work("train", digits("given up")) / "training.pt")
        write(workspace.vectors / digits("older code") / "text/space/000000.npz")
        return workspace

    whole = world("whole")
    remove(whole, plan(whole, keep=2))
    for steps in range(len(plan(world("counted"), keep=2).goes)):
        stopped = world(f"stopped after {steps}")
        found = plan(stopped, keep=2)
        remove(stopped, replace(found, goes=found.goes[:steps]))
        left = files(stopped)
        for known in read_manifests(stopped):
            assert of(known) <= left, "a manifest names what is gone"
        records = {path.name for path in stopped.records.iterdir()}
        results = {path.name for path in (stopped.root / "store").glob("*/*")}
        assert records <= results, "a record names what is gone"
        remove(stopped, plan(stopped, keep=2))
        assert files(stopped) == files(whole)


def test_a_folder_that_was_removed_in_part_is_removed_by_the_next_one(workspace):
    write_run(workspace, manifest(1))
    folder = workspace.store("extract", digits("half"))
    write(folder / "images/1.jpg")
    os.utime(folder, (NOW.timestamp(), NOW.timestamp()))  # its entries have just changed
    remove(workspace, plan(workspace))
    assert not folder.exists()


PIECES = st.builds(
    Piece,
    kind=st.sampled_from([*ORDER, UNKNOWN]),
    owner=st.sampled_from([digits(str(number)) for number in range(4)] + [manifest(n).file_name for n in range(3)]),
    path=st.integers(0, 99).map(lambda number: Path(f"a/{number}")),
    bytes=st.integers(0, 9),
    modified=st.integers(-2 * GRACE_SECONDS, 60).map(lambda seconds: NOW.timestamp() + seconds),
)
RUNS = st.lists(st.dictionaries(st.sampled_from(STAGES), st.integers(0, 3).map(lambda n: digits(str(n)))), max_size=3)


@given(pieces=st.lists(PIECES, max_size=12), stages=RUNS)
def test_what_goes_is_old_and_of_no_kept_run(pieces, stages):
    runs = [manifest(n).model_copy(update={"stages": keys}) for n, keys in enumerate(stages)]
    stays, goes = divide(pieces, runs=runs, vectors={digits("0")}, now=NOW.timestamp())
    assert sorted(map(repr, [*stays, *goes])) == sorted(map(repr, pieces))
    keys = {key for run in runs for key in run.stages.values()}
    for piece in goes:
        assert piece.kind != UNKNOWN
        assert NOW.timestamp() - piece.modified >= GRACE_SECONDS
        assert piece.kind not in ("records", "store", "work") or piece.owner not in keys
        assert piece.kind != "runs" or piece.owner not in {run.file_name for run in runs}
    assert [ORDER.index(piece.kind) for piece in goes] == sorted(ORDER.index(piece.kind) for piece in goes)
    old = NOW.timestamp() + GRACE_SECONDS + 61
    stays, _ = divide(pieces, runs=runs, vectors={digits("0")}, now=old)
    for piece in stays:  # of what is old, only what is kept
        owners = {
            "runs": {run.file_name for run in runs},
            "vectors": {digits("0"), *(run.vectors for run in runs)},
            "models": {run.mlflow_run for run in runs},
        }
        assert piece.kind == UNKNOWN or piece.owner in owners.get(piece.kind, keys)


# The registry


def test_a_run_whose_model_has_an_alias_is_found_in_the_registry(tracking_uri):
    client = MlflowClient(tracking_uri)
    experiment = client.create_experiment("mmctr")
    runs = [client.create_run(experiment).info.run_id for _ in range(4)]
    client.create_registered_model("mmctr-din")
    for run_id in runs[:2]:
        client.create_model_version("mmctr-din", source=f"runs:/{run_id}/din", run_id=run_id)
    logged = client.create_logged_model(experiment, name="din", source_run_id=runs[2])
    client.create_model_version("mmctr-din", source=logged.artifact_location, run_id=runs[2], model_id=logged.model_id)
    assert runs_with_alias(tracking_uri, runs) == set()
    client.set_registered_model_alias("mmctr-din", "champion", "3")
    client.set_registered_model_alias("mmctr-din", "challenger", "1")
    assert runs_with_alias(tracking_uri, runs) == {runs[0], runs[2]}
    assert runs_with_alias(tracking_uri, runs[1:2]) == set()


def test_a_store_that_is_not_there_names_nothing_and_one_that_does_not_answer_is_said(tmp_path, monkeypatch):
    from mlflow.exceptions import MlflowException

    uri = f"sqlite:///{tmp_path / 'absent.db'}"
    assert runs_with_alias(uri, ["a"]) == set()
    assert not (tmp_path / "absent.db").exists()

    def unanswered(*_, **__):
        raise MlflowException("503 Service Unavailable")

    monkeypatch.setattr(MlflowClient, "search_model_versions", unanswered)
    with pytest.raises(InputError, match=r"must answer, and does not \(503 Service Unavailable\)"):
        runs_with_alias("http://127.0.0.1:1", ["a"])


# The command


def said(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def old_runs(workspace, tracking_uri) -> Workspace:
    """Two runs of days ago, by the clock of today."""
    ago = datetime.now(UTC) - NOW
    for number in (1, 2):
        write_run(workspace, manifest(number, age=(3 - number) * DAY - ago), age=DAY - ago)
    write(workspace.root / "ancestors/a", age=DAY - ago)
    return workspace


def test_the_command_removes_nothing_unless_told_to(old_runs, capsys):
    first = read_manifests(old_runs)[-1]
    before = files(old_runs)
    code, dry, _ = said(capsys, "gc", old_runs.base_path, "--keep", 1)
    assert code == 0
    assert "nothing was removed; --delete does it" in dry
    assert f"store/train/{first.stages['train']}" in dry
    assert f"newest     MLflow run {read_manifests(old_runs)[0].mlflow_run}" in dry
    assert files(old_runs) - {"lock", "locks/begin"} == before
    code, out, _ = said(capsys, "gc", old_runs.base_path, "--keep", 1, "--json")
    report = json.loads(out)
    assert (code, report["deleted"]) == (0, False)
    assert [run["mlflow_run"] for run in report["runs"]] == ["run2"]
    assert report["left_alone"] == [{"path": "ancestors", "bytes": len("content")}]

    code, out, _ = said(capsys, "gc", old_runs.base_path, "--keep", 1, "--delete", "--json")
    deleted = json.loads(out)
    assert (code, deleted["deleted"]) == (0, True)
    assert {**deleted, "deleted": False} == report
    gone = before - files(old_runs)
    assert of(first, "train", "predict") < gone
    assert deleted["in_all"]["goes"] == sum(entry["bytes"] for entry in deleted["goes"]) > 0
    assert deleted["in_all"]["goes"] == sum(kind["goes"] for kind in deleted["kinds"].values())
    code, out, _ = said(capsys, "gc", old_runs.base_path, "--keep", 1)
    assert "nothing was removed" not in out, "there is nothing left to remove"


def test_by_default_three_runs_are_kept(old_runs, capsys):
    before = files(old_runs)
    assert said(capsys, "gc", old_runs.base_path, "--delete")[0] == 0
    assert files(old_runs) - {"lock", "locks/begin"} == before


def test_it_never_runs_beside_a_run(old_runs, capsys):
    with Workspace(old_runs.base_path).running():
        code, out, err = said(capsys, "gc", old_runs.base_path, "--delete", "--keep", 1)
    assert (code, out) == (2, "")
    assert f"process {os.getpid()} does" in err


def test_a_folder_without_runs_is_refused_and_left_as_it_is(tmp_path, tracking_uri, capsys):
    (tmp_path / "empty").mkdir()
    code, out, err = said(capsys, "gc", tmp_path / "empty")
    assert (code, out) == (2, "")
    assert "knows of no run" in err
    assert list((tmp_path / "empty").iterdir()) == []


# The pipeline


@pytest.mark.integration
@pytest.mark.usefixtures("prefect_server")
def test_after_a_collection_the_kept_settings_are_cached_and_the_others_compute_what_went(demo, tracking_uri):
    assert list(STAGES) == cache_contract.STAGES
    workspace, client = Workspace(demo), MlflowClient(tracking_uri)
    first, second = run(demo), run(demo, "train.learning_rate=0.01")
    assert ran(run(demo, "train.learning_rate=0.01")) == []
    newest, older = read_manifests(workspace)
    assert [newest.mlflow_run, older.mlflow_run] == [second.mlflow_run, first.mlflow_run]
    assert set(newest.stages) == set(STAGES)
    assert set(newest.stages.values()) | set(older.stages.values()) == {p.name for p in workspace.records.iterdir()}
    assert {path.name for path in workspace.vectors.iterdir()} == {newest.vectors}
    assert {piece.kind for piece in inventory(workspace)} == {"runs", "records", "store", "vectors", "models"}

    assert runs_with_alias(tracking_uri, [first.mlflow_run, second.mlflow_run]) == {first.mlflow_run, second.mlflow_run}
    with workspace.alone():
        assert plan_collection(workspace, keep=1).goes == ()  # all of it is young
        found = plan_collection(workspace, keep=1, now=time.time() + 2 * GRACE_SECONDS)
        remove(workspace, found)
    gone = {older.stages[stage] for stage in ("train", "predict")}
    assert {piece.owner for piece in found.goes if piece.kind in ("records", "store")} == gone
    assert Counter(piece.kind for piece in found.goes) == {"runs": 1, "records": 2, "store": 2, "models": 1}
    assert {piece.owner for piece in found.goes if piece.kind == "models"} == {first.mlflow_run}
    assert ran(run(demo, "train.learning_rate=0.01")) == []
    copy = client.download_artifacts(first.mlflow_run, "submission/prediction.zip")
    assert client.get_run(first.mlflow_run).info.status == "FINISHED"
    again = run(demo)
    assert ran(again) == ["train", "predict"]
    assert again.mlflow_run != first.mlflow_run
    assert outputs(again)["archive"] == Path(copy).read_bytes()

"""`mmctr promote`: the champion by hand, without a Prefect server, and the files under BASE_PATH with it."""

import shutil

import pytest
from publications import end_of_run, owner
from trainings import copied_world, new_world

from flows.cli.main import main
from tasks.cache.workspace import Workspace
from tasks.tracking.registry import CHALLENGER, Registry
from tasks.tracking.training_run import CHECKPOINT


@pytest.fixture(scope="module")
def original(mlflow_original, tmp_path_factory):
    """Three champions one after the other: the folder with their MLflow store, and the trainings."""
    folder = tmp_path_factory.mktemp("champions")
    world = new_world(folder, mlflow_original)
    trainings = [world.trained(good=0) for _ in range(3)]
    for trained in trainings:
        end_of_run(world, trained, test=world.write_test())
        world.registry.make_champion(world.registry.find(trained.run_id))
    return folder, trainings


@pytest.fixture
def world(original, tmp_path, monkeypatch):
    """A copy of the three champions for a test to change."""
    monkeypatch.setattr(
        "flows.cli.flow_commands._run_flow", lambda *_: pytest.fail("a server of Prefect's takes ten seconds")
    )
    return copied_world(original, tmp_path, monkeypatch)


@pytest.fixture
def promote(world, capsys):
    def promote(*arguments):
        code = main(["promote", str(world.folder), *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return promote


def champion(world):
    return [trained.run_id for trained in world.trainings].index(world.champion()) + 1


def test_a_version_by_hand_is_recorded_and_published(world, promote):
    code, out, _ = promote("1")
    assert code == 0
    assert out.startswith("champion      mmctr-din version 1, version 3 until now\npinned        no")
    assert champion(world) == 1
    assert owner(world) == world.trainings[0].run_id
    tags = world.registry.find("1").tags
    assert tags["decision"] == "champion"
    assert tags["decision.reason"].startswith("champion: by hand, 20")
    assert " UTC by " in tags["decision.by"]
    assert tags["decision.before"] == "3"
    assert "version 1 as before" in promote("champion")[1]


def test_rollback_goes_back_and_again_further_back(world, promote):
    for expected in (2, 1):
        assert promote("--rollback")[0] == 0
        assert champion(world) == expected
        assert owner(world) == world.trainings[expected - 1].run_id
    code, _, err = promote("--rollback")
    assert (code, champion(world)) == (2, 1)
    assert "mmctr-din had none but version 1; name the VERSION" in err
    promote("3")
    assert world.registry.champions() == ["1", "3"]
    promote("--rollback")
    assert champion(world) == 1


@pytest.mark.parametrize("call", ["set_alias", "_remember"])
def test_a_rollback_that_was_killed_can_be_asked_for_again(world, promote, monkeypatch, call):
    with monkeypatch.context() as patch:
        patch.setattr(Registry, call, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert promote("--rollback")[0] == 130
    promote("--rollback")
    assert champion(world) == 2
    assert world.registry.champions() == ["1", "2"]


def test_rollback_passes_over_versions_that_were_deleted(world, promote):
    world.tracker.client.delete_model_version("mmctr-din", "2")
    promote("--rollback")
    assert champion(world) == 1


def test_where_the_champion_was_deleted_rollback_brings_back_the_last_that_is_left(world, promote):
    for left in (2, 1):
        world.registry.client.delete_model_version(world.registry.name, str(left + 1))
        assert "has no champion" in promote("--pin")[2]
        code, out, _ = promote("--rollback")
        assert (code, champion(world)) == (0, left)
        assert out.startswith(f"champion      mmctr-din version {left}, none until now")
        assert owner(world) == world.trainings[left - 1].run_id


def test_a_pin_is_of_one_version(world, promote):
    assert promote("--pin")[0] == 0
    assert world.registry.pin() is not None
    world.registry.set_alias("champion", world.registry.find("1"))  # by hand, in MLflow
    assert world.registry.pin() is None
    assert "pinned        no" in promote()[1]
    assert promote("2")[0] == 0, "nothing is pinned"


def test_a_former_champion_is_named_as_one(promote):
    assert promote("1")[0] == 0
    assert promote("2")[0] == 0
    (line,) = [line for line in promote()[1].splitlines() if line.startswith("     1  ")]
    assert "was champion: by hand" in line


def test_a_pin_is_kept_until_it_is_ended(world, promote):
    assert "pinned        since 20" in promote("--rollback", "--pin")[1]
    better = world.trained(good=8)
    assert world.promote(better).alias == CHALLENGER
    code, _, err = promote("challenger")
    assert (code, champion(world)) == (2, 2)
    assert "version 2, is pinned (20" in err
    assert "add --unpin, or --pin to pin version 4 instead" in err
    assert "version 2 as before\npinned        no" in promote("--unpin")[1]
    world.trainings.append(better)
    assert promote("4", "--pin")[0] == 0
    assert (champion(world), world.registry.pin() is not None) == (4, True)


def test_without_options_it_says_who_is_and_was_champion(world, promote):
    code, out, _ = promote()
    assert code == 0
    lines = out.splitlines()
    assert lines[:4] == [
        "champion      mmctr-din version 3",
        "pinned        no, the pipeline may choose another",
        "so far        1, 2, 3",
        "versions",
    ]
    assert lines[4].startswith("     3  champion ")
    assert lines[6].endswith("there is no other")


REFUSALS = [
    (["9"], "VERSION is one of mmctr-din (1, 2, 3, champion); found '9'"),
    (["1", "--rollback"], "use 1 or --rollback"),
    (["--pin", "--unpin"], "use --pin or --unpin"),
    (["1", "--set", "promote.registered_model=other"], "VERSION is one of other (there is none yet"),
    (["--set", "promote.registered_model=other"], "has no model other yet; run the pipeline first"),
    (["--pin", "--set", "promote.registered_model=other"], "other has no champion"),
]


def test_what_cannot_be_done_is_refused_with_rule_value_and_remedy(world, promote):
    for arguments, message in REFUSALS:
        code, out, err = promote(*arguments)
        assert (code, out) == (2, ""), arguments
        assert message in err
        assert len(err.splitlines()) <= 2  # what is done, and the message
    assert champion(world) == 3


def test_a_model_that_cannot_be_loaded_is_refused_and_nothing_moves(world, promote):
    before = owner(world)
    shutil.rmtree(world.workspace.models)
    world.artifact(world.trainings[0], CHECKPOINT).write_bytes(b"garbage")
    code, _, err = promote("1")
    assert (code, champion(world)) == (2, 3)
    assert "a champion must be a model that can be loaded; mmctr-din version 1 cannot" in err
    assert owner(world) == before


def test_without_a_test_split_the_champion_moves_and_the_files_stay(world, promote):
    before = (world.folder / "predictions_task1and2/prediction.zip").read_bytes()
    (world.folder / "MicroLens_1M_x1/test.parquet").unlink()
    code, out, _ = promote("1")
    assert (code, champion(world)) == (0, 1)
    assert "outputs       STAY AS THEY WERE, they could not be made" in out
    assert (world.folder / "predictions_task1and2/prediction.zip").read_bytes() == before


def test_beside_a_run_the_champion_moves_and_its_files_are_published(world, promote):
    with Workspace(world.folder).running():
        code, _, _ = promote("1")
    assert (code, champion(world)) == (0, 1)
    assert owner(world) == world.registry.version_at("champion").run_id


def test_what_lies_under_base_path_follows_only_where_the_settings_say_so(world, promote):
    before = owner(world)
    _, out, _ = promote("1", "--set", "promote.publish=latest")
    assert "stay as they are (promote.publish = latest)" in out
    assert champion(world) == 1
    assert owner(world) == before


def test_the_champions_of_a_registry_that_never_wrote_them_down_are_those_of_its_decisions(world, promote):
    world.tracker.client.delete_registered_model_tag("mmctr-din", "champions")
    for number in ("1", "2", "3"):
        world.tracker.client.set_model_version_tag("mmctr-din", number, "decision", "champion")
    promote("--rollback")
    assert champion(world) == 2

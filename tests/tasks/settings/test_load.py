"""BASE_PATH/mmctr.toml: the same settings by every way in, and nothing outside the folder without being told."""

import json
import os
import re
import socket
from pathlib import Path

import pytest
from prefect.utilities.callables import parameter_schema

from mmctr.common.errors import InputError
from tasks.settings.load import completed, load_config
from tasks.settings.sections import PipelineConfig
from tasks.settings.toml_file import LARGEST_BYTES

SETTINGS = """
experiment = "mine"
[embed]
model = "tiny.pt"
[train]
batch_size = 512
epochs = 5
[run]
timeout = {train = 60}
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    found = tmp_path / "data"
    found.mkdir()
    (found / "tiny.pt").touch()
    (found / "mmctr.toml").write_text(SETTINGS)
    return found


@pytest.fixture
def outside(tmp_path) -> Path:
    path = tmp_path / "outside.pt"
    path.touch()
    return path


def deployed(folder: Path, **settings: object) -> PipelineConfig:
    """The settings of a flow run whose deployment sets these as JSON."""
    return completed(PipelineConfig.model_validate_json(json.dumps({"base_path": str(folder), **settings})))


# The same settings by every way in


def test_a_deployment_has_the_settings_of_a_command(folder):
    assert deployed(folder) == load_config(folder)
    assert deployed(folder).embed.model == str(folder / "tiny.pt")
    assert deployed(folder, train={"epochs": 2}) == load_config(folder, overrides=["train.epochs=2"])
    assert deployed(folder, train={}) == load_config(folder)


def test_what_is_set_stays_even_where_it_is_the_default(folder):
    found = deployed(folder, train={"batch_size": 4096}, experiment="mmctr", run={"timeout": {"embed": 9}})
    assert (found.train.batch_size, found.train.epochs) == (4096, 5)
    assert found.experiment == "mmctr"
    assert found.run.timeout == {"embed": 9}


def test_the_configuration_of_a_command_is_whole(folder, tmp_path):
    """So a flow puts nothing beneath it: a file given with --config takes the place of the folder's own."""
    (tmp_path / "other.toml").write_text("[train]\nepochs = 7\n")
    other = load_config(folder, config_file=tmp_path / "other.toml")
    assert (other.train.batch_size, other.embed.model) == (4096, "ViT-B/32")
    assert completed(other) is other
    assert completed(PipelineConfig.model_validate_json(other.model_dump_json())) == other
    (folder / "mmctr.toml").write_text("[")
    assert completed(other) is other


def test_a_rule_about_two_settings_counts_for_both_together(folder):
    (folder / "mmctr.toml").write_text('[reduce]\npca = "reuse"\n')
    assert deployed(folder, train={"warm_start": True}).reduce.pca == "reuse"
    (folder / "mmctr.toml").unlink()
    with pytest.raises(InputError, match=r"train\.warm_start needs reduce\.pca"):
        deployed(folder, train={"warm_start": True})


def test_a_form_cannot_send_defaults_that_nobody_chose():
    from flows.pipeline import pipeline
    from flows.predict import predict_with
    from flows.retrain import retrain

    for flow in (pipeline, retrain, predict_with):
        definitions = parameter_schema(flow).definitions
        assert {"PipelineConfig", "TrainConfig"} <= set(definitions)
        for section in definitions.values():
            assert [name for name, field in section["properties"].items() if "default" in field] == []
        assert definitions["TrainConfig"]["properties"]["epochs"]["description"].endswith("; default 20")


def test_a_form_offers_the_kinds_of_a_part():
    """Prefect's form knows `anyOf` and `enum`, neither `oneOf` nor `const`."""
    from flows.pipeline import pipeline

    schema = parameter_schema(pipeline)
    assert not {"oneOf", "const", "discriminator"} & set(re.findall(r"'(\w+)':", str(schema.definitions)))
    head = schema.definitions["ModelConfig"]["properties"]["head"]
    assert {"$ref": "#/definitions/MlpConfig"} in head["anyOf"]
    assert schema.definitions["MlpConfig"]["properties"]["kind"]["enum"] == ["mlp"]
    assert schema.definitions["MlpConfig"]["required"] == ["kind"]
    assert {"preset", "rules"} <= set(schema.definitions["PipelineConfig"]["properties"])


@pytest.mark.integration
def test_prefect_and_mlflow_are_told_all_settings(prefect_server, folder, tracking_uri):
    """The page of a run shows them, and a run that died is found in the folder's own experiment."""
    from prefect import flow, get_client
    from prefect.context import FlowRunContext
    from prefect.states import Crashed

    from flows.pipeline import pipeline
    from flows.run.hooks import end_mlflow_runs
    from flows.run.settings import whole_settings
    from tasks.tracking.store import FLOW_RUN_TAG, Tracker

    @flow
    def shows(config: PipelineConfig, reason: str = "by hand") -> tuple:
        return whole_settings(config), str(FlowRunContext.get().flow_run.id)

    for config in ({"base_path": str(folder)}, PipelineConfig(base_path=folder), load_config(folder)):
        whole, run_id = shows(config)
        assert whole == load_config(folder)
        with get_client(sync_client=True) as client:
            kept = client.read_flow_run(run_id)
        assert kept.parameters == {"config": whole.model_dump(mode="json"), "reason": "by hand"}
    tracker = Tracker(tracking_uri, "mine")
    mlflow_run = tracker.client.create_run(tracker.experiment_id(), tags={FLOW_RUN_TAG: run_id}).info.run_id
    kept.parameters = {"config": {"base_path": str(folder)}}  # of one that died before it began
    end_mlflow_runs(pipeline, kept, Crashed(message="gone"))
    assert tracker.client.get_run(mlflow_run).info.status == "KILLED"


# What a data folder must not set


def link(path: Path, target: object) -> None:
    path.symlink_to(str(target))


@pytest.mark.parametrize("model", ["{outside}", "../outside.pt", "~/outside.pt", "linked.pt", "/nowhere.pt", "here.pt"])
def test_a_folder_names_no_model_outside_it(folder, outside, tmp_path, monkeypatch, model):
    monkeypatch.setenv("HOME", str(tmp_path))
    link(folder / "linked.pt", outside)
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd/here.pt").touch()  # a file of the current folder is no file of the data folder
    monkeypatch.chdir(tmp_path / "cwd")
    model = model.format(outside=outside)
    (folder / "mmctr.toml").write_text(f'[embed]\nmodel = "{model}"\n')
    for read in (load_config, deployed):
        with pytest.raises(InputError, match=r"mmctr.toml comes with the data.*its embed.model is .*--set") as error:
            read(folder)
    assert len(str(error.value)) < 1000
    allowed = load_config(folder, config_file=folder / "mmctr.toml")
    assert allowed.embed.model in (model, str(folder / model))
    assert completed(allowed) is allowed


@pytest.mark.parametrize("model", ["tiny.pt", "{folder}/tiny.pt", "sub/../tiny.pt", "inner.pt", "ViT-B/32"])
def test_what_lies_in_the_folder_may_be_named(folder, model):
    (folder / "sub").mkdir()
    link(folder / "inner.pt", "tiny.pt")
    (folder / "mmctr.toml").write_text(f'[embed]\nmodel = "{model.format(folder=folder)}"\n')
    found = load_config(folder).embed.model
    assert found == model if model == "ViT-B/32" else Path(found).samefile(folder / "tiny.pt")


def test_a_folder_that_is_reached_through_a_link_is_that_folder(folder, tmp_path):
    link(tmp_path / "linked", folder)
    assert load_config(tmp_path / "linked").embed.model == str(tmp_path / "linked/tiny.pt")


def test_a_model_that_the_command_or_the_deployment_names_may_lie_anywhere(folder, outside):
    (folder / "mmctr.toml").write_text("[embed]\nmodel = '/elsewhere.pt'\nallow_torchscript = true\n")
    with pytest.raises(InputError, match=r"it sets embed\.allow_torchscript"):
        load_config(folder, overrides=[f"embed.model={outside}"])
    (folder / "mmctr.toml").write_text("[embed]\nmodel = '/elsewhere.pt'\n")
    assert load_config(folder, overrides=[f"embed.model={outside}"]).embed.model == str(outside)
    assert deployed(folder, embed={"model": str(outside)}).embed.model == str(outside)


def test_a_folder_does_not_allow_code(folder):
    (folder / "mmctr.toml").write_text("[embed]\nallow_torchscript = true\n")
    with pytest.raises(InputError, match=r"nor let code run; it sets embed.allow_torchscript"):
        load_config(folder)


def test_a_folders_base_path_is_refused(folder):
    (folder / "mmctr.toml").write_text("base_path = '/etc'\n")
    for read in (load_config, deployed):
        with pytest.raises(InputError, match="remove base_path from the settings"):
            read(folder)


# What mmctr.toml may be


def a_pipe(path: Path, outside: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path, outside: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the length of a socket's path is limited
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path, outside: path.mkdir(), "it is a folder"),
        (a_pipe, "it is a pipe"),
        (a_socket, "it is a socket"),
        (lambda path, outside: link(path, "gone.toml"), "it is a link to gone.toml, where there is nothing"),
        (lambda path, outside: link(path, path.name), "it is a link to mmctr.toml, where there is nothing"),
        (lambda path, outside: link(path, "/dev/null"), "it is a device"),
        (lambda path, outside: link(path, path.parent), "it is a folder"),
        (lambda path, outside: link(path, outside), "it is a link to .*outside.pt; to allow it"),
        (lambda path, outside: path.write_bytes(b"#" * (LARGEST_BYTES + 1)), "at most 1,000,000 bytes"),
        (lambda path, outside: path.write_bytes(b"\xff\xfe"), "not a readable TOML file"),
    ],
)
def test_what_is_there_and_cannot_be_read_is_refused(folder, outside, make, message):
    (folder / "mmctr.toml").unlink()
    make(folder / "mmctr.toml", outside)
    for read in (load_config, deployed):
        with pytest.raises(InputError, match=message):
            read(folder)


def test_another_file_inside_the_folder_may_be_linked(folder):
    (folder / "mmctr.toml").rename(folder / "other.toml")
    link(folder / "mmctr.toml", "other.toml")
    assert load_config(folder).train.epochs == 5


@pytest.mark.parametrize("file", ["/dev/zero", "{folder}"])
def test_a_file_that_is_given_is_read_to_a_limit(folder, file):
    with pytest.raises(InputError, match=r"at most 1,000,000 bytes|not a readable TOML"):
        load_config(folder, config_file=Path(file.format(folder=folder)))

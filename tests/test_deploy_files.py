"""The files in `deploy/`, as Prefect's server takes them; no container is built or started."""

import json
import os
import re
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import prefect
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.utilities.templating import apply_values
from project import PROJECT

DEPLOY = PROJECT / "deploy"
POOLS = {"docker": "gpu-docker", "kubernetes": "gpu-kubernetes"}  # as deploy/README.md calls them
README = (DEPLOY / "README.md").read_text()


def template(kind: str) -> dict[str, Any]:
    return json.loads((DEPLOY / f"{kind}-base-job-template.json").read_bytes())


def job(found: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The job that a worker makes of a template."""
    properties = found["variables"]["properties"]
    defaults = {name: schema["default"] for name, schema in properties.items() if "default" in schema}
    return apply_values(found["job_configuration"], {**defaults, **values})


def container(found: dict[str, Any]) -> dict[str, Any]:
    (only,) = found["job_manifest"]["spec"]["template"]["spec"]["containers"]
    return only


def prefect_command(*arguments: str) -> None:
    done = prefect_process(*arguments, cwd=PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr


def prefect_process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    from prefect.settings import PREFECT_API_URL

    return subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=cwd,
        env={**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
    )


# Processes of one machine


def test_every_deployment_and_step_names_what_is_there_and_one_schedule_is_active():
    """README and docs/operations.md say which one; an active schedule that nobody expects trains by itself."""
    from prefect import Flow
    from prefect.utilities.importtools import import_object

    project = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
    for entry in [*project["deployments"], *yaml.safe_load(snippet())["deployments"]]:
        file, _, name = entry["entrypoint"].partition(":")
        assert (PROJECT / file).is_file()
        assert isinstance(import_object(f"{file.removesuffix('.py').replace('/', '.')}.{name}"), Flow)
    assert all(callable(import_object(step)) for step in project["build"][0])
    active = {entry["name"]: entry["schedules"][0]["active"] for entry in project["deployments"]}
    assert active == {"train": False, "retrain": True}


@pytest.fixture
def clone(tmp_path) -> Path:
    """Another clone of this project."""
    found = tmp_path / "clone"
    found.mkdir()
    for name in ("flows", "tasks", "mmctr", "pyproject.toml"):
        (found / name).symlink_to(PROJECT / name)
    (found / "prefect.yaml").write_text((PROJECT / "prefect.yaml").read_text())
    return found


@pytest.mark.integration
def test_a_clone_does_not_replace_the_deployments_of_another(prefect_server, clone, monkeypatch, capsys):
    from flows.pipeline import pipeline
    from flows.process.deploying import keep_others

    def pulled_from(folder: Path) -> list[dict[str, Any]]:
        return [{"prefect.deployments.steps.set_working_directory": {"directory": str(folder)}}]

    monkeypatch.chdir(clone)
    keep_others()  # there is none yet
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="gpu-pool", type="process"))
        flow_id = client.create_flow(pipeline)
        client.create_deployment(flow_id, "train", pull_steps=pulled_from(clone.parent / "." / "clone"))
        keep_others()  # its own
        client.create_deployment(flow_id, "train", pull_steps=[{"prefect.deployments.steps.git_clone": {"a": "b"}}])
        keep_others()  # of no folder
        client.create_deployment(flow_id, "train", pull_steps=pulled_from(PROJECT))
        with pytest.raises(SystemExit) as stop:
            keep_others()
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert f"pipeline/train at {client.api_url} runs the code in {PROJECT}, this is {clone}" in error
        assert error.endswith("first run: prefect deployment delete pipeline/train\n")
        done = prefect_process("deploy", "--all", cwd=clone)
        assert done.returncode == 2, done.stdout + done.stderr
        assert done.stderr == error
        assert client.read_deployment_by_name("pipeline/train").pull_steps == pulled_from(PROJECT)


# Docker


def test_a_docker_container_gets_the_gpus_and_the_volumes():
    found = job(template("docker"))
    assert found["container_create_kwargs"] == {"device_requests": [{"count": -1, "capabilities": [["gpu"]]}]}
    assert found["image"] == "mmctr:latest"
    assert [volume.split(":")[1] for volume in found["volumes"]] == ["/data/microlens", "/app/mlruns"]
    one = [{"device_ids": ["0"], "capabilities": [["gpu"]]}]
    other = job(template("docker"), image="mine", device_requests=one, volumes=["/a:/b"])
    assert other["container_create_kwargs"]["device_requests"] == one
    assert (other["image"], other["volumes"]) == ("mine", ["/a:/b"])


# Kubernetes


def test_a_kubernetes_pod_gets_the_gpu_and_the_claims():
    found = job(template("kubernetes"))
    assert container(found)["resources"]["limits"] == {"nvidia.com/gpu": 1}
    pod = found["job_manifest"]["spec"]["template"]["spec"]
    claims = {volume["name"]: volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"]}
    assert claims == {"data": "mmctr-data", "mlruns": "mmctr-mlruns"}
    mounts = {mount["name"]: mount["mountPath"] for mount in container(found)["volumeMounts"]}
    assert mounts == {"data": "/data/microlens", "mlruns": "/app/mlruns"}
    values = {"image": "mine", "gpu_count": 2, "data_claim": "theirs", "data_path": "/d", "memory_limit": "32Gi"}
    other = job(template("kubernetes"), **values)
    assert container(other)["resources"]["limits"] == {"nvidia.com/gpu": 2, "memory": "32Gi"}
    assert container(other)["image"] == "mine"
    assert container(other)["volumeMounts"][0]["mountPath"] == "/d"
    volume = other["job_manifest"]["spec"]["template"]["spec"]["volumes"][0]
    assert volume["persistentVolumeClaim"]["claimName"] == "theirs"


# Both


@pytest.mark.parametrize("kind", POOLS)
def test_a_template_is_prefects_own_with_additions(kind):
    views = Path(prefect.__file__).parent / "server/api/collections_data/views/aggregate-worker-metadata.json"
    own = json.loads(views.read_bytes())[f"prefect-{kind}"][kind]["default_base_job_configuration"]
    found = template(kind)
    assert own["variables"]["properties"].keys() < found["variables"]["properties"].keys()
    assert own["variables"]["definitions"] == found["variables"]["definitions"]
    assert own["job_configuration"].keys() <= found["job_configuration"].keys()
    for name, value in own["job_configuration"].items():
        assert name == "job_manifest" or found["job_configuration"][name] == value


@pytest.mark.parametrize("kind", POOLS)
def test_every_variable_is_used_and_every_place_has_its_variable(kind):
    found = template(kind)
    places = set(re.findall(r"{{ (\w+) }}", json.dumps(found["job_configuration"])))
    assert places == set(found["variables"]["properties"])
    added = {"device_requests"} if kind == "docker" else {"gpu_count", "data_claim", "data_path", "mlruns_claim"}
    assert added <= places
    assert all(f"`{name}`" in README for name in added)


def snippet() -> str:
    (found,) = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    return found


@pytest.mark.integration
def test_a_server_takes_the_templates_and_the_deployments_of_the_readme(prefect_server, tmp_path):
    file = tmp_path / "prefect.yaml"
    file.write_text(snippet())
    documented = {entry["name"]: entry for entry in yaml.safe_load(snippet())["deployments"]}
    with get_client(sync_client=True) as client:
        for kind, name in POOLS.items():
            path = f"deploy/{kind}-base-job-template.json"
            assert re.search(rf"work-pool create {name} --type {kind} (\\\n +)?--base-job-template {path}\n", README)
            prefect_command("work-pool", "create", name, "--type", kind, "--base-job-template", path)
            pool = client.read_work_pool(name)
            assert (pool.type, pool.base_job_template) == (kind, template(kind))
        prefect_command("deploy", "--all", "--prefect-file", str(file))
        for kind, name in POOLS.items():
            deployed = client.read_deployment_by_name(f"pipeline/train-{kind}")
            assert deployed.work_pool_name == name
            assert deployed.pull_steps == [{"prefect.deployments.steps.set_working_directory": {"directory": "/app"}}]
            assert deployed.job_variables == documented[f"train-{kind}"]["work_pool"]["job_variables"]
            made = job(template(kind), **deployed.job_variables)
            if kind == "docker":
                assert made["container_create_kwargs"]["device_requests"][0]["device_ids"] == ["0"]
            else:
                assert container(made)["resources"]["limits"] == {"nvidia.com/gpu": 1}
                assert container(made)["image"] == "registry.example.com/mmctr:0.1.0"


# The image


def instructions() -> list[tuple[str, str]]:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines) if name.isupper()]


def copied() -> list[str]:
    """What is copied out of the build's folder, in all stages."""
    sources = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and "--from=" not in rest]
    return [source for line in sources for source in line]


def let_in(source: str) -> bool:
    """Whether .dockerignore lets the build see a file or folder of the root."""
    seen = True
    for line in (PROJECT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and fnmatch(source, line.removeprefix("!")):
            seen = line.startswith("!")
    return seen


def test_the_image_is_made_of_files_that_are_there_and_that_docker_sees():
    assert {"requirements.lock", "pyproject.toml", "mmctr", "tasks", "flows"} <= set(copied())
    for source in copied():
        assert (PROJECT / source).exists(), source
        assert let_in(source), source


@pytest.mark.parametrize("name", [".git", ".venv", "data", "mlruns", "tests", "mmctr.toml", ".env", "prefect.yaml"])
def test_nothing_else_of_the_folder_gets_into_the_image(name):
    assert not let_in(name)


def test_the_image_serves_workers_and_holds_no_address():
    found = instructions()
    assert ("FROM", "python:3.11-slim") in found
    assert "ENTRYPOINT" not in dict(found), "a worker brings the whole command"
    assert [rest for name, rest in found if name == "USER"] == ["$UID"]
    assert ("ARG", "UID=1000") in found
    security = template("kubernetes")["job_configuration"]["job_manifest"]["spec"]["template"]["spec"][
        "securityContext"
    ]
    assert (security["runAsUser"], security["runAsNonRoot"]) == (1000, True)
    assert not any("PREFECT_API_URL" in rest or "MLFLOW_TRACKING_URI" in rest for _, rest in found)
    assert any("--require-hashes" in rest and "requirements.lock" in rest for name, rest in found if name == "RUN")
    makefile = (PROJECT / "Makefile").read_text()
    (version,) = re.findall(r"UV_VERSION := ([\d.]+)", makefile)
    assert any(f"uv=={version}" in rest for name, rest in found if name == "RUN")

"""MLflow's model registry: a version for each training, and the aliases `champion` and `challenger` among them.

The registry's tags and aliases are the only memory of who is the champion, so a run that is killed anywhere leaves
either the old champion or the new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mmctr.files import partial_path, replacing
from tasks.references import FileRef, Workspace
from tasks.store_address import local_database
from tasks.store_calls import StoreClient
from tasks.tracking import UNKNOWN_RUN, Tracker

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Version:
    """A version of the registered model."""

    number: str
    run_id: str
    aliases: tuple[str, ...]
    tags: dict[str, str]


class Registry:
    """The versions of one registered model."""

    def __init__(self, tracker: Tracker, name: str) -> None:
        self.tracker, self.name = tracker, name
        self.client: MlflowClient = tracker.client

    def versions(self) -> list[Version]:
        """All versions, newest first; none where the model is not registered."""
        aliases = self._aliases()
        versions = [
            Version(str(found.version), str(found.run_id), tuple(aliases.get(str(found.version), ())), dict(found.tags))
            for found in self.client.search_model_versions(f"name='{self.name}'")
        ]
        return sorted(versions, key=lambda version: int(version.number), reverse=True)

    def at(self, alias: str) -> Version | None:
        """The version with `alias`, None where no version has it."""
        return next((version for version in self.versions() if alias in version.aliases), None)

    def register(self, run_id: str, *, tags: dict[str, str]) -> Version:
        """The version of a finished training, made once for its run."""
        known = next((version for version in self.versions() if version.run_id == run_id), None)
        if known is not None:
            return known
        try:
            self.client.create_registered_model(self.name, description="DIN click models; see mmctr")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        run = self.client.get_run(run_id)
        models = self.client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run_id}'")
        din = next(model for model in models if model.name == "din")
        made = self.client.create_model_version(
            self.name, din.artifact_location, run_id=run_id, tags=tags, model_id=din.model_id
        )
        return Version(str(made.version), run_id, (), tags)

    def tag(self, version: Version, tags: dict[str, str]) -> None:
        """Set tags of a version."""
        for name, value in tags.items():
            if version.tags.get(name) != value:
                self.client.set_model_version_tag(self.name, version.number, name, value)

    def give(self, alias: str, version: Version) -> None:
        """Move `alias` to `version`; of the two aliases a version has one."""
        if alias not in version.aliases:
            self.client.set_registered_model_alias(self.name, alias, version.number)
        for other in version.aliases:
            if other != alias and other in (CHAMPION, CHALLENGER):
                self.client.delete_registered_model_alias(self.name, other)

    def _aliases(self) -> dict[str, list[str]]:
        """Aliases by version; a search does not give them."""
        try:
            aliases = self.client.get_registered_model(self.name).aliases
        except MlflowException as error:
            if error.error_code in UNKNOWN_RUN:
                return {}
            raise
        by_version: dict[str, list[str]] = {}
        for alias, number in aliases.items():
            by_version.setdefault(str(number), []).append(alias)
        return by_version


def runs_with_alias(uri: str, run_ids: Sequence[str]) -> set[str]:
    """Those of `run_ids` of which a version of a registered model has an alias, such as champion."""
    database = local_database(uri)
    if database is not None and not database.exists():
        return set()
    if not run_ids:
        return set()
    client, quoted = StoreClient(uri), ", ".join(f"'{run_id}'" for run_id in run_ids)
    versions = client.search_model_versions(f"run_id IN ({quoted})", max_results=10_000)
    # A search leaves `aliases` of a version empty (MLflow 3.17); the model itself knows them.
    aliases = {name: client.get_registered_model(name).aliases for name in {found.name for found in versions}}
    numbers = {name: {int(number) for number in known.values()} for name, known in aliases.items()}
    return {str(found.run_id) for found in versions if int(found.version) in numbers[found.name]}


def fetch(tracker: Tracker, run_id: str, artifact: str, *, workspace: Workspace) -> FileRef:
    """An artifact of a training's run, as a file below BASE_PATH.

    Raises:
        MlflowException, OSError: there is no such run, or no such artifact.
    """
    place = workspace.models / run_id / Path(artifact).name
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        suffix = partial_path(place).suffix  # by which the next run removes what a killed one left
        with TemporaryDirectory(dir=place.parent, prefix=".", suffix=suffix) as folder, replacing(place) as partial:
            Path(tracker.client.download_artifacts(run_id, artifact, folder)).replace(partial)
    return workspace.file_ref(place)

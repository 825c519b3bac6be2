"""MLflow's model registry: a version for each training, the aliases `champion` and `challenger`, and who was champion.

The registry's tags and aliases are the only memory of who is the champion, so a run that is killed anywhere leaves
either the old champion or the new one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel
from mlflow.exceptions import MlflowException

from tasks.tracking.store import NOT_FOUND, Tracker
from tasks.tracking.store_address import local_database
from tasks.tracking.store_calls import StoreClient

CHAMPION, CHALLENGER = "champion", "challenger"
CHAMPIONS_TAG, PIN_TAG = "champions", "pin"  # tags of the registered model
CHAMPIONS_KEPT = 200


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

    def version_at(self, alias: str) -> Version | None:
        """The version with `alias`, None where no version has it."""
        return next((version for version in self.versions() if alias in version.aliases), None)

    def find(self, name: str) -> Version | None:
        """The version that a user means by its number, an alias of it, or the id of its MLflow run."""
        return next(
            (version for version in self.versions() if name in (version.number, version.run_id)), self.version_at(name)
        )

    def names(self) -> str:
        """What `find` would find, for a message."""
        versions = self.versions()
        aliases = sorted(alias for version in versions for alias in version.aliases)
        numbers = [version.number for version in reversed(versions)]
        shown = [*numbers[:1], "...", *numbers[-3:]] if len(numbers) > 8 else numbers
        return ", ".join([*shown, *aliases]) or "there is none yet; run the pipeline first"

    def register(self, run_id: str, *, tags: dict[str, str]) -> Version:
        """The version of a finished training, made once for its run."""
        known = next((version for version in self.versions() if version.run_id == run_id), None)
        if known is not None:
            return known
        try:
            self.client.create_registered_model(self.name, description="click models; see mmctr")
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

    def set_alias(self, alias: str, version: Version) -> None:
        """Move `alias` to `version`, which loses the other of `champion` and `challenger`."""
        if alias not in version.aliases:
            self.client.set_registered_model_alias(self.name, alias, version.number)
        for other in version.aliases:
            if other != alias and other in (CHAMPION, CHALLENGER):
                self.client.delete_registered_model_alias(self.name, other)

    def champions(self) -> list[str]:
        """Numbers of the champions so far, the present one last; versions that were deleted are left out.

        A registry from before this was written down has it in the decisions of its versions.
        """
        versions = {version.number: version for version in reversed(self.versions())}
        model = self._model()
        noted = (model.tags if model else {}).get(CHAMPIONS_TAG, "").split()
        noted = noted or [number for number, version in versions.items() if version.tags.get("decision") == CHAMPION]
        present = [number for number, version in versions.items() if CHAMPION in version.aliases]
        known = [number for number in [*noted, *present] if number in versions]
        return [number for index, number in enumerate(known) if index == 0 or known[index - 1] != number]

    def make_champion(self, version: Version) -> None:
        """Make `version` the champion; killed in between, `champions` knows it by its alias."""
        self.set_alias(CHAMPION, version)
        self._remember(self.champions())

    def roll_back(self, champions: Sequence[str], version: Version) -> None:
        """Make `version` the champion again; `champions` end with it, so that the next rollback goes further back."""
        self._remember(champions)  # first: killed in between, the same rollback can be asked for again
        self.set_alias(CHAMPION, version)

    def pin(self) -> str | None:
        """When the champion was pinned and by whom; None where it is not pinned.

        A pin is of one version: it ends where that was deleted, or another has the alias.
        """
        model = self._model()
        number, _, note = ("" if model is None else model.tags.get(PIN_TAG, "")).partition(": ")
        return note if model is not None and note and number == self._champion_of(model) else None

    def set_pin(self, note: str | None) -> None:
        """Pin whichever version is the champion, with a note of when and by whom; None ends that."""
        model = self._model()
        if model is not None and note is not None:
            self.client.set_registered_model_tag(self.name, PIN_TAG, f"{self._champion_of(model)}: {note}")
        elif model is not None and PIN_TAG in model.tags:
            self.client.delete_registered_model_tag(self.name, PIN_TAG)

    def _remember(self, champions: Sequence[str]) -> None:
        self.client.set_registered_model_tag(self.name, CHAMPIONS_TAG, " ".join(champions[-CHAMPIONS_KEPT:]))

    def _model(self) -> RegisteredModel | None:
        try:
            return self.client.get_registered_model(self.name)
        except MlflowException as error:
            if error.error_code in NOT_FOUND:
                return None
            raise

    def _champion_of(self, model: RegisteredModel) -> str:
        return str(model.aliases.get(CHAMPION, "none"))

    def _aliases(self) -> dict[str, list[str]]:
        """Aliases by version; a search does not return them."""
        model = self._model()
        by_version: dict[str, list[str]] = {}
        for alias, number in ({} if model is None else model.aliases).items():
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

"""What a run did, for a person at a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmctr.common.text import shown
from tasks.cache.stage import StageReport
from tasks.promote import Decision
from tasks.settings.presets import MISSION
from tasks.settings.rules import FREE
from tasks.tracking.store import ui_address


@dataclass(frozen=True)
class Summary:
    """The figures of a finished run."""

    stages: Sequence[StageReport]
    seconds: float
    items: dict[str, int]
    explained_variance: float | None  # none where no vectors were reduced
    part_variances: dict[str, float]  # of each part, where several are side by side
    n_components: int
    epochs: int
    most_epochs: int
    best_epoch: int
    valid_auc: float
    valid_logloss: float
    rows: int | None  # of the test split, where there is one
    test_auc: float | None  # where it has labels
    test_logloss: float | None
    outputs: dict[str, Path]
    owner: str  # whose model the outputs are of
    mlflow_run: str
    mlflow_address: str
    decision: Decision
    reason: str
    preset: str
    rules: str

    def text(self) -> str:
        """The summary as lines of text, for a terminal."""
        stages = [f"  {name:<14}{state:<8}{seconds:8.1f} s" for name, state, seconds in self._stages()]
        facts = [f"{name:<14}{text}" for name, text in self._facts().items()]
        outputs = [f"  {path}" for path in self.outputs.values()]
        return "\n".join(
            [
                "stages",
                *stages,
                *facts,
                "outputs",
                *outputs,
                f"MLflow run    {self.mlflow_run}",
                self._where_mlflow_is(),
            ]
        )

    def markdown(self) -> str:
        """The same as Markdown, for Prefect's page of the run."""
        stages = [f"| {name} | {state} | {seconds:.1f} s |" for name, state, seconds in self._stages()]
        facts = [f"- {name}: {text}" for name, text in {"reason": self.reason, **self._facts()}.items()]
        outputs = [f"- `{path}`" for path in self.outputs.values()]
        link = f"MLflow run: [{self.mlflow_run}]({self.mlflow_address})"
        return "\n".join(["| stage | | |", "|---|---|---:|", *stages, "", *facts, "", *outputs, "", link])

    def _stages(self) -> list[tuple[str, str, float]]:
        rows = [(stage.name, "cached" if stage.cached else "ran", stage.seconds) for stage in self.stages]
        return [*rows, ("in all", "", self.seconds)]

    def _facts(self) -> dict[str, str]:
        missing = (
            ("missing_images", "without image"),
            ("unreadable_images", "with an unreadable image"),
            ("missing_titles", "without title"),
            ("neither", "with neither"),
            ("without_vector", "without a vector"),
            ("unknown_images", "images of unknown items"),
        )
        counts = ", ".join(f"{self.items[name]} {words}" for name, words in missing if name in self.items)
        early = f"; stopped early after epoch {self.epochs} of {self.most_epochs}"
        early = early if self.epochs < self.most_epochs else ""
        return {
            **self._asked_for(),
            "items": f"{self.items['items']}{f': {counts}' if counts else ''}",
            **self._reduction(),
            "best epoch": f"{self.best_epoch}: valid AUC {self.valid_auc:.4f}, logloss {self.valid_logloss:.4f}{early}",
            "model": f"version {self.decision.version}, {self.decision.reason}",
            **self._predictions(),
            "outputs of": self.owner,
        }

    def _asked_for(self) -> dict[str, str]:
        """The preset and the rules, where they are not the default ones."""
        preset = {"preset": shown(self.preset)} if self.preset != MISSION else {}
        return {**preset, **({"rules": f"{self.rules} of the challenge, kept"} if self.rules != FREE else {})}

    def _reduction(self) -> dict[str, str]:
        if self.explained_variance is None:
            return {}
        parts = ", ".join(f"{share:.2%} of {shown(name, limit=60)}'s" for name, share in self.part_variances.items())
        whole = f"{self.n_components} dimensions keep {self.explained_variance:.2%} of the variance"
        return {"PCA": f"{whole}{parts and f' ({parts})'}"}

    def _predictions(self) -> dict[str, str]:
        if self.rows is None:
            return {"submission": "none, as there is no test split (data.test)"}
        rows = {"submission": f"{self.rows} rows"}
        if self.test_auc is None:
            return rows
        return {**rows, "test": f"AUC {self.test_auc:.4f}, logloss {self.test_logloss:.4f}"}

    def _where_mlflow_is(self) -> str:
        local = self.mlflow_address.startswith(ui_address())
        return f"  {'after `make ui`: ' if local else ''}{self.mlflow_address}"

"""What a run did, for a person at a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks.stage import StageReport


@dataclass(frozen=True)
class Summary:
    """The figures of a finished run."""

    stages: Sequence[StageReport]
    seconds: float
    items: dict[str, int]
    explained_variance: float
    n_components: int
    best_epoch: int
    valid_auc: float
    valid_logloss: float
    rows: int
    outputs: dict[str, Path]
    mlflow_run: str
    mlflow_uri: str
    mlflow_page: str

    def text(self) -> str:
        """The summary as lines of text."""
        stages = [
            f"  {report.name:<14}{'cached' if report.cached else 'ran':<8}{report.seconds:8.1f} s"
            for report in self.stages
        ]
        missing = ", ".join(
            f"{self.items[name]} {words}"
            for name, words in (
                ("missing_images", "without image"),
                ("unreadable_images", "with an unreadable image"),
                ("missing_titles", "without title"),
                ("neither", "with neither"),
                ("unknown_images", "images of unknown items"),
            )
        )
        return "\n".join(
            [
                "stages",
                *stages,
                f"  {'in all':<14}{'':<8}{self.seconds:8.1f} s",
                f"items         {self.items['items']}: {missing}",
                f"PCA           {self.n_components} dimensions keep {self.explained_variance:.2%} of the variance",
                f"best epoch    {self.best_epoch}: valid AUC {self.valid_auc:.4f}, logloss {self.valid_logloss:.4f}",
                f"submission    {self.rows} rows",
                "outputs",
                *(f"  {path}" for path in self.outputs.values()),
                f"MLflow run    {self.mlflow_run}",
                f"  {self._mlflow_address()}",
            ]
        )

    def _mlflow_address(self) -> str:
        if self.mlflow_uri.startswith("http"):
            return f"{self.mlflow_uri.rstrip('/')}{self.mlflow_page}"
        return f"after `make ui`: http://127.0.0.1:5000{self.mlflow_page}"

"""The models of a run in MLflow's own formats, with signatures and without pickle."""

import warnings
from importlib.metadata import version
from pathlib import Path

import mlflow
import numpy as np
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Schema, TensorSpec

from mmctr import __file__ as library
from mmctr.reduction import load_pca

SCORER = Path(__file__).with_name("din_scorer.py")
SCORER_PACKAGES = ("numpy", "pandas", "polars", "pyarrow", "torch", "tqdm")


def log_din_model(uri: str, run_id: str, *, checkpoint: Path, table: Path) -> None:
    """Log the click model as `din`: rows of the click log in, probabilities out."""
    inputs = Schema(
        [
            ColSpec(Array(DataType.long), "item_seq"),
            ColSpec(DataType.long, "item_id"),
            ColSpec(DataType.long, "likes_level"),
            ColSpec(DataType.long, "views_level"),
        ]
    )
    outputs = Schema([TensorSpec(np.dtype(np.float32), (-1,))])
    with _within(uri, run_id), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*input example", category=UserWarning)  # the signature says it all
        mlflow.pyfunc.log_model(
            name="din",
            python_model=str(SCORER),
            artifacts={"checkpoint": str(checkpoint), "item_table": str(table)},
            code_paths=[str(Path(library).parent)],
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            pip_requirements=_pinned(SCORER_PACKAGES),
        )


def log_pca_model(uri: str, run_id: str, *, pca: Path) -> None:
    """Log the PCA model as `pca` (`mlflow.sklearn.load_model`): CLIP embeddings in, reduced embeddings out."""
    model = load_pca(pca)
    components, width = model.components_.shape
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float64), (-1, width))]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, components))]),
    )
    with _within(uri, run_id):
        mlflow.sklearn.log_model(
            model,
            name="pca",
            signature=signature,
            pip_requirements=_pinned(("scikit-learn", "skops")),
        )


def _within(uri: str, run_id: str) -> mlflow.ActiveRun:
    """The run as this thread's active one, which `log_model` asks for; leaving it marks it finished for a moment."""
    mlflow.set_tracking_uri(uri)
    return mlflow.start_run(run_id=run_id, log_system_metrics=False)


def _pinned(packages: tuple[str, ...]) -> list[str]:
    return [f"{name}=={version(name)}" for name in packages]

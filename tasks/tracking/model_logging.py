"""The models of a run in MLflow's own formats, with signatures and without pickle."""

import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from mlflow.models.signature import ModelSignature
from mlflow.types.schema import Array, ColSpec, DataType, Schema, TensorSpec

from mmctr import __file__ as library
from mmctr.embedding.pca import load_pca
from mmctr.inputs.vocabulary import Vocabulary
from mmctr.models.checkpoint import Checkpoint, load_checkpoint
from tasks.cache.code_digest import reached_modules

logging.getLogger("mlflow.sklearn").setLevel(logging.ERROR)  # it warns that a PCA model cannot predict
SCORER, SCORER_MODULE = Path(__file__).with_name("scorer.py"), "tasks.tracking.scorer"
CARRIED = "mmctr_scorer"  # of a name of its own, so that it stands in nobody's way who imports mmctr
SCORER_PACKAGES = ("numpy", "pandas", "polars", "pyarrow", "torch")


def log_din_model(uri: str, run_id: str, *, checkpoint: Path, model_id: str | None = None) -> None:
    """Log the click model as `din`, or anew under the id it has: rows of the click log in, probabilities out."""
    trained = load_checkpoint(checkpoint)
    inputs = _scored_columns(trained)
    outputs = Schema([TensorSpec(np.dtype(np.float32), (-1,))])
    with (
        _logged_model(uri, run_id, "din", model_id) as model_id,
        TemporaryDirectory() as folder,
        _importable(_copy_modules([SCORER_MODULE, *trained.architecture.modules], Path(folder))) as carried,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=".*input example", category=UserWarning)  # the signature says it all
        mlflow.pyfunc.log_model(
            model_id=model_id,
            python_model=str(_copy(SCORER, Path(folder) / SCORER.name)),
            artifacts={"checkpoint": checkpoint.absolute().as_uri()},  # a path would be read as an address, too
            code_paths=[carried],
            signature=ModelSignature(inputs=inputs, outputs=outputs),
            pip_requirements=_pinned(SCORER_PACKAGES),
        )


def _scored_columns(checkpoint: Checkpoint) -> Schema:
    """The columns of the click log that a model scores, of the types that it was trained on."""
    item = _data_type(checkpoint.ids)
    columns: dict[str, Array | DataType] = {checkpoint.columns.history: Array(item), checkpoint.columns.target: item}
    for fitted in checkpoint.row_encoding.features:
        value = DataType.double if fitted.feature.kind == "number" else _data_type(fitted.vocabulary)
        columns[fitted.feature.column] = Array(value) if fitted.feature.kind == "tags" else value
    return Schema([ColSpec(kind, name) for name, kind in columns.items()])


def _data_type(vocabulary: Vocabulary | None) -> DataType:
    """Of ids or values; those without a vocabulary are whole numbers."""
    return DataType.string if vocabulary is not None and vocabulary.is_text else DataType.long


def log_pca_model(uri: str, run_id: str, *, pca: Path, model_id: str | None = None) -> None:
    """Log the PCA model as `pca`, or anew under the id it has: CLIP embeddings in, reduced embeddings out."""
    model = load_pca(pca)
    components, width = model.components_.shape
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.float64), (-1, width))]),
        outputs=Schema([TensorSpec(np.dtype(np.float64), (-1, components))]),
    )
    with _logged_model(uri, run_id, "pca", model_id) as model_id:
        mlflow.sklearn.log_model(
            model,
            model_id=model_id,
            signature=signature,
            pip_requirements=_pinned(("scikit-learn", "skops")),
        )


def _copy_modules(modules: list[str], folder: Path) -> Path:
    """A package below `folder` of the library's modules that `modules` need, and no others; returns its path."""
    package = Path(library).parent
    for name in frozenset().union(*map(reached_modules, modules)):
        source = package.joinpath(*name.split(".")[1:])
        source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
        _copy(source, folder / CARRIED / source.relative_to(package))
        for table in source.parent.glob("*/*.toml") if source.name == "__init__.py" else []:  # read by a module of it
            _copy(table, folder / CARRIED / table.relative_to(package))
    return folder / CARRIED


def _copy(source: Path, path: Path) -> Path:
    """Write a module that imports from the carried package what it imports from the library; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = re.sub(
        r"^(\s*(?:from|import) )mmctr\b", rf"\1{CARRIED}", source.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def _importable(package: Path) -> Iterator[str]:
    """Let MLflow, which runs the scorer while it logs it, import the package; yields its path."""
    sys.path.insert(0, str(package.parent))
    try:
        yield str(package)
    finally:
        sys.path.remove(str(package.parent))
        for name in [name for name in sys.modules if name.partition(".")[0] == package.name]:
            del sys.modules[name]


@contextmanager
def _logged_model(uri: str, run_id: str, name: str, model_id: str | None = None) -> Iterator[str]:
    """Id of a new model, which becomes an output of the run once it is whole; or `model_id`, which is one.

    No run is made this thread's active one, as MLflow marks such a run finished whenever it is left.
    """
    mlflow.set_tracking_uri(uri)
    if model_id is not None:
        yield model_id
        return
    client = MlflowClient(uri)
    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id, name=name, source_run_id=run_id, params=run.data.params, model_type=""
    )
    yield model.model_id
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])


def _pinned(packages: tuple[str, ...]) -> list[str]:
    return [f"{name}=={version(name)}" for name in packages]

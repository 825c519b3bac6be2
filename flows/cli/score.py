"""`mmctr score`: probabilities for any click file, without a Prefect server; nothing that a run wrote is changed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from flows.predict import find_model
from flows.run.context import registry_of, run_context
from mmctr.common.errors import InputError
from mmctr.common.files import replacing
from mmctr.common.text import shown
from mmctr.compute.device import resolve_device
from mmctr.evaluation.metrics import auc, logloss
from mmctr.evaluation.scoring import predict_checkpoint
from mmctr.inputs.columns import column_names, read_ids
from mmctr.inputs.files import find_table
from mmctr.inputs.layout import Layout
from mmctr.inputs.rules import check_clicks
from mmctr.inputs.targets import check_targets_known
from mmctr.models.checkpoint import Checkpoint, load_checkpoint
from tasks.settings.named import settings_named
from tasks.settings.sections import PipelineConfig, home_expanded
from tasks.tracking.store_address import tracking_uri
from tasks.tracking.store_check import check_store

FOLDER = "scores"  # of BASE_PATH
PROBABILITY, ROW = "probability", "row"
FORMS = (".parquet", ".csv")
_PATTERN = re.compile(r"[*?\[]")
_NO_NAME = re.compile(r"[^\w.-]+")


@dataclass(frozen=True)
class Scores:
    """What was written, by which model, and how good it is where there were labels."""

    model: str
    rows: int
    files: int
    known: int  # rows whose target the model knows
    positives: int | None  # None without labels
    auc: float | None  # None also where all labels are of one class
    logloss: float | None
    out: Path
    columns: tuple[str, ...]

    def text(self) -> str:
        """As lines of text, for a terminal."""
        lines = [
            f"model         {self.model}",
            f"rows          {self.rows:,} of {self.files} file{'s' if self.files > 1 else ''}, "
            f"{self.known:,} with a target that the model knows",
        ]
        if self.positives is not None:
            lines.append(f"labels        {self.positives:,} of {self.rows:,} are 1")
            if self.auc is None:
                lines.append("AUC           not defined, as all labels are the same")
            else:
                lines.append(f"AUC           {self.auc:.4f}, logloss {self.logloss:.4f}")
        return "\n".join([*lines, f"written       {self.out}", f"  columns     {', '.join(self.columns)}"])


def score(config: PipelineConfig, file: str, *, model: str, out: Path | None, force: bool) -> Scores:
    """Predict every row of a click log and write the probabilities.

    Each file of the log is loaded by itself, so memory is needed for the largest of them: 4 bytes a history item and a
    feature, and about 40 a row.

    Args:
        config: of the data folder, whose columns the log has.
        file: the log: a file, a folder of part files, or a glob; from the current folder on.
        model: a version of the registered model, an alias, an MLflow run's id, or a checkpoint's path.
        out: file to write; by default BASE_PATH/scores/<name of the log>.parquet.
        force: write over a file that is there already.

    Raises:
        InputError: the log, the model or the place cannot be used.
    """
    layout = config.data.layout
    files = _files(file, base_path=config.base_path)
    target = _place(out, file, config=config, layout=layout, files=files, force=force)
    check_store(tracking_uri(), config.experiment)
    context = run_context(config)
    with context.workspace.running():
        found = find_model(model, registry_of(config), context.workspace)
        with context.workspace.reading(found.checkpoint) as path:
            trained = load_checkpoint(path)
    names = column_names(files)
    row_id, with_label = layout.row_id if layout.row_id in names else "", layout.label in names
    check_clicks(
        files,
        layout,
        name=shown(file),
        with_row_id=bool(row_id),
        with_label=with_label,
        text_ids=trained.table.ids.is_text,
    )
    predicted = _predict(trained, files, config=config, layout=layout, with_label=with_label)
    with settings_named("predict"):
        check_targets_known(predicted.known, min_known_targets=config.predict.min_known_targets)
    ids = read_ids(files, row_id=row_id)
    frame = pl.DataFrame([ids.alias(row_id or ROW), pl.Series(PROBABILITY, predicted.probabilities)])
    _write(frame, target, force=force)
    return _scores(predicted, model=found.name, files=len(files), out=target, columns=tuple(frame.columns))


@dataclass(frozen=True)
class _Predicted:
    """Of R rows."""

    probabilities: npt.NDArray[np.float32]
    logits: npt.NDArray[np.float32]
    known: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.float32] | None


def _predict(
    trained: Checkpoint, files: Sequence[Path], *, config: PipelineConfig, layout: Layout, with_label: bool
) -> _Predicted:
    """All files, one after another."""
    device = str(resolve_device(config.device))
    parts = [
        predict_checkpoint(
            trained,
            file,
            device=device,
            columns=layout.click_columns,
            batch_size=config.predict.batch_size,
            with_label=with_label,
        )
        for file in files
    ]
    labels = [part.labels for part in parts if part.labels is not None]
    return _Predicted(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.known for part in parts]),
        np.concatenate(labels) if with_label else None,
    )


def _scores(predicted: _Predicted, *, model: str, files: int, out: Path, columns: tuple[str, ...]) -> Scores:
    rows, labels = len(predicted.probabilities), predicted.labels
    positives = None if labels is None else int(labels.sum())
    both = positives is not None and 0 < positives < rows
    return Scores(
        model=model,
        rows=rows,
        files=files,
        known=int(predicted.known.sum()),
        positives=positives,
        auc=auc(labels, predicted.logits) if both and labels is not None else None,
        logloss=logloss(labels, predicted.logits) if both and labels is not None else None,
        out=out,
        columns=columns,
    )


def _files(file: str, *, base_path: Path) -> list[Path]:
    """The files of a log, whose name is read as any path on a command line.

    Raises:
        InputError: there are none.
    """
    path = home_expanded(Path(file)).absolute()
    folder, name = path.parent, path.name
    while not path.exists() and _PATTERN.search(str(folder)):
        folder, name = folder.parent, f"{folder.name}/{name}"
    files, problem = find_table(folder, name)
    if problem is not None:
        there = find_table(base_path, file)[0]
        remedy = "name a file, a folder of part files, or a glob in quotes"
        remedy = f"did you mean {base_path / file}?" if there else remedy
        raise InputError(
            f"FILE must be a click log, parquet or CSV, from the current folder on; {shown(file)} is none: {problem}; "
            f"{remedy}"
        )
    return files


def _place(
    out: Path | None, file: str, *, config: PipelineConfig, layout: Layout, files: Sequence[Path], force: bool
) -> Path:
    """Where the probabilities are written, which must be free and nothing that a run reads or writes.

    Raises:
        InputError: it is not.
    """
    if out is None:
        stem = _NO_NAME.sub("", Path(file).absolute().name.removesuffix(".parquet").removesuffix(".csv"))
        out = config.base_path / FOLDER / f"{stem or 'scores'}.parquet"
    place = home_expanded(out).absolute()
    if place.suffix.lower() not in FORMS:
        raise InputError(f"OUT must end in {' or '.join(FORMS)}, which says its form; found {shown(str(out))}")
    base, real = config.base_path.resolve(), place.resolve()
    public = {base / name for name in (layout.item_embeddings, layout.checkpoint, layout.prediction, layout.archive)}
    inputs = {base / name for name in (layout.items, layout.train, layout.valid, layout.test, ".mmctr") if name}
    taken = public | inputs | {one.resolve() for one in files}
    if real in taken or any(one in real.parents for one in inputs if one.is_dir()):
        raise InputError(
            f"score never writes over what a run reads or writes; {place} is such a place; name another with --out"
        )
    if place.is_dir():
        raise InputError(f"OUT must be a file; {place} is a folder; name a file in it with --out")
    if place.exists() and not force:
        raise InputError(f"score writes a new file; {place} is there already; name another with --out, or add --force")
    return place


def _write(frame: pl.DataFrame, path: Path, *, force: bool) -> None:
    try:
        with replacing(path, only_new=not force) as partial:
            if path.suffix.lower() == ".csv":
                frame.write_csv(partial)
            else:
                frame.write_parquet(partial, compression="zstd")
    except FileExistsError:
        raise InputError(
            f"score writes a new file; {path} is there by now; name another with --out, or add --force"
        ) from None

"""`mmctr score`: probabilities for any click file, without a Prefect server; nothing that a run wrote is changed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from flows.cli.places import check_place
from flows.predict import find_model
from flows.run.context import registry_of, run_context
from mmctr.common.errors import InputError
from mmctr.common.files import replacing
from mmctr.common.text import first_line, shown
from mmctr.compute.device import resolve_device
from mmctr.evaluation.metrics import auc, logloss
from mmctr.evaluation.prediction import probabilities_of
from mmctr.evaluation.scoring import Answers, answer
from mmctr.inputs.columns import labels_of, read_ids
from mmctr.inputs.files import find_table
from mmctr.inputs.layout import Layout
from mmctr.inputs.rules import check_clicks
from mmctr.inputs.tables import column_names, count_rows, read_chunks
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
    labels: str  # what is said of them; empty where there are none
    auc: float | None  # None without labels, and where all are the same
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
        if self.labels:
            lines.append(f"labels        {self.labels}")
        if self.auc is not None:
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
    row_id = layout.row_id if layout.row_id in column_names(files) else ""
    if row_id == PROBABILITY:
        raise InputError(f"data.row_id must not be {PROBABILITY}, which is the other column of OUT; rename that column")
    of_model = replace(layout, row_features=trained.columns.features)
    check_clicks(files, of_model, with_row_id=bool(row_id), text_ids=trained.ids.is_text)
    answers = _answers(trained, files, config=config, layout=layout)
    with settings_named("predict"):
        check_targets_known(answers.known, min_known_targets=config.predict.min_known_targets)
    ids = read_ids(files, row_id=row_id)
    frame = pl.DataFrame([ids.alias(row_id or ROW), pl.Series(PROBABILITY, probabilities_of(answers.logits))])
    _write(frame, target, force=force)
    said, figures = _figures(files, answers.logits, label=layout.label)
    return Scores(
        model=found.name,
        rows=len(frame),
        files=len(files),
        known=int(answers.known.sum()),
        labels=said,
        auc=figures and figures[0],
        logloss=figures and figures[1],
        out=target,
        columns=tuple(frame.columns),
    )


def _answers(trained: Checkpoint, files: Sequence[Path], *, config: PipelineConfig, layout: Layout) -> Answers:
    """Of all files, one after another."""
    device, batch_size = resolve_device(config.device), config.predict.batch_size
    filled = [file for file in files if count_rows(file)] or files[:1]  # an empty part may have no columns
    parts = [
        answer(trained, file, device=device, columns=layout.click_columns, batch_size=batch_size) for file in filled
    ]
    logits, known = (np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "known"))
    return Answers(logits, known, None)


def _figures(
    files: Sequence[Path], logits: npt.NDArray[np.float32], *, label: str
) -> tuple[str, tuple[float, float] | None]:
    """What is to be said of the labels, and AUC and logloss where both classes are there."""
    if label not in column_names(files):
        return "", None
    try:
        labels = np.concatenate([labels_of(chunk.column(label)) for chunk in read_chunks(files, columns=[label])])
    except InputError as error:
        return f"cannot be used: {first_line(error)}", None
    positives, negatives = int((labels == 1).sum()), int((labels == 0).sum())
    if positives + negatives < len(labels):
        return f"cannot be used: they must be 0 or 1, {len(labels) - positives - negatives:,} are not", None
    if not (positives and negatives):
        return f"all {len(labels):,} are the same, so AUC is not defined", None
    return f"{positives:,} of {len(labels):,} are 1", (auc(labels, logits), logloss(labels, logits))


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
    check_place(place, base_path=config.base_path, layout=layout, command="score", besides=files)
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

"""What declared features need of train: the values that occur, mean and standard deviation of numbers.

Nothing is read where no feature needs it. Legend: V items.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mmctr.clicks.batch import ClickSplit
from mmctr.clicks.feature_encoding import Columns, FeatureEncoding, FittedFeature, naming, needs_fit
from mmctr.clicks.item_table import PADDING_IDX, ItemTable
from mmctr.clicks.parts import read_part
from mmctr.common.errors import InputError
from mmctr.common.text import shown
from mmctr.inputs.columns import history_ids, ids_of, numbers_of, values_of
from mmctr.inputs.features import Feature
from mmctr.inputs.files import Files
from mmctr.inputs.layout import ClickColumns, HeldOut, ItemColumns
from mmctr.inputs.tables import read_chunks
from mmctr.inputs.vocabulary import Vocabulary

ROUNDING = 1e-12  # spread in parts of the mean, below which numbers differ by what float64 loses in sums alone


def fit_rows(files: Files, *, columns: ClickColumns, held_out: HeldOut | None = None) -> FeatureEncoding:
    """The encoding of the features of `columns`, fitted to the click log of train: one pass over what is fitted.

    Args:
        files: of train, valid by the rules (`mmctr.inputs.rules`).
        columns: their names, and the features.
        held_out: which part of the rows is train, where users are held out; None is all.

    Raises:
        InputError: a file cannot be read to its end, or a number cannot be standardised.
    """
    fit = FeatureFit(columns.features)
    if fit.columns:
        for chunk in read_part(files, columns=fit.columns, held_out=held_out):
            fit.add(chunk)
    return fit.done()


def fit_items(
    files: Files, *, columns: ItemColumns, table: ItemTable, train: ClickSplit
) -> tuple[ItemTable, FeatureEncoding]:
    """`table` with the features of its items, fitted to those that occur in `train`, as a target or in a history.

    Args:
        files: of the item table, valid by the rules (`mmctr.inputs.rules`).
        columns: their names, and the features.
        table: the items; a row of the files whose id it does not have is left out.
        train: the clicks, packed with `table`.

    Raises:
        InputError: a file cannot be read to its end, or a feature cannot be encoded.
    """
    names = [columns.item_id, *(feature.column for feature in columns.features)]
    chunks = list(read_chunks(files, columns=list(dict.fromkeys(names))))
    rows = [table.lookup(ids_of(chunk[columns.item_id], text=table.ids.is_text)) for chunk in chunks]
    seen = _items_of(train, rows=len(table.weights))
    fit = FeatureFit(columns.features)
    if fit.columns:
        for chunk, row in zip(chunks, rows, strict=True):
            fit.add(chunk.filter(pa.array(seen[row])))
    encoding = fit.done()
    features = encoding.unknown(rows=len(table.weights))
    first_row = 0
    for chunk, row in zip(chunks, rows, strict=True):
        encoded = encoding.encode(chunk, rows=len(chunk), first_row=first_row)
        known = row != PADDING_IDX
        features.ids[row[known]], features.numbers[row[known]] = encoded.ids[known], encoded.numbers[known]
        first_row += len(chunk)
    return replace(table, features=features), encoding


def _items_of(train: ClickSplit, *, rows: int) -> npt.NDArray[np.bool_]:
    """(V + 1,) which rows of the item table occur in `train`; the padding row never does."""
    seen = np.zeros(rows, dtype=bool)
    seen[train.history.numpy()] = True
    seen[train.target.numpy()] = True
    seen[PADDING_IDX] = False
    return seen


class FeatureFit:
    """Collects what `features` need of train, some rows at a time."""

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        self._found = {feature: _Moments() if feature.kind == "number" else _Distinct(feature) for feature in features}

    @property
    def columns(self) -> list[str]:
        """Names of the columns that are looked at."""
        return [feature.column for feature in self._features if needs_fit(feature)]

    def add(self, columns: Columns) -> None:
        """Look at some rows of train."""
        for feature, found in self._found.items():
            if needs_fit(feature):
                with naming(feature):
                    found.add(columns[feature.column])

    def done(self) -> FeatureEncoding:
        """The encoding that was found.

        Raises:
            InputError: numbers are too large to be standardised.
        """
        return FeatureEncoding(tuple(self._fitted(feature) for feature in self._features))

    def _fitted(self, feature: Feature) -> FittedFeature:
        found = self._found[feature]
        if not needs_fit(feature):
            return FittedFeature(feature)
        if isinstance(found, _Distinct):
            return FittedFeature(feature, vocabulary=found.vocabulary())
        mean, std = found.mean_and_std()
        if not np.isfinite((mean, std)).all():
            raise InputError(
                f"{shown(feature.column)} must have a finite mean and standard deviation, found {mean} and {std}; "
                "fix its largest values"
            )
        return FittedFeature(feature, mean=mean, std=std)


class _Moments:
    """Mean and standard deviation in one pass, parts joined as in Chan, Golub and LeVeque 1979."""

    def __init__(self) -> None:
        self._count, self._mean, self._squares = 0, 0.0, 0.0

    def add(self, column: pa.Array) -> None:
        numbers = numbers_of(column)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(numbers.mean())
            squares = float(np.square(numbers - mean).sum())
            both, apart = self._count + len(numbers), mean - self._mean
            self._squares += squares + apart * apart * self._count * len(numbers) / both
        self._mean += apart * len(numbers) / both
        self._count = both

    def mean_and_std(self) -> tuple[float, float]:
        """Of the population; 0 and 1 where there is no number."""
        spread = float(np.sqrt(self._squares / max(1, self._count)))
        return self._mean, spread if spread > ROUNDING * abs(self._mean) else 1.0


class _Distinct:
    """Different values, sorted."""

    def __init__(self, feature: Feature) -> None:
        self._feature = feature
        self._sorted: Any = None  # (V,) int64, or Arrow's texts
        self._latest: list[Any] = []

    def add(self, column: pa.Array) -> None:
        if self._feature.kind == "tags":
            values, _ = history_ids(column, padding="none", separator=self._feature.separator)
        else:
            values, _ = values_of(column)
        if not len(values):  # of such a column there is no saying which kind its values are
            return
        if self._latest and isinstance(self._latest[0], np.ndarray) != isinstance(values, np.ndarray):
            raise InputError("values must be integers in all files or texts in all, both are there; write all as text")
        self._latest.append(np.unique(values) if isinstance(values, np.ndarray) else values.unique())
        if sum(map(len, self._latest)) > 2 * len(self._latest[0]) + 1_000_000:
            self._latest = [self._joined()]

    def _joined(self) -> Any:
        if isinstance(self._latest[0], np.ndarray):
            return np.unique(np.concatenate(self._latest))
        return pa.concat_arrays(self._latest).unique()

    def vocabulary(self) -> Vocabulary:
        """What was added, in ascending order; texts by their code points."""
        values = self._joined() if self._latest else np.zeros(0, dtype=np.int64)
        if isinstance(values, np.ndarray):
            return Vocabulary(values)
        return Vocabulary(values.filter(pc.not_equal(values, "")).sort())  # an empty text is no value, nor a tag

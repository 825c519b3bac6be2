"""Declared features as a model reads them: rows of embedding tables, and standardised numbers.

What is fitted is fitted on train: the values of a category or of tags in their order, and mean and standard deviation
of a number. It encodes rows of clicks and items alike, in every split.

Legend: R rows; F columns of ids, one for a category and `max_tags` for tags; G columns of numbers, two for a number.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmctr.common.errors import InputError
from mmctr.common.text import shown, shown_value
from mmctr.inputs.columns import history_ids, numbers_of, values_of
from mmctr.inputs.features import FLAGGED, Feature
from mmctr.inputs.numbers import is_number, stored_numbers
from mmctr.inputs.vocabulary import UNKNOWN, Vocabulary

FARTHEST = 1e4  # standard deviations from the mean; what is farther counts as that far
Columns: TypeAlias = Mapping[str, pa.Array] | pa.RecordBatch
Ids: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True)
class FittedFeature:
    """A feature with what was found of it in train.

    Attributes:
        feature: as it was declared.
        vocabulary: values of a category without `size`, or of tags, in ascending order; None for others.
        mean, std: of a number, over the rows that have one; `std` is 1 where all are equal.
    """

    feature: Feature
    vocabulary: Vocabulary | None = None
    mean: float = 0.0
    std: float = 1.0

    @property
    def arrow_type(self) -> pa.DataType | None:
        """Of its column where rows are in memory; None takes values as they are."""
        if self.feature.kind == "number":
            return pa.float64()
        if self.vocabulary is None:
            return None
        one = pa.large_string() if self.vocabulary.is_text else pa.int64()
        return pa.large_list(one) if self.feature.kind == "tags" else one

    @property
    def sized(self) -> Feature:
        """The feature with the number of rows of its embedding table as its `size`."""
        return self.feature if self.vocabulary is None else replace(self.feature, size=len(self.vocabulary) + 1)


@dataclass(frozen=True)
class Encoded:
    """(R, F) int32 rows of embedding tables, 0 for unknown and none, and (R, G) float32 numbers with their flags."""

    ids: Ids
    numbers: npt.NDArray[np.float32]


@dataclass(frozen=True)
class FeatureEncoding:
    """How columns of the data become `Encoded`; columns of a feature stand together, in the order of the features."""

    features: tuple[FittedFeature, ...] = ()

    @property
    def declared(self) -> tuple[Feature, ...]:
        """The features as they were declared."""
        return tuple(fitted.feature for fitted in self.features)

    @property
    def sized(self) -> tuple[Feature, ...]:
        """The features as an `Architecture` has them."""
        return tuple(fitted.sized for fitted in self.features)

    def encode(self, columns: Columns, *, rows: int, first_row: int = 0) -> Encoded:
        """The features of R = `rows` rows; `first_row` of the table, counted from 0, is the first of them.

        Raises:
            InputError: a value of a category with a `size` is none of its whole numbers.
        """
        encoded = self.unknown(rows=rows)
        ids, numbers = encoded.ids, encoded.numbers
        at = number_at = 0
        for fitted in self.features:
            feature = fitted.feature
            column = columns[feature.column]
            if feature.kind == "number":
                numbers[:, number_at : number_at + feature.number_columns] = _standardised(column, fitted)
            elif feature.kind == "tags":
                ids[:, at : at + feature.id_columns] = _tags(column, fitted)
            elif fitted.vocabulary is None:
                ids[:, at] = _own_rows(column, feature, first_row=first_row)
            else:
                ids[:, at] = _rows_of_values(column, fitted)
            at, number_at = at + feature.id_columns, number_at + feature.number_columns
        return encoded

    def unknown(self, *, rows: int) -> Encoded:
        """What `rows` rows have of which nothing is known: no value, and numbers that are missing."""
        ids = np.zeros((rows, sum(feature.id_columns for feature in self.declared)), dtype=np.int32)
        numbers = np.zeros((rows, sum(feature.number_columns for feature in self.declared)), dtype=np.float32)
        numbers[:, FLAGGED - 1 :: FLAGGED] = 1
        return Encoded(ids, numbers)


@contextmanager
def naming(feature: Feature) -> Iterator[None]:
    """Let an error in what reads the column of `feature` begin with its name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"column {shown(feature.column)}: {error}") from error


def needs_fit(feature: Feature) -> bool:
    """Whether something must be known of train before the feature can be encoded."""
    return feature.size is None


def fixed_encoding(features: Sequence[Feature]) -> FeatureEncoding:
    """The encoding of features that need nothing of train.

    Raises:
        InputError: one of them does.
    """
    unfitted = [feature.column for feature in features if needs_fit(feature)]
    if unfitted:
        raise InputError(
            f"a feature without a size must be fitted to train first, {shown(unfitted[0])} is not; "
            "pass `encoding`, that of `fit_rows` or of a checkpoint"
        )
    return FeatureEncoding(tuple(FittedFeature(feature) for feature in features))


def _own_rows(column: pa.Array, feature: Feature, *, first_row: int) -> Ids:
    """(R,) whole numbers that are rows themselves; null is 0."""
    assert feature.size is not None
    if column.null_count and is_number(column.type):
        column = column.fill_null(0)
    if is_number(column.type) or pa.types.is_boolean(column.type):
        numbers = stored_numbers(column)
    else:
        with naming(feature):
            values, present = values_of(column, text=False)
        numbers = np.zeros(len(column), dtype=np.int64)
        numbers[present] = values
    if len(numbers) and not (numbers.dtype.kind in "iu" and numbers.min() >= 0 and numbers.max() < feature.size):
        with np.errstate(invalid="ignore"):
            own = (numbers >= 0) & (numbers < feature.size) & (np.trunc(numbers) == numbers)
        if not own.all():
            at = int(own.argmin())
            raise InputError(
                f"{shown(feature.column)} must be in 0..{feature.size - 1}, row {first_row + at + 1} has "
                f"{shown_value(numbers[at].item())}; leave out or fix such rows"
            )
    return numbers.astype(np.int32, copy=False)


def _rows_of_values(column: pa.Array, fitted: FittedFeature) -> Ids:
    """(R,) row of each value; 0 for unknown values and for none."""
    vocabulary = fitted.vocabulary
    assert vocabulary is not None
    rows = np.zeros(len(column), dtype=np.int32)
    if len(vocabulary):  # else all are unknown, whichever kind they are of
        with naming(fitted.feature):
            values, present = values_of(column, text=vocabulary.is_text)
        rows[present] = vocabulary.lookup(values)
    return rows


def _tags(column: pa.Array, fitted: FittedFeature) -> Ids:
    """(R, max_tags) rows of the first known tags of each row, then zeros."""
    vocabulary, feature = fitted.vocabulary, fitted.feature
    assert vocabulary is not None
    rows = np.zeros((len(column), feature.max_tags), dtype=np.int32)
    if not len(vocabulary):  # all are unknown, whichever kind they are of
        return rows
    with naming(feature):
        values, lengths = history_ids(column, padding="none", separator=feature.separator, text=vocabulary.is_text)
    found = vocabulary.lookup(values)
    known = found != UNKNOWN
    row = np.repeat(np.arange(len(lengths)), lengths)[known]
    before = np.concatenate(([0], np.cumsum(np.bincount(row, minlength=len(lengths)))))[row]  # known tags of rows above
    place = np.arange(len(row)) - before
    kept = place < feature.max_tags
    rows[row[kept], place[kept]] = found[known][kept]
    return rows


def _standardised(column: pa.Array, fitted: FittedFeature) -> npt.NDArray[np.float32]:
    """(R, 2) value in standard deviations from the mean, and 1 where there is none; such a value is 0, the mean."""
    with naming(fitted.feature):
        numbers = numbers_of(column)
    missing = ~np.isfinite(numbers)
    with np.errstate(over="ignore"):
        scaled = np.clip((np.where(missing, fitted.mean, numbers) - fitted.mean) / fitted.std, -FARTHEST, FARTHEST)
    return np.stack([scaled, missing], axis=1).astype(np.float32)

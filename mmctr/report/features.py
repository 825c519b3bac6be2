"""What is in the declared features of a table: values, missing ones, and those that train does not have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from mmctr.inputs.columns import history_ids, numbers_of, values_of
from mmctr.inputs.features import Feature
from mmctr.inputs.hashes import Hashes
from mmctr.inputs.vocabulary import Values
from mmctr.report.row_hash import Distinct, is_among, keys_of


@dataclass(frozen=True)
class FeatureReport:
    """One feature in one table; None is for what it cannot have.

    Attributes:
        kind: category, tags or number.
        missing_share: of the rows, those without a value.
        distinct: different values; of tags, different tags.
        unknown_share: of the values, those that train does not have; None in train itself.
        smallest, largest: of numbers, and of a category whose values are whole numbers.
    """

    kind: str
    missing_share: float
    distinct: int | None
    unknown_share: float | None
    smallest: float | None
    largest: float | None


class FeatureCounts:
    """What was seen of a feature in the chunks of a table."""

    def __init__(self, feature: Feature, *, text: bool | None, known: Hashes | None) -> None:
        """`text` as `mmctr.inputs.columns.ids_of` has it; `known` are the keys of train's values, sorted."""
        self._feature, self._text, self._known = feature, text, known
        self._distinct = Distinct()
        self._rows = self._missing = self._values = self._unknown = 0
        self._range: tuple[float, float] | None = None

    def look(self, column: pa.Array) -> None:
        """The next rows."""
        kind = self._feature.kind
        self._rows += len(column)
        if kind == "number":
            numbers = numbers_of(column)
            present = ~np.isnan(numbers)
            self._missing += int(np.count_nonzero(~present))
            self._note_range(numbers[present])
        elif kind == "tags":
            values, lengths = history_ids(column, padding="none", separator=self._feature.separator, text=self._text)
            self._missing += int(np.count_nonzero(lengths == 0))
            self._note_values(values)
        else:
            text = False if self._feature.size is not None else self._text
            values, present = values_of(column, text=text)
            self._missing += int(np.count_nonzero(~present))
            self._note_values(values)

    def _note_values(self, values: Values) -> None:
        keys = keys_of(values)
        self._distinct.add(keys)
        self._values += len(keys)
        if self._known is not None:
            self._unknown += int(np.count_nonzero(~is_among(keys, self._known)))
        if isinstance(values, np.ndarray):
            self._note_range(values)

    def _note_range(self, numbers: np.ndarray) -> None:
        if len(numbers):
            low, high = float(numbers.min()), float(numbers.max())
            before = self._range or (low, high)
            self._range = min(low, before[0]), max(high, before[1])

    @property
    def keys(self) -> Hashes:
        """The different values, sorted."""
        return self._distinct.ordered()

    def report(self) -> FeatureReport:
        """All figures."""
        is_number = self._feature.kind == "number"
        unknown = None if self._known is None or is_number else self._unknown / max(1, self._values)
        low, high = self._range or (None, None)
        return FeatureReport(
            kind=self._feature.kind,
            missing_share=self._missing / max(1, self._rows),
            distinct=None if is_number else len(self.keys),
            unknown_share=unknown,
            smallest=low,
            largest=high,
        )


def counts_of(
    features: Sequence[Feature], *, text: Mapping[str, bool], known: Mapping[str, Hashes] | None = None
) -> dict[str, FeatureCounts]:
    """Counts for each feature by its column; `text` and `known` by the column too."""
    return {
        feature.column: FeatureCounts(
            feature, text=text.get(feature.column), known=None if known is None else known[feature.column]
        )
        for feature in features
    }

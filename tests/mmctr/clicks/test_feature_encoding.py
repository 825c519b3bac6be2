"""Encodings of declared features beside a slow plain version, and what they do with values that train does not have."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmctr.clicks.feature_encoding import FARTHEST, fixed_encoding
from mmctr.clicks.feature_fitting import FeatureFit
from mmctr.common.errors import InputError
from mmctr.inputs.features import Feature

COLOUR = Feature("colour", "category")
GENRES = Feature("genres", "tags", max_tags=2)
PRICE = Feature("price", "number")
LEVEL = Feature("level", "category", size=20)
FEATURES = (PRICE, COLOUR, LEVEL, GENRES)
TEXTS = st.sampled_from(["red", "blue", "é", "Z", "a b", ""])
NUMBERS = st.none() | st.integers(-3, 3) | st.floats(-1e6, 1e6, allow_nan=False)


def rows_of(values, *, count):
    """Rows with a value of each feature; `values` are those of the category and of tags."""
    return st.lists(
        st.fixed_dictionaries(
            {
                "colour": st.none() | values,
                "genres": st.none() | st.lists(st.none() | values, max_size=4),
                "price": NUMBERS.map(lambda number: None if number is None else float(number)),
                "level": st.none() | st.integers(0, 19),
            }
        ),
        min_size=count,
        max_size=8,
    )


def columns_of(rows, kind):
    types = {"colour": kind, "genres": pa.list_(kind), "price": pa.float64(), "level": pa.int64()}
    return {name: pa.array([row[name] for row in rows], type_) for name, type_ in types.items()}


def fitted(rows, kind, *, chunk=3):
    fit = FeatureFit(FEATURES)
    for start in range(0, len(rows), chunk):
        fit.add(columns_of(rows[start : start + chunk], kind))
    return fit.done()


def real(value):
    return value is not None and value != ""


def encoded_by_hand(row, train):
    """Rows of tables and numbers of one row, value by value."""
    colours = sorted({other["colour"] for other in train if real(other["colour"])})
    genres = sorted({tag for other in train for tag in other["genres"] or [] if real(tag)})
    prices = [other["price"] for other in train if other["price"] is not None]
    mean = sum(prices) / len(prices) if prices else 0.0
    std = math.sqrt(sum((price - mean) ** 2 for price in prices) / len(prices)) if prices else 0.0
    ids = [colours.index(row["colour"]) + 1 if row["colour"] in colours else 0, row["level"] or 0]
    tags = [genres.index(tag) + 1 for tag in row["genres"] or [] if tag in genres][: GENRES.max_tags]
    missing = row["price"] is None
    return ids + tags + [0] * (GENRES.max_tags - len(tags)), [mean, std, missing]


@pytest.mark.parametrize(
    ("kind", "values"), [(pa.string(), TEXTS), (pa.int64(), st.integers(-2, 4))], ids=["texts", "integers"]
)
@given(st.data())
def test_rows_are_encoded_as_by_hand(kind, values, data):
    train, other = data.draw(rows_of(values, count=1)), data.draw(rows_of(values, count=0))
    encoding = fitted(train, kind)
    for rows in (train, other):
        found = encoding.encode(columns_of(rows, kind), rows=len(rows))
        assert (found.ids.dtype, found.numbers.dtype) == (np.int32, np.float32)
        assert found.ids.shape == (len(rows), 4)
        for row, ids, numbers in zip(rows, found.ids.tolist(), found.numbers.tolist(), strict=True):
            expected, (mean, std, missing) = encoded_by_hand(row, train)
            assert ids == expected
            assert numbers[1] == missing
            spread = encoding.features[0].std
            assert encoding.features[0].mean == pytest.approx(mean, rel=1e-9, abs=1e-6)
            assert spread == pytest.approx(std, rel=1e-6, abs=1e-3) or (std < 1e-3 and spread == 1.0)
            scaled = 0.0 if missing else (row["price"] - encoding.features[0].mean) / spread
            assert numbers[0] == pytest.approx(np.clip(scaled, -FARTHEST, FARTHEST), rel=1e-5, abs=1e-5)


@given(st.randoms(use_true_random=False), rows_of(TEXTS, count=2))
def test_the_order_of_trains_rows_and_their_chunks_do_not_matter(random, rows):
    shuffled = random.sample(rows, len(rows))
    first, second = fitted(rows, pa.string()), fitted(shuffled, pa.string(), chunk=1)
    for one, other in zip(first.features, second.features, strict=True):
        values = [None if found.vocabulary is None else found.vocabulary.values.tolist() for found in (one, other)]
        assert values[0] == values[1]
        assert (one.mean, one.std) == pytest.approx((other.mean, other.std), rel=1e-6, abs=1e-3)


def test_sizes_are_those_of_the_embedding_tables():
    train = [{"colour": "red", "genres": ["a", "b"], "price": 1.0, "level": 3}]
    assert [feature.size for feature in fitted(train, pa.string()).sized] == [None, 2, 20, 3]
    assert fitted(train, pa.string()).declared == FEATURES


def test_a_constant_number_and_one_that_is_never_there_become_zeros():
    for prices, missing in (([3.5, 3.5], 0), ([None, float("nan")], 1)):
        fit = FeatureFit([PRICE])
        fit.add({"price": pa.array(prices, pa.float64())})
        encoding = fit.done()
        assert encoding.features[0].std == 1.0
        found = encoding.encode({"price": pa.array(prices, pa.float64())}, rows=2)
        assert found.numbers.tolist() == [[0, missing]] * 2


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, -3.3e9, 0.0])
def test_a_constant_number_has_no_spread_however_its_rows_are_cut(value):
    for pieces in ([7], [1] * 7, [3, 4], [1, 1, 5]):
        fit = FeatureFit([PRICE])
        for rows in pieces:
            fit.add({"price": pa.array([value] * rows, pa.float64())})
        assert fit.done().features[0].std == 1.0


def test_infinite_numbers_are_missing_and_far_ones_are_limited():
    fit = FeatureFit([PRICE])
    fit.add({"price": pa.array([-1.0, 1.0, float("inf")])})
    found = fit.done().encode({"price": pa.array([float("-inf"), 1e300, -1e300])}, rows=3)
    assert found.numbers.tolist() == [[0, 1], [FARTHEST, 0], [-FARTHEST, 0]]


def test_numbers_without_a_finite_spread_are_refused():
    fit = FeatureFit([PRICE])
    fit.add({"price": pa.array([1e308, -1e308])})
    with pytest.raises(InputError, match=r"price must have a finite mean and standard deviation, .*; fix its largest"):
        fit.done()


@pytest.mark.parametrize(
    "column",
    [
        pa.array([3, None, 0], pa.int16()),
        pa.array([3.0, None, 0.0]),
        pa.array(["3", None, ""]),
        pa.array([3, None, 0]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type),
)
def test_a_category_with_a_size_is_its_own_row_whatever_holds_it(column):
    assert fixed_encoding([LEVEL]).encode({"level": column}, rows=3).ids.tolist() == [[3], [0], [0]]


@pytest.mark.parametrize("level", [-1, 20, 2**40, 1.5, float("nan")])
def test_a_value_beyond_the_size_is_named_with_its_row(level):
    with pytest.raises(InputError) as error:
        fixed_encoding([LEVEL]).encode({"level": pa.array([1, level])}, rows=2, first_row=10)
    assert f"level must be in 0..19, row 12 has {level}; leave out or fix such rows" in str(error.value)


def test_tags_in_one_text_are_split_by_their_separator():
    genres = Feature("genres", "tags", separator="|", max_tags=2)
    fit = FeatureFit([genres])
    fit.add({"genres": pa.array(["drama|crime", "", None, "a b|drama"])})
    encoding = fit.done()
    assert encoding.features[0].vocabulary.values.to_pylist() == ["a b", "crime", "drama"]
    found = encoding.encode({"genres": pa.array(["new|drama|crime|a b", "new", None])}, rows=3)
    assert found.ids.tolist() == [[3, 2], [0, 0], [0, 0]]


def test_a_feature_that_must_be_fitted_is_refused_by_name_before_it_is():
    with pytest.raises(InputError, match="a feature without a size must be fitted to train first, colour is not; pass"):
        fixed_encoding([LEVEL, COLOUR])


def test_values_that_are_integers_in_one_file_and_texts_in_another_are_refused():
    fit = FeatureFit([COLOUR])
    fit.add({"colour": pa.array([1, 2])})
    with pytest.raises(InputError, match="column colour: values must be integers in all files or texts in all"):
        fit.add({"colour": pa.array(["red"])})


def test_a_column_that_cannot_be_read_is_named():
    fit = FeatureFit([COLOUR])
    fit.add({"colour": pa.array([1, 2])})
    with pytest.raises(InputError, match=r"column colour: ids must be integers in all files, .* found 'red'"):
        fit.done().encode({"colour": pa.array(["red"])}, rows=1)


def test_what_is_unknown_has_no_value_and_its_numbers_are_missing():
    encoding = fitted([{"colour": "red", "genres": ["a"], "price": 1.0, "level": 3}], pa.string())
    unknown = encoding.unknown(rows=2)
    assert unknown.ids.tolist() == [[0] * 4] * 2
    assert unknown.numbers.tolist() == [[0, 1]] * 2

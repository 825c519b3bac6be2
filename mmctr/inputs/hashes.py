"""64-bit hashes that are the same on every machine and with every library: of whole numbers, texts and lists of them.

Legend: R rows, N entries of all lists together.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mmctr.inputs.numbers import texts_of

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the step of splitmix64 (Steele et al., OOPSLA 2014)
MIX = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
Hashes = npt.NDArray[np.uint64]


def mixed(numbers: Hashes) -> Hashes:
    """The output function of splitmix64: a bijection after which equal bits are as good as chance."""
    for shift, factor in MIX:
        numbers = (numbers ^ (numbers >> np.uint64(shift))) * np.uint64(factor)
    return numbers ^ (numbers >> np.uint64(31))


def hash_lists(values: npt.NDArray[np.int64] | Hashes, lengths: npt.NDArray[np.int64]) -> Hashes:
    """(R,) hash of each list: the sum of the hashes of its entries, each with its position."""
    stop = np.cumsum(lengths)
    position = np.arange(len(values)) - np.repeat(stop - lengths, lengths)
    sums = np.zeros(len(values) + 1, dtype=np.uint64)
    np.cumsum(mixed(values.view(np.uint64) + position.view(np.uint64) * GOLDEN), out=sums[1:])
    return sums[stop] - sums[stop - lengths]


def hash_texts(column: pa.Array) -> Hashes:
    """(R,) hash of each text, that of its bytes in UTF-8 as a list; a null is as an empty text."""
    texts = texts_of(column).fill_null("").cast(pa.large_binary())
    if not len(texts):
        return np.zeros(0, dtype=np.uint64)
    _, offsets, content = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[texts.offset : texts.offset + len(texts) + 1]
    letters = np.frombuffer(content or b"", dtype=np.uint8)[ends[0] : ends[-1]]
    return hash_lists(letters.astype(np.int64), np.diff(ends))

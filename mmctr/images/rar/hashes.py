"""Two hashes of RAR, as fast as hashlib lets them be: rarfile's own are a Python loop over every few bytes.

BLAKE2sp (https://www.blake2.net/blake2.pdf, section 2.10) is eight BLAKE2s, each of every eighth block of 64 bytes.
The key of an encrypted RAR 3 header is a SHA-1 of the password, the header's salt and a counter, 2^18 times.
"""

import hashlib
from functools import cache

import numpy as np
import rarfile

LANES, BLOCK = 8, 64
STRIPE = LANES * BLOCK
ROUNDS, COUNTS_A_ROUND = 16, 1 << 14
SHA1_BLOCK = 64


class Blake2SP:
    """The hash of all bytes that `update` had so far."""

    def __init__(self, content: bytes = b"") -> None:
        self._lanes = [_blake2s(lane, depth=0, last=lane == LANES - 1) for lane in range(LANES)]
        self._rest = b""
        self.update(content)

    def update(self, content: bytes) -> None:
        """Go on with `content`."""
        content = self._rest + content
        whole = len(content) - len(content) % STRIPE
        self._add(content[:whole])
        self._rest = content[whole:]

    def digest(self) -> bytes:
        """The hash, after which nothing may follow."""
        for number, lane in enumerate(self._lanes):
            lane.update(self._rest[number * BLOCK : (number + 1) * BLOCK])
        root = _blake2s(0, depth=1, last=True)
        for lane in self._lanes:
            root.update(lane.digest())
        return root.digest()

    def _add(self, stripes: bytes) -> None:
        lanes = np.frombuffer(stripes, dtype=np.uint8).reshape(-1, LANES, BLOCK).transpose(1, 0, 2)
        for lane, blocks in zip(self._lanes, lanes, strict=True):
            lane.update(np.ascontiguousarray(blocks).data)


def _blake2s(offset: int, *, depth: int, last: bool) -> hashlib.blake2s:
    return hashlib.blake2s(node_offset=offset, node_depth=depth, last_node=last, depth=2, inner_size=32, fanout=LANES)


def rar3_key(password: str, salt: bytes) -> tuple[bytes, bytes]:
    """AES key and start vector of a RAR 3 header, 16 bytes each."""
    seed = password.encode("utf-16le")[: 2 * rarfile.RAR_MAX_PASSWORD] + salt
    if len(seed) > SHA1_BLOCK:  # from 29 characters on RAR 3 alters the seed as it goes, which rarfile imitates
        key, start = rarfile.rar3_s2k(password, salt)
        return bytes(key), bytes(start)
    sha1, start_vector = hashlib.sha1(usedforsecurity=False), b""
    for counts in _counts():
        hashed = memoryview(seed + seed.join(counts))
        sha1.update(hashed[: len(seed) + 3])
        start_vector += sha1.digest()[19:]
        sha1.update(hashed[len(seed) + 3 :])
    words = sha1.digest()[:16]
    return b"".join(words[at : at + 4][::-1] for at in range(0, 16, 4)), start_vector


@cache
def _counts() -> list[list[bytes]]:
    """0 to 2^18 - 1 in three bytes each, the lowest first."""
    return [
        [number.to_bytes(3, "little") for number in range(first, first + COUNTS_A_ROUND)]
        for first in range(0, ROUNDS * COUNTS_A_ROUND, COUNTS_A_ROUND)
    ]

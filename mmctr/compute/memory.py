"""Memory that a training frees and allocates again at every step."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # parameters of glibc's mallopt, from its malloc.h
MMAP_MAX_DEFAULT, MMAP_THRESHOLD_TOP = 65_536, 32 << 20


@contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C allocator keep freed memory for the next step, and return it all at the end.

    glibc returns blocks over 32 MB to the system as soon as they are freed, and everything at the top of the heap
    beyond 64 MB. A step then faults its tensors in again page by page, which was up to a third of its time. Without
    glibc this does nothing. The settings are the process's: docs/decisions/0014-memory-that-training-keeps.md.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt"):
        yield
        return
    libc.mallopt(MMAP_MAX, 0)
    libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        libc.mallopt(MMAP_MAX, MMAP_MAX_DEFAULT)
        libc.mallopt(MMAP_THRESHOLD, MMAP_THRESHOLD_TOP)
        libc.mallopt(TRIM_THRESHOLD, 2 * MMAP_THRESHOLD_TOP)
        libc.malloc_trim(0)

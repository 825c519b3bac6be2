import platform
import resource
from pathlib import Path

import pytest
import torch

from mmctr.compute.memory import kept_memory


def resident() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators do as they like")
def test_freed_memory_is_kept_within_and_returned_afterwards():
    block, before = 128 << 20, resident()
    with kept_memory():
        torch.ones(block // 4, dtype=torch.float32)
        assert resident() - before > block * 0.9
    assert resident() - before < block * 0.1
    torch.ones(block // 4, dtype=torch.float32)
    assert resident() - before < block * 0.1

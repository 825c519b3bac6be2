import pytest
import torch

from mmctr.compute.numerics import deterministic


@pytest.fixture(autouse=True)
def as_pytorch_has_it():
    before = torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.utils.deterministic.fill_uninitialized_memory = before


@pytest.mark.parametrize("filled", [True, False])
def test_deterministic_kernels_fill_no_new_memory_and_the_settings_come_back(filled):
    torch.utils.deterministic.fill_uninitialized_memory = filled

    def failing():
        with deterministic():
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.utils.deterministic.fill_uninitialized_memory
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory is filled

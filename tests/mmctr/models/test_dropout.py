import pytest
import torch

from mmctr.models.dropout import Dropout

DTYPES = (torch.float32, torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.995])
def test_that_share_is_zero_and_the_rest_is_scaled(dtype, share):
    torch.manual_seed(0)
    out = Dropout(share)(torch.ones(100, 2000, dtype=dtype))
    error = 5 * (share * (1 - share) / out.numel()) ** 0.5
    assert (out == 0).double().mean().item() == pytest.approx(share, abs=error)
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / (1 - share)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradient_is_that_of_what_was_kept(dtype):
    torch.manual_seed(0)
    x = torch.randn(50, 7, dtype=dtype, requires_grad=True)
    out = Dropout(0.3)(x)
    toward = torch.randn_like(out)
    kept = (out != 0).to(dtype) / 0.7
    (found,) = torch.autograd.grad(out, x, toward)
    torch.testing.assert_close(found, toward * kept)
    torch.testing.assert_close(out, x * kept)


def test_seeds_decide_and_each_call_draws_anew():
    def draw():
        torch.manual_seed(1)
        return Dropout(0.5)(torch.ones(64)), Dropout(0.5)(torch.ones(64))

    (first, second), (again, _) = draw(), draw()
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("share", "training"), [(0.0, True), (0.5, False)])
def test_it_draws_nothing_where_nothing_is_dropped(share, training):
    x = torch.randn(5)
    before = torch.get_rng_state()
    assert Dropout(share).train(training)(x) is x
    assert torch.equal(torch.get_rng_state(), before)

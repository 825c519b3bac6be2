"""The moving average of a model's weights over its steps."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential moving average of all that changes in a model, embedding tables included.

    The factor of the n-th step is the smaller of `decay` and (1 + n) / (10 + n), so that the first weights do not last
    (TensorFlow's `ExponentialMovingAverage` with `num_updates`). Running statistics of batch norm and of Dice are
    averaged with the weights whose activations they describe; of whole numbers the latest are taken.

    Args:
        model: on the device to train on; frozen weights are its own.
        decay: of the average, 0 to 1.
    """

    def __init__(self, model: nn.Module, *, decay: float) -> None:
        frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
        self.decay, self.steps = decay, 0
        self.own: dict[str, Tensor] = {
            name: tensor for name, tensor in model.state_dict(keep_vars=True).items() if name not in frozen
        }
        self.values = {name: tensor.detach().clone() for name, tensor in self.own.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights in as they are after a step."""
        factor = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        means = [name for name, value in self.values.items() if value.is_floating_point()]
        torch._foreach_lerp_([self.values[name] for name in means], [self.own[name] for name in means], 1 - factor)
        for name in self.values.keys() - set(means):
            self.values[name].copy_(self.own[name])

    @torch.no_grad()
    def begin_anew(self) -> None:
        """Forget what was averaged: the weights are as they are now."""
        self.steps = 0
        for name, value in self.values.items():
            value.copy_(self.own[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model have the averaged weights meanwhile; nothing is copied."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs."""
        return {"values": self.values, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was."""
        for name, value in self.values.items():
            value.copy_(state["values"][name])
        self.steps = state["steps"]

    def _exchange(self) -> None:
        for name, tensor in self.own.items():
            tensor.data, self.values[name] = self.values[name], tensor.data

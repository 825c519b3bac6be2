"""A loss of the order within a user's rows, beside cross-entropy, and batches in which those rows are together.

Legend: B rows of a batch, R of an epoch, P pairs of a positive and a negative row of one user.
"""

from bisect import bisect_right

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import softplus


def pairwise_loss(logits: Tensor, label: Tensor, user: Tensor) -> Tensor:
    """Mean over users of softplus(-(positive's logit - negative's)), averaged over each user's pairs; () float32.

    Users are weighted by their rows, as gAUC weights them; one without both classes has no pair. Without any pair it is
    0. The pairwise logistic loss is that of RankNet (Burges et al., ICML 2005).

    Args:
        logits: (B,) float.
        label: (B,) of 0 and 1.
        user: (B,) int number of each row's user, in any order.
    """
    _, number = user.unique(return_inverse=True)  # (B,)
    positive, negative = label > 0.5, label <= 0.5
    rows, negatives = number.bincount(), number[negative].bincount(minlength=len(user))
    positives = number[positive].bincount(minlength=len(user))
    negative_rows = negative.nonzero().squeeze(1)
    negative_rows = negative_rows[number[negative_rows].argsort(stable=True)]  # those of a user one after another
    positive_rows = positive.nonzero().squeeze(1)

    of_positive = number[positive_rows]
    pairs = negatives[of_positive]  # of each positive row
    first = positive_rows.repeat_interleave(pairs)  # (P,)
    within = torch.arange(len(first), device=user.device) - (pairs.cumsum(0) - pairs).repeat_interleave(pairs)
    begins = (negatives.cumsum(0) - negatives)[of_positive].repeat_interleave(pairs)
    second = negative_rows[begins + within]  # (P,)

    logits = logits.float()
    losses = softplus(logits.index_select(0, second) - logits.index_select(0, first))
    of_pair = number[first]
    weights = rows[of_pair] / (positives * negatives)[of_pair]  # (P,) a user's sum up to its rows
    return (losses * weights).sum() / weights.sum().clamp(min=1)


def users_in_turn(user: Tensor, *, seed: int) -> Tensor:
    """(R,) int64 row numbers: users in a random order, the rows of each one after another as they are in the file."""
    users = int(user.max()) + 1 if len(user) else 0
    turn = torch.randperm(users, generator=torch.Generator().manual_seed(seed))
    return turn[user.long()].argsort(stable=True)


def ends_of_batches(user: npt.NDArray[np.integer], batch_size: int) -> list[int]:
    """Ends of batches of at most `batch_size` rows that cut no user apart, unless one alone has more rows.

    `user` is (R,) numbers, equal ones one after another. Batches that begin at one of the ends have the rest of them.
    """
    changes = [*(np.flatnonzero(np.diff(user)) + 1).tolist(), len(user)]
    ends, start = [], 0
    while start < len(user):
        last = bisect_right(changes, start + batch_size) - 1
        end = changes[last] if last >= 0 and changes[last] > start else start + batch_size
        ends.append(end)
        start = end
    return ends

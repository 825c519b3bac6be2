"""What a world says of itself, as README.md in its folder: what it is for, its figures, and what they are not."""

import numpy as np
from sklearn.metrics import roc_auc_score

from mmctr.demo.clicks import Rows, Weights
from mmctr.demo.oracle import oracle_logits
from mmctr.demo.world import World

CHALLENGE = """\
# A made-up data set with the structure of the challenge's logs

`mmctr demo --world challenge` wrote this folder, from a seed. **Figures on it are not Codabench figures**: no item,
user or click of MicroLens is in it, and an AUC here says nothing of an AUC there. It is for one question: does a model
generalise, or does it remember which item was what?

- {users} users of train, each with 1 positive and 3 negatives; {evaluation_users} other users each in valid and test.
- Negatives of train come from {pool} of the {items} items, about {shown:.0f} times each; {only} items are in train as
  positives only. In valid and test negatives come from all items. Neither topic nor popularity tells which items the
  {pool} are: a model that learns them by heart has an AUC near 1 on train, and loses on valid.
- Cold targets, never one in train: {cold:.1%} of the rows of test.
- Histories have the lengths of the challenge's: 3 and more, quartiles 4, 6 and 9, at most 64. `likes_level` and
  `views_level` say roughly how popular an item is, and popular items are clicked more: popularity alone has AUC
  {popularity:.4f} on valid.
- A rule that knows each item's topic and popularity, and no label, has AUC {valid:.4f} on valid and {test:.4f} on test.
  Titles, covers, tags and histories show the topics.

`test_labels.parquet` is test with its labels, and with `cold`: whether the target is cold. Read it once, at the end:
`mmctr score BASE_PATH BASE_PATH/test_labels.parquet`. `item_topics.parquet` has the topics. No model may read either.
"""


def challenge_readme(
    world: World, *, train: Rows, valid: Rows, test: Rows, of_train: Weights, of_evaluation: Weights
) -> str:
    """The text for the challenge world, with the figures of this one."""

    def auc(rows: Rows) -> float:
        return float(roc_auc_score(rows.label, oracle_logits(world, rows, weights=of_evaluation)))

    positives, negatives = (
        np.bincount(train.item_id[train.label == label], minlength=world.items + 1) for label in (1, 0)
    )
    pool = int((of_train.negative > 0).sum())
    return CHALLENGE.format(
        items=world.items,
        users=len(np.unique(train.user_id)),
        evaluation_users=len(np.unique(valid.user_id)),
        pool=pool,
        shown=negatives.sum() / pool,
        only=((positives > 0) & (negatives == 0)).sum(),
        popularity=float(roc_auc_score(valid.label, world.popularity[valid.item_id - 1])),
        cold=float((~np.isin(test.item_id, train.item_id)).mean()),
        valid=auc(valid),
        test=auc(test),
    )

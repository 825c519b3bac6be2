"""Write the golden files anew: `python tests/support/regenerate_golden.py`. Review the difference."""

import json

from packed_rows import SEQUENCE
from part_losses import HEADS, head_losses, sequence_losses
from project import GOLDEN
from short_training import figures, run

from mmctr.training.recipe import Recipe


def write(path, losses):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    write(GOLDEN / "training.json", figures(run(Recipe(epochs=5, batch_size=64, learning_rate=3e-3, patience=5))))
    for kind in HEADS:
        write(GOLDEN / "parts" / f"{kind}.json", head_losses(kind))
    for kind in SEQUENCE:
        write(GOLDEN / "parts" / f"{kind}.json", sequence_losses(kind))

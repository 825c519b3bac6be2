"""Write the golden files anew: `python tests/support/regenerate_golden.py`. Review the difference."""

import json

from project import GOLDEN
from short_training import figures, run

from mmctr.training.recipe import Recipe

if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    losses = figures(run(Recipe(epochs=5, batch_size=64, learning_rate=3e-3, patience=5)))
    (GOLDEN / "training.json").write_text(json.dumps(losses, indent=1) + "\n")

"""Write the golden files anew: `python tests/regenerate_golden.py`. Review the difference before you commit it."""

import json

from test_training import GOLDEN, figures, run

from mmctr.recipe import Recipe

if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    losses = figures(run(Recipe(epochs=5, batch_size=64, learning_rate=3e-3, patience=5)))
    GOLDEN.write_text(json.dumps(losses, indent=1) + "\n")

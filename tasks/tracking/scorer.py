"""The model that MLflow serves: rows of the click log in, probabilities out.

MLflow runs this file when it loads the model ("models from code"), beside the modules of `mmctr` that it needs.
Nothing is unpickled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from mmctr.clicks.split import split_from_lists
from mmctr.evaluation.prediction import predict_probabilities
from mmctr.models.checkpoint import load_checkpoint, restore_model

BATCH_SIZE = 8192


class DINScorer(PythonModel):
    """Scores rows with the columns that the model was trained with, as in the test split."""

    def load_context(self, context: Any) -> None:
        """Load the checkpoint that was logged with the model."""
        self.checkpoint = load_checkpoint(Path(context.artifacts["checkpoint"]))
        self.model = restore_model(self.checkpoint)

    def predict(  # the signature is MLflow's
        self,
        context: Any,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> np.ndarray:
        """(rows,) float32 probabilities of a click."""
        split = split_from_lists(
            {str(name): column.tolist() for name, column in model_input.items()},
            table=self.checkpoint.table,
            columns=self.checkpoint.columns,
            encoding=self.checkpoint.row_encoding,
            max_len=self.checkpoint.max_len,
        )
        return predict_probabilities(self.model, split, batch_size=BATCH_SIZE)


set_model(DINScorer())

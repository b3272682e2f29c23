"""The trained model as MLflow serves it: its code is this file, its data safetensors and JSON; nothing is pickled."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from atft_pipeline.model.ensemble import Ensemble
from atft_pipeline.scoring.windows import score_windows
from atft_pipeline.training.checkpoint.model import ModelCard, load_model


class ServedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc, name-defined]
    """Scores the windows of one day; see :data:`atft_pipeline.scoring.windows.Windows`."""

    network: Ensemble
    card: ModelCard

    def load_context(self, context: Any) -> None:
        """Read the model's folder."""
        self.network, self.card = load_model(Path(context.artifacts["model"]))

    # MLflow reads annotations as a schema; the logged signature is the schema.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # noqa: ARG002
        """A row a sample: ``score_{h}``, and ``quantile_{h}_{level}`` of a model that has them."""
        found = score_windows(self.network, model_input)
        columns = {f"score_{h}": found.score[:, place].numpy() for place, h in enumerate(self.card.horizons)}
        if found.quantiles is not None:
            for place, horizon in enumerate(self.card.horizons):
                for number, level in enumerate(self.card.model.heads.quantiles):
                    columns[f"quantile_{horizon}_{level:g}"] = found.quantiles[:, place, number].numpy()
        return pd.DataFrame(columns)


mlflow.models.set_model(ServedModel())

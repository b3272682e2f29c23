"""MLflow sees what training reports, epoch by epoch."""

import math
from collections.abc import Mapping
from typing import Any

import mlflow


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Keep the finite numbers of a record; MLflow takes no others."""
    return {
        name: float(value)
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


class MlflowObserver:
    """Logs each epoch and the run card to the active MLflow run; without a run it does nothing."""

    def on_epoch(self, record: Mapping[str, Any]) -> None:
        """Log one epoch's numbers at its step."""
        if mlflow.active_run() is not None:
            mlflow.log_metrics(numbers(record), step=int(record["epoch"]))

    def on_run_card(self, card: Mapping[str, Any]) -> None:
        """Log the run card as a JSON artifact."""
        if mlflow.active_run() is not None:
            mlflow.log_dict(dict(card), "run_card.json")

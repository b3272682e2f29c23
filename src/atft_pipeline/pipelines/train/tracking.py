"""MLflow sees what training reports, epoch by epoch."""

import math
from collections.abc import Mapping
from typing import Any

import mlflow

from atft_pipeline.config import to_mapping
from atft_pipeline.pipelines.parameters import Params

# Limits of MLflow's store: characters of a parameter, parameters of a request.
LONGEST = 500
BATCH = 100


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Keep the finite numbers of a record; MLflow takes no others."""
    return {
        name: float(value)
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def flatten(name: str, value: Any) -> dict[str, Any]:
    """Give every leaf of nested parameters its dotted name."""
    if isinstance(value, Mapping) and value:
        parts = [flatten(f"{name}.{key}", item) for key, item in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    return {name: value}


def log_parameters(inputs: Mapping[str, Any]) -> None:
    """Log the typed parameters among a node's inputs, one MLflow parameter a value; without a run do nothing."""
    if mlflow.active_run() is None:
        return
    flat: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, Params):
            flat |= flatten(name.removeprefix("params:"), to_mapping(value.root))
    log_flat(flat)


def log_flat(flat: Mapping[str, Any]) -> None:
    """Log values by their dotted names to the active run, within the limits of MLflow's store."""
    items = [(name, str(value)[:LONGEST]) for name, value in flat.items()]
    for first in range(0, len(items), BATCH):
        mlflow.log_params(dict(items[first : first + BATCH]))


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

    def on_page(self, page: str) -> None:
        """Log the run card's page."""
        if mlflow.active_run() is not None:
            mlflow.log_text(page, "run_card.html")

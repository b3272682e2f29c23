"""MLflow sees what training reports, epoch by epoch."""

import math
from collections.abc import Mapping
from typing import Any

import mlflow

from atft_pipeline.config import to_mapping
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.pipelines.tracking import tracked

# Limits of MLflow's store: characters of a parameter, parameters of a request.
LONGEST = 500
BATCH = 100
GROUPS = {
    "val_": "validation",
    "loss": "loss",
    "gradient_norm": "gradients",
    "seconds": "speed",
    "samples_per_second": "speed",
    "data_wait": "speed",
}
"""How the names of a group's numbers begin."""


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Keep the finite numbers of a record, under names that MLflow takes: it takes no plus sign."""
    return {
        name.replace("+", "_and_"): float(value)
        for name, value in record.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def flatten(name: str, value: Any) -> dict[str, Any]:
    """Give every leaf of nested parameters its dotted name."""
    if isinstance(value, Mapping) and value:
        parts = [flatten(f"{name}.{key}", item) for key, item in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    return {name: value}


@tracked
def log_parameters(inputs: Mapping[str, Any]) -> None:
    """Log the parameters among a node's inputs, one MLflow parameter a value; without a run do nothing."""
    flat: dict[str, Any] = {}
    for name, value in inputs.items():
        if name.startswith("params:"):
            flat |= flatten(
                name.removeprefix("params:"), to_mapping(value.root) if isinstance(value, Params) else value
            )
    log_flat(flat)


def log_flat(flat: Mapping[str, Any]) -> None:
    """Log values by their dotted names to the active run, within the limits of MLflow's store."""
    items = [(name, str(value)[:LONGEST]) for name, value in flat.items()]
    for first in range(0, len(items), BATCH):
        mlflow.log_params(dict(items[first : first + BATCH]))


def grouped(name: str) -> str:
    """Name of an epoch's number with the group in which MLflow draws its chart."""
    return next((f"{group}/{name}" for start, group in GROUPS.items() if name.startswith(start)), f"training/{name}")


class MlflowCallback:
    """Logs each epoch and the run card to the active MLflow run; without a run it does nothing.

    Args:
        first_seed: of the first model, whose numbers go by their plain names.
    """

    def __init__(self, first_seed: int) -> None:
        self.first_seed = first_seed

    @tracked
    def on_epoch(self, record: Mapping[str, Any]) -> None:
        """Log one epoch's numbers at its step; those of an ensemble's later models bear their seed."""
        prefix = "" if record["seed"] == self.first_seed else f"seed_{record['seed']}_"
        found = {f"{prefix}{grouped(name)}": value for name, value in numbers(record).items() if name != "seed"}
        mlflow.log_metrics(found, step=int(record["epoch"]))

    @tracked
    def on_restart(self) -> None:
        """Tell that what was logged so far is of an attempt that ran out of memory."""
        mlflow.set_tag("out_of_memory", "began again with smaller batches")

    @tracked
    def on_run_card(self, card: Mapping[str, Any]) -> None:
        """Log the run card as a JSON artifact."""
        mlflow.log_dict(dict(card), "run_card.json")

    @tracked
    def on_page(self, page: str) -> None:
        """Log the run card's page."""
        mlflow.log_text(page, "run_card.html")

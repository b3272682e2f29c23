"""Running sums of an epoch: loss, terms, norms and spreads, kept on the device so that no step waits."""

import math
from typing import Any

import torch
from torch import Tensor

from atft_pipeline.errors import TrainingError
from atft_pipeline.losses.composite import LossResult

Record = dict[str, Any]


class MetricAccumulator:
    """Sums over the days and steps of an epoch.

    Attributes:
        days: days so far.
        steps: optimiser steps so far.
        values: sums over days by name: ``loss``, ``spread``, ``narrow`` and ``term/<name>``.
        norms: sums over steps by name: ``all`` and, of the steps that look closer, ``block/<name>``.
        looks: steps that looked closer.
        weights: weight of each loss term.
    """

    def __init__(self) -> None:
        self.days = 0
        self.steps = 0
        self.looks = 0
        self.values: dict[str, Tensor] = {}
        self.norms: dict[str, Tensor] = {}
        self.weights: dict[str, float] = {}

    def add(self, result: LossResult, days: int) -> None:
        """Add a batch's loss and terms."""
        found = {"loss": result.total, "spread": result.spread, "narrow": result.narrow}
        found |= {f"term/{name}": term.value for name, term in result.terms.items()}
        self.weights |= {name: term.weight for name, term in result.terms.items()}
        for name, value in found.items():
            _accumulate(self.values, name, value.detach() * days)
        self.days += days

    def add_norm(self, norm: Tensor, blocks: dict[str, Tensor] | None = None) -> None:
        """Add a step's gradient norm, and those of the blocks where the step looked closer."""
        _accumulate(self.norms, "all", norm.detach())
        self.steps += 1
        if blocks:
            self.looks += 1
            for name, value in blocks.items():
                _accumulate(self.norms, f"block/{name}", value)

    def refuse_nan(self, epoch: int) -> None:
        """Stop a training whose loss is no number.

        Raises:
            TrainingError: with the epoch.
        """
        total = float(self.values.get("loss", torch.zeros(())))
        if not math.isfinite(total):
            msg = (
                f"epoch {epoch}: the loss is {total}; lower training.optimizer.lr or training.clip_norm. "
                "The last good checkpoint is kept"
            )
            raise TrainingError(msg)

    @property
    def loss(self) -> float:
        """Mean loss so far; waits for the device."""
        return float(self.values["loss"]) / max(self.days, 1) if self.values else math.nan

    def pack(self) -> Record:
        """All sums as plain numbers, for a state on disk or another process."""
        return {
            "days": self.days,
            "steps": self.steps,
            "looks": self.looks,
            "weights": dict(self.weights),
            "values": {name: float(value) for name, value in self.values.items()},
            "norms": {name: float(value) for name, value in self.norms.items()},
        }

    def unpack(self, packed: Record, device: torch.device) -> None:
        """Continue from packed sums."""
        self.days, self.steps, self.looks = packed["days"], packed["steps"], packed["looks"]
        self.weights = dict(packed["weights"])
        self.values = {name: torch.tensor(value, device=device) for name, value in packed["values"].items()}
        self.norms = {name: torch.tensor(value, device=device) for name, value in packed["norms"].items()}

    def gather(self, packed: list[Record]) -> None:
        """Take the sums of all processes together; every process makes the same steps."""
        self.days = sum(part["days"] for part in packed)
        self.weights = {name: weight for part in packed for name, weight in part["weights"].items()}
        names = {name for part in packed for name in part["values"]}
        self.values = {name: torch.tensor(sum(part["values"].get(name, 0.0) for part in packed)) for name in names}

    def terms(self) -> dict[str, dict[str, float]]:
        """Each term's mean, its weight and their product."""
        days = max(self.days, 1)
        means = {name: float(self.values[f"term/{name}"]) / days for name in self.weights}
        return {
            name: {"value": mean, "weight": self.weights[name], "weighted": mean * self.weights[name]}
            for name, mean in means.items()
        }

    def means(self) -> Record:
        """Means over the days of the epoch, and of the gradient norms over their steps."""
        days = max(self.days, 1)
        numbers: Record = {
            "loss": self.loss,
            "train_score_spread": float(self.values.get("spread", math.nan)) / days,
            "share_of_narrow_days": float(self.values.get("narrow", math.nan)) / days,
            "gradient_norm": float(self.norms.get("all", math.nan)) / max(self.steps, 1),
        }
        for name, value in self.norms.items():
            if name.startswith("block/"):
                numbers[f"gradient_norm_{name.removeprefix('block/')}"] = float(value) / max(self.looks, 1)
        for name, term in self.terms().items():
            numbers |= {f"loss_{name}": term["value"], f"loss_{name}_weighted": term["weighted"]}
        return numbers


def _accumulate(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value

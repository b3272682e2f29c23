"""What is trained, and on which data: the objects that every training, fold, trial and benchmark is given whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from atft_pipeline.config import config
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.splits.split import Split
from atft_pipeline.training.config import RuntimeConfig, TargetsConfig, TrainingConfig

if TYPE_CHECKING:  # parameters are read without loading torch
    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.day_graphs import NeighborSource
    from atft_pipeline.panel.panel import Panel
    from atft_pipeline.panel.resident import ResidentPanel


@config
class Experiment:
    """All parameters of a training; each field is a group of the configuration.

    Attributes:
        targets: what model and baselines learn.
        batches: windows, sample rules and batch shapes.
        model: the model.
        loss: the loss.
        training: phases, optimiser, schedule.
        runtime: device, precision, compilation, number of devices.
        residency: where the panel lies in memory.
    """

    targets: TargetsConfig = TargetsConfig()
    batches: BatchConfig = BatchConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    residency: ResidencyConfig = ResidencyConfig()

    def with_batch_size(self, size: int, accumulation: int | None = None) -> Experiment:
        """The same experiment with another batch size and, where it is given, another accumulation."""
        training = self.training if accumulation is None else replace(self.training, accumulation=accumulation)
        return replace(self, batches=replace(self.batches, batch_size=size), training=training)


@dataclass(frozen=True)
class MarketData:
    """What is learned from and scored.

    Attributes:
        panel: features and labels.
        graphs: monthly graphs of the same panel, ``None`` for a model without graph.
        resident: the panel in memory where it is loaded already, as folds and trials share it.
    """

    panel: Panel
    graphs: MonthlyGraphs | None = None
    resident: ResidentPanel | None = None

    @cached_property
    def aligned(self) -> NeighborSource | None:
        """The graphs, each day of the panel with that of its month."""
        return self.graphs.align(self.panel.dates) if self.graphs is not None else None

    @property
    def graphs_fingerprint(self) -> str:
        """Fingerprint of the graphs, empty without."""
        return self.graphs.meta.fingerprint if self.graphs is not None else ""


@dataclass(frozen=True)
class TrainingRun:
    """One training, as it is handed to the processes that are started for it.

    Attributes:
        experiment: what is to be trained.
        data: panel, graphs, and the panel in memory where it is loaded already.
        split: days of training and validation.
        checkpoint_dir: states and best weights of this run.
        initial: model folder whose weights training starts from; ``None`` = fresh ones.
        halvings: how often the batches are halved because memory ran out before.
    """

    experiment: Experiment
    data: MarketData
    split: Split
    checkpoint_dir: Path
    initial: Path | None = None
    halvings: int = 0

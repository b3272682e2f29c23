"""Small trainings for the tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import EncoderConfig, GraphAttentionConfig, ModelConfig, SelectionConfig
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.splits.split import SplitConfig, single_split
from atft_pipeline.training.config import OptimizerConfig, RuntimeConfig, TargetsConfig, TrainingConfig
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.loop import TrainingResult, fit
from tests.panel.market import make_panel

MODEL = ModelConfig(
    width=8,
    selection=SelectionConfig(hidden=8),
    encoder=EncoderConfig(heads=2),
    graph=GraphAttentionConfig(layers=1, heads=2),
)
BATCHES = BatchConfig(window=5, batch_size=64, min_history=2, min_listings=3)
SPLIT = SplitConfig(validation_share=0.2, test_share=0.2, embargo=2)
TRAINING: dict[str, Any] = {"epochs": 3, "optimizer": OptimizerConfig(lr=1e-2)}


def market(folder: Path, *, signal: float = 1.0, days: int = 120, listings: int = 30) -> tuple[Panel, MonthlyGraphs]:
    """A panel whose labels follow its first feature, and graphs of random returns."""
    panel = make_panel(folder, signal=signal, days=days, listings=listings)
    returns = np.random.default_rng(1).standard_normal((days, listings)).astype(np.float32)
    config = GraphConfig(k=3, window=20, min_observations=10, threshold=0.0, min_sector_neighbours=1)
    path = folder / "graphs.arrow"
    build_graphs(
        returns, panel.dates, panel.listings, panel.sector, panel.market, config, panel.meta.index_fingerprint, path, {}
    )
    return panel, MonthlyGraphs.open(path)


def run(
    panel: Panel,
    graphs: MonthlyGraphs | None,
    folder: Path,
    *,
    model: ModelConfig = MODEL,
    loss: LossConfig | None = None,
    targets: TargetsConfig = TargetsConfig(),  # noqa: B008  frozen
    batches: BatchConfig = BATCHES,
    runtime: RuntimeConfig | None = None,
    callback: Any = None,
    resident: ResidentPanel | None = None,
    initial: Path | None = None,
    interrupt: Callable[[], None] | None = None,
    **training: Any,
) -> TrainingResult:
    experiment = Experiment(
        targets=targets,
        batches=batches,
        model=model,
        loss=loss or LossConfig(),
        training=TrainingConfig(**(TRAINING | training)),
        runtime=runtime or RuntimeConfig(device="cpu"),
    )
    split = single_split(panel.dates, SPLIT, panel.meta.label_span)
    data = MarketData(panel, graphs, resident)
    return fit(experiment, data, split, folder, callback=callback, initial=initial, interrupt=interrupt)


def weights(result: TrainingResult) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(result.checkpoint / "model.safetensors")

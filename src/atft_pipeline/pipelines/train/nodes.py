"""Node of the stage ``train``."""

from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.config import require
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.composite import LossConfig
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.batches import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig
from atft_pipeline.panel.splits import SplitConfig, single_split
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.pipelines.train.tracking import MlflowObserver
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig
from atft_pipeline.training.loop import train


def train_model(
    panel: Panel,
    graphs: MonthlyGraphs,
    checkpoints: Path,
    split: Params[SplitConfig],
    batches: Params[BatchConfig],
    residency: Params[ResidencyConfig],
    model: Params[ModelConfig],
    loss: Params[LossConfig],
    training: Params[TrainingConfig],
    runtime: Params[RuntimeConfig],
    tuned: Path | None,
) -> tuple[Path, pl.DataFrame, dict[str, Any]]:
    """Train; return the best checkpoint's folder, the history and the run card.

    ``tuned`` is the file of a winner whose parameters are among the others already; as an input it is in the lineage.

    Raises:
        ConfigError: ``training.from_study`` was not given on the command line.
    """
    require(
        training.root.from_study is None or tuned is not None,
        "training.from_study: give it on the command line, as in kedro run --params training.from_study=best",
    )
    result = train(
        panel,
        graphs,
        single_split(panel.dates, split.root, panel.meta.label_span),
        model.root,
        loss.root,
        training.root,
        batches.root,
        residency.root,
        runtime.root,
        checkpoint_dir=checkpoints,
        observer=MlflowObserver(),
    )
    return result.checkpoint, pl.DataFrame(result.history, infer_schema_length=None), result.run_card

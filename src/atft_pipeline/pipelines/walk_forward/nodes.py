"""Nodes of the stage ``walk_forward``."""

from pathlib import Path
from typing import Any

import mlflow
import polars as pl

from atft_pipeline.config import to_mapping
from atft_pipeline.evaluation.characteristics import characteristics_of
from atft_pipeline.evaluation.evaluate import EvaluationConfig, Extras, evaluate
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.evaluation.market import market_of
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.composite import LossConfig
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.batches import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.pipelines.tracking import tracked
from atft_pipeline.pipelines.train.tracking import numbers
from atft_pipeline.scoring.fold_store import FoldRecord
from atft_pipeline.scoring.folds import FoldSettings, as_rows, rank_ics, run_folds
from atft_pipeline.splits.config import WalkForwardConfig
from atft_pipeline.splits.split import SplitConfig, single_split
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig


class MlflowFolds:
    """Logs each fold's RankIC at the step of its number to the active MLflow run; without a run it does nothing."""

    @tracked
    def on_fold(self, record: FoldRecord) -> None:
        """Log one fold."""
        found = {
            f"fold_rank_ic_{horizon}_{name}": value["mean"]
            for horizon, scores in record.rank_ic.items()
            for name, value in scores.items()
        }
        mlflow.log_metrics(numbers(found), step=record.fold)


def train_folds(
    panel: Panel,
    graphs: MonthlyGraphs,
    folder: Path,
    oracle: Path | None,
    config: Params[WalkForwardConfig],
    split: Params[SplitConfig],
    batches: Params[BatchConfig],
    residency: Params[ResidencyConfig],
    model: Params[ModelConfig],
    loss: Params[LossConfig],
    training: Params[TrainingConfig],
    runtime: Params[RuntimeConfig],
    evaluation: Params[EvaluationConfig],
) -> tuple[pl.DataFrame, list[Any]]:
    """Train and score the folds; return the stitched predictions and one record a fold."""
    span = panel.meta.label_span
    scheme = config.root.choose(panel.dates, single_split(panel.dates, split.root, span).test)
    settings = FoldSettings(
        model=model.root,
        loss=loss.root,
        training=training.root,
        batches=batches.root,
        residency=residency.root,
        runtime=runtime.root,
        evaluation=evaluation.root,
    )
    predictions, records = run_folds(
        panel,
        graphs,
        scheme.folds(panel.dates, span),
        settings,
        folder,
        warm_start=config.root.warm_start,
        callback=MlflowFolds(),
    )
    if oracle is not None:
        known = pl.read_parquet(oracle)
        predictions = predictions.join(known, on=["Date", "Code"], how="left", maintain_order="left", validate="m:1")
    return predictions, as_rows(records)


def evaluate_folds(
    predictions: pl.DataFrame,
    folds: list[dict[str, Any]],
    prices: pl.DataFrame,
    panel: Panel,
    config: Params[EvaluationConfig],
) -> dict[str, Any]:
    """Evaluate the stitched predictions; of several paths the first in full, of the others the RankIC."""
    paths = predictions.partition_by("path", maintain_order=True, include_key=False)
    grid = Grid.of(paths[0])
    extras = Extras(
        market=market_of(prices, grid.days, grid.listings),
        characteristics=characteristics_of(panel, grid),
        label=panel.meta.label,
    )
    metrics = evaluate(paths[0].drop("fold"), config.root, extras).metrics
    return {
        **metrics,
        "config": to_mapping(config.root),
        "folds": folds,
        "paths": [rank_ics(path.drop("fold"), config.root.min_listings) for path in paths],
    }

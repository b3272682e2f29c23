"""Nodes of the stage ``walk_forward``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.config import to_mapping
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.splits.config import WalkForwardConfig
from atft_pipeline.splits.split import SplitConfig
from atft_pipeline.training.experiment import Experiment, MarketData

if TYPE_CHECKING:
    import polars as pl

    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


@configured
def train_folds(
    panel: Panel,
    graphs: MonthlyGraphs,
    folder: Path,
    oracle: Path | None,
    walk_forward: WalkForwardConfig,
    split: SplitConfig,
    experiment: Experiment,
    evaluation: EvaluationConfig,
) -> tuple[pl.DataFrame, list[Any]]:
    """Train and score the folds; return the stitched predictions and one record a fold."""
    from atft_pipeline.pipelines.walk_forward.tracking import MlflowFolds
    from atft_pipeline.scoring.folds import as_rows, run_folds
    from atft_pipeline.scoring.scorer import with_oracle
    from atft_pipeline.splits.split import single_split

    span = panel.meta.label_span
    scheme = walk_forward.choose(panel.dates, single_split(panel.dates, split, span))
    predictions, records = run_folds(
        experiment,
        MarketData(panel, graphs),
        scheme.folds(panel.dates, span),
        evaluation,
        folder,
        warm_start=walk_forward.warm_start,
        callback=MlflowFolds(),
    )
    return with_oracle(predictions, oracle), as_rows(records)


@configured
def evaluate_folds(
    predictions: pl.DataFrame,
    folds: list[dict[str, Any]],
    prices: pl.DataFrame,
    panel: Panel,
    evaluation: EvaluationConfig,
) -> dict[str, Any]:
    """Evaluate the stitched predictions; of several paths the first in full, of the others the RankIC."""
    from atft_pipeline.evaluation.characteristics import characteristics_of
    from atft_pipeline.evaluation.evaluate import Extras, evaluate
    from atft_pipeline.evaluation.grid import Grid, horizons_of
    from atft_pipeline.evaluation.market import market_of
    from atft_pipeline.scoring.folds import rank_ics

    paths = predictions.partition_by("path", maintain_order=True, include_key=False)
    grid = Grid.of(paths[0])
    extras = Extras(
        market=market_of(prices, grid.days, grid.listings, horizons_of(paths[0])[-1]),
        characteristics=characteristics_of(panel, grid),
        label=panel.meta.label,
    )
    metrics = evaluate(paths[0].drop("fold"), evaluation, extras).metrics
    return {
        **metrics,
        "config": to_mapping(evaluation),
        "folds": folds,
        "paths": [rank_ics(path.drop("fold"), evaluation.min_listings) for path in paths],
    }

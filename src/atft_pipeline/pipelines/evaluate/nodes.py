"""Nodes of the stage ``evaluate``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.config import to_mapping
from atft_pipeline.errors import ArtifactError
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.lineage import hash_file
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.splits.split import SplitConfig
from atft_pipeline.training.config import RuntimeConfig, TargetsConfig
from atft_pipeline.training.experiment import MarketData

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


REFERENCE_DAYS = 20
EXPLAINED_DAYS = 20
# Figures of the evaluation that kedro-viz shows; the page has all.
SHOWN = ("cumulative_rank_ic", "decile_returns", "paired_differences", "backtests", "rank_ic_by_slice")


@configured
def score_test(
    model: Path,
    panel: Panel,
    graphs: MonthlyGraphs,
    prices: pl.DataFrame,
    split: SplitConfig,
    residency: ResidencyConfig,
    runtime: RuntimeConfig,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Score the test days, a few training days to compare with, and what is no stock on the test days.

    Returns:
        Date, Listing, ``score_{h}``, quantiles, ``return_{h}``, ``target_{h}`` and the hash of the ``model`` on the
        test days; Date, Listing and ``score_{h}`` of training days; Date, Listing, ``score_{h}`` and ``return_{h}`` of
        what is no stock.

    Raises:
        ArtifactError: model, panel and graphs do not belong together, or the model was trained on test days.
    """
    import polars as pl

    from atft_pipeline.scoring.others import score_others
    from atft_pipeline.scoring.scorer import Scorer
    from atft_pipeline.splits.split import single_split
    from atft_pipeline.training.checkpoint.model import MODEL_TENSORS
    from atft_pipeline.training.checkpoint.origin import check_test_days

    scorer = Scorer.open(model, MarketData(panel, graphs), runtime, residency)
    days = single_split(panel.dates, split, panel.meta.label_span)
    check_test_days(scorer.card.origin, panel, days.test)
    # The first days have no whole window; the others are spread over the training.
    sample = [day for day in spread(days.train, REFERENCE_DAYS) if day >= scorer.card.batches.window - 1]
    reference = scorer.frame(sample, quantiles=False)
    made_by = pl.lit(hash_file(model / MODEL_TENSORS)).alias("model")
    others = score_others(scorer, prices, days.test)
    return scorer.frame(days.test, ["return", "target"]).with_columns(made_by), reference, others


@configured
def explain_model(
    model: Path, panel: Panel, graphs: MonthlyGraphs, split: SplitConfig, runtime: RuntimeConfig
) -> tuple[dict[str, Any], go.Figure, go.Figure]:
    """What the model looks at on test days spread over the split: features, lags, neighbours; and two figures.

    Raises:
        ArtifactError: model, panel and graphs do not belong together, or the model was trained on test days.
    """
    from atft_pipeline.reporting.evaluation_figures import importance, lag_attention
    from atft_pipeline.scoring.scorer import Scorer
    from atft_pipeline.splits.split import single_split
    from atft_pipeline.training.checkpoint.origin import check_test_days

    scorer = Scorer.open(model, MarketData(panel, graphs), runtime)
    days = single_split(panel.dates, split, panel.meta.label_span).test
    check_test_days(scorer.card.origin, panel, days)
    found = scorer.explain(spread(days, EXPLAINED_DAYS))
    features = importance(found["features"], found["features_sd"])
    return found, features, lag_attention(found["lags"], found["lags_sd"])


def spread(days: Sequence[int], count: int) -> list[int]:
    """At most so many of the days, evenly spaced from the first to the last."""
    import numpy as np

    places = np.linspace(0, len(days) - 1, min(count, len(days))).round().astype(int)
    return [days[place] for place in places]


@configured
def score_baselines(
    panel: Panel, split: SplitConfig, batches: BatchConfig, targets: TargetsConfig, evaluation: EvaluationConfig
) -> tuple[pl.DataFrame, dict[str, Any], dict[str, Any]]:
    """Fit ridge and LightGBM on the model's rows, days and targets; score the test days.

    Returns:
        Date, Listing, ``ridge_{h}``, and ``lightgbm_{h}`` and ``ridge+lightgbm_{h}`` unless LightGBM is switched off;
        how they were fitted, with the validation RankIC of each baseline and the best of them; and what they are, for
        later predictions.
    """
    from atft_pipeline.baselines.frames import Rows, fit_baselines
    from atft_pipeline.baselines.saved import to_document
    from atft_pipeline.panel.resident import ResidentPanel
    from atft_pipeline.scoring.scorer import STREAMED
    from atft_pipeline.splits.split import single_split

    days = single_split(panel.dates, split, panel.meta.label_span)
    rows = Rows(ResidentPanel.load(panel, STREAMED), days, batches, targets)
    fitted = fit_baselines(rows, evaluation.lightgbm)
    return fitted.frame(rows.parts[2]), fitted.card, to_document(fitted, panel, days)


@configured
def collect_scores(
    model_scores: pl.DataFrame, baseline_scores: pl.DataFrame, panel: Panel, oracle: Path | None
) -> pl.DataFrame:
    """Put the model's, the baselines' and, where it is known, the oracle's scores side by side on the same rows."""
    from atft_pipeline.scoring.scorer import listing_details, side_by_side, with_oracle

    table = side_by_side(model_scores, baseline_scores)
    details = listing_details(panel)
    table = table.join(details, on="Listing", how="left", maintain_order="left", validate="m:1")
    return with_oracle(table, oracle)


@configured
def evaluate_scores(
    predictions: pl.DataFrame,
    prices: pl.DataFrame,
    reference: pl.DataFrame,
    others: pl.DataFrame,
    baselines: dict[str, Any],
    panel: Panel,
    model: Path,
    trials: Path | None,
    evaluation: EvaluationConfig,
) -> tuple[dict[str, Any], dict[str, go.Figure]]:
    """Metrics with their errors, bound to the run and the model that made them, and all figures.

    Raises:
        ArtifactError: the predictions are not of this model.
    """
    import polars as pl

    from atft_pipeline.evaluation.characteristics import characteristics_of
    from atft_pipeline.evaluation.evaluate import Extras, evaluate
    from atft_pipeline.evaluation.grid import Grid, horizons_of
    from atft_pipeline.evaluation.market import market_of
    from atft_pipeline.pipelines.evaluate.tracking import run_id
    from atft_pipeline.reporting.evaluation_figures import all_figures
    from atft_pipeline.training.checkpoint.model import MODEL_TENSORS, load_model

    model_hash = hash_file(model / MODEL_TENSORS)
    if predictions["model"].unique().to_list() != [model_hash]:
        msg = f"the predictions were not made by {model}; score the test days with: kedro run --pipeline=evaluate"
        raise ArtifactError(msg)
    grid = Grid.of(predictions)
    _, card = load_model(model)
    extras = Extras(
        market=market_of(prices, grid.days, grid.listings, horizons_of(predictions)[-1]),
        characteristics=characteristics_of(panel, grid),
        label=panel.meta.label,
        reference=reference,
        others=others,
        # A model that no search chose is not the best of the trials of one.
        trials=pl.read_parquet(trials) if trials is not None and card.members[0].training.get("from_study") else None,
        baselines=baselines,
    )
    result = evaluate(predictions, evaluation, extras)
    seeds = [member.training.get("seed") for member in card.members]
    run = {"id": run_id(), "model": model_hash, "panel": panel.meta.fingerprint, "seeds": seeds}
    return {**result.metrics, "run": run, "config": to_mapping(evaluation)}, all_figures(result)


@configured
def publish(
    metrics: dict[str, Any], figures: dict[str, go.Figure], explanation: dict[str, Any]
) -> dict[str, str | go.Figure]:
    """``page``, also in MLflow beside the headline numbers; and by name the figures that kedro-viz shows."""
    from atft_pipeline.pipelines.evaluate.tracking import log_evaluation
    from atft_pipeline.reporting.evaluation_page import report_page

    page = report_page(metrics, figures, explanation)
    log_evaluation(metrics, figures, page)
    return {"page": page, **{name: figures[name] for name in SHOWN}}

"""From a prediction table to metrics with their errors, a daily table and figures."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from atft_pipeline.config import config, require
from atft_pipeline.evaluation.baselines import RidgeConfig
from atft_pipeline.evaluation.daily import METRICS, DailyMetrics, daily_metrics
from atft_pipeline.evaluation.figures import cumulative_rank_ic, decile_returns
from atft_pipeline.evaluation.grid import Grid, horizons_of, score_columns
from atft_pipeline.evaluation.metrics import common, correlation_rows, rank_rows
from atft_pipeline.evaluation.significance import Estimate, estimate, hac_lag, information_ratio, ratio_of_means


@config
class EvaluationConfig:
    """What is measured.

    Attributes:
        deciles: score buckets of each day.
        min_listings: days with fewer scored and labelled listings are left undefined.
        styles: columns of the prediction table that describe listings and are no scores.
        ridge: penalties of the linear baseline.
    """

    deciles: int = 10
    min_listings: int = 20
    styles: tuple[str, ...] = ("beta", "volatility", "dollar_volume", "momentum", "size")
    ridge: RidgeConfig = RidgeConfig()

    def __post_init__(self) -> None:
        require(self.deciles >= 2, f"deciles must be at least 2, got {self.deciles}")
        require(
            self.min_listings >= self.deciles,
            f"min_listings must be at least deciles ({self.deciles}), got {self.min_listings}",
        )


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`.

    Attributes:
        metrics: plain JSON; undefined numbers are None. Every estimate carries its standard error.
        daily: one row for each day, horizon and score.
        figures: Plotly figures by name.
    """

    metrics: dict[str, Any]
    daily: pl.DataFrame
    figures: dict[str, go.Figure]


def evaluate(predictions: pl.DataFrame, settings: EvaluationConfig) -> Evaluation:
    """Measure every score of a prediction table at every horizon.

    Args:
        predictions: Date, Listing, and for each horizon h ``score_h`` (the model), ``return_h`` (realised, null until
            known) and any further scores named ``<name>_h``; an ``oracle_h`` gives the share of what could be known.
        settings: what is measured.

    Raises:
        DataError: a column is missing, the table is empty, or a listing appears twice on a day.
    """
    horizons = horizons_of(predictions)
    grid = Grid.of(predictions)
    report: dict[str, Any] = {
        "rows": predictions.height,
        "days": len(grid.days),
        "listings": len(grid.listings),
        "first": str(grid.days[0]),
        "last": str(grid.days[-1]),
        "horizons": {},
    }
    frames: list[pl.DataFrame] = []
    for horizon in horizons:
        returns = grid.spread(predictions[f"return_{horizon}"])
        daily = {
            name: daily_metrics(
                grid.spread(predictions[column]), returns, horizon, settings.deciles, settings.min_listings
            )
            for name, column in score_columns(predictions, horizon, settings.styles).items()
        }
        report["horizons"][str(horizon)] = _horizon_report(daily, horizon, settings.min_listings)
        frames += [metrics.frame(grid.days, horizon, name) for name, metrics in daily.items()]
    daily_table = pl.concat(frames)
    figures = {
        "cumulative_rank_ic": cumulative_rank_ic(daily_table, horizons[0]),
        "decile_returns": decile_returns(report, horizons[0]),
    }
    return Evaluation(report, daily_table, figures)


def _horizon_report(daily: dict[str, DailyMetrics], horizon: int, min_listings: int) -> dict[str, Any]:
    """Summarise all scores of a horizon and compare the model with the others."""
    model = daily["model"]
    defined = int(np.isfinite(model.values["rank_ic"]).sum())
    report: dict[str, Any] = {
        "hac_lag": hac_lag(horizon, defined),
        "scores": {name: _score_report(metrics, horizon) for name, metrics in daily.items()},
        "paired": {
            name: _paired(model, other, horizon, min_listings) for name, other in daily.items() if name != "model"
        },
    }
    if "oracle" in daily:
        share = ratio_of_means(model.values["rank_ic"], daily["oracle"].values["rank_ic"], horizon)
        report["share_of_oracle"] = {"value": number(share.mean), "se": number(share.se)}
    return report


def _score_report(daily: DailyMetrics, horizon: int) -> dict[str, Any]:
    """Means of the daily metrics of a score, each with its error."""
    report: dict[str, Any] = {name: as_json(estimate(daily.values[name], horizon)) for name in METRICS}
    rank_ic = daily.values["rank_ic"]
    ratio = information_ratio(rank_ic, horizon)
    report["icir"] = {"value": number(ratio.mean), "se": number(ratio.se)}
    positive = np.where(np.isfinite(rank_ic), rank_ic > 0, np.nan)
    report["positive_days"] = as_json(estimate(positive, horizon))
    report["decile_returns"] = [as_json(estimate(bucket, horizon)) for bucket in daily.decile_returns.T]
    return report


def _paired(model: DailyMetrics, other: DailyMetrics, horizon: int, min_listings: int) -> dict[str, Any]:
    """Mean daily RankIC difference of the model to another score, on the listings and days that both scored."""
    same = np.array_equal(np.isfinite(model.scores), np.isfinite(other.scores))
    if same:
        difference = model.values["rank_ic"] - other.values["rank_ic"]
    else:
        left, right = common(model.scores, other.scores, min_listings)
        returns = rank_rows(np.where(np.isfinite(left), model.returns, np.nan))
        difference = correlation_rows(rank_rows(left), returns) - correlation_rows(rank_rows(right), returns)
    result = estimate(difference, horizon)
    return {
        "rank_ic_difference": number(result.mean),
        "se": number(result.se),
        "t": number(result.t),
        "n_days": result.n_days,
    }


def as_json(value: Estimate) -> dict[str, Any]:
    """An estimate as plain JSON."""
    return {"mean": number(value.mean), "se": number(value.se), "t": number(value.t), "n_days": value.n_days}


def number(value: float) -> float | None:
    """A float that JSON can hold: None for NaN and infinities."""
    return float(value) if math.isfinite(value) else None

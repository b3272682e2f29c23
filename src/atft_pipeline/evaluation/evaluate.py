"""From a prediction table to metrics with their errors, a daily table and the paths of the portfolios."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.evaluation.grid import Dates, fingerprint
from atft_pipeline.evaluation.horizon import evaluate_horizon
from atft_pipeline.evaluation.inputs import Extras, Inputs
from atft_pipeline.evaluation.portfolio.backtest import Backtest
from atft_pipeline.stats.overfitting import GROUPS, overfitting_probability
from atft_pipeline.stats.report import Report, mean_report

__all__ = ["Evaluation", "EvaluationConfig", "Extras", "evaluate"]


@dataclass(frozen=True)
class Evaluation:
    """Result of :func:`evaluate`.

    Attributes:
        metrics: plain JSON; undefined numbers are None. Every estimate carries its standard error or an interval.
        daily: one row for each day, horizon and score.
        sessions: axis of the backtests [T].
        backtests: the model's plausible portfolios at the headline horizon, by kind.
    """

    metrics: dict[str, Any]
    daily: pl.DataFrame
    sessions: Dates
    backtests: dict[str, Backtest]


def evaluate(predictions: pl.DataFrame, settings: EvaluationConfig, extras: Extras | None = None) -> Evaluation:
    """Measure every score of a prediction table at every horizon.

    Args:
        predictions: Date, Listing, and for each horizon h ``score_h`` (the model), ``return_h`` (realised, null until
            known) and any further scores named ``<name>_h``; an ``oracle_h`` gives the share of what could be known.
        settings: what is measured.
        extras: prices, features, training scores and the like.

    Raises:
        DataError: a column is missing, the table is empty, a listing appears twice on a day, no day has enough scored
            listings, a return is impossible, or the headline horizon is not there.
    """
    inputs = Inputs.of(predictions, settings, extras or Extras())
    grid, headline, trading = inputs.grid, _headline(inputs), _trading(inputs)
    results = {horizon: evaluate_horizon(inputs, horizon) for horizon in inputs.horizons}
    metrics: Report = {
        "rows": predictions.height,
        "days": len(grid.days),
        "listings": len(grid.listings),
        "first": str(grid.days[0]),
        "last": str(grid.days[-1]),
        "label": inputs.extras.label,
        "headline": headline,
        "predictions": fingerprint(predictions),
        "absent_features": inputs.extras.characteristics.absent,
        "baselines": inputs.extras.baselines,
        "trading": trading,
        "total_returns": None if inputs.extras.market is None else inputs.extras.market.total_returns,
        "trials": _overfitting(inputs),
        "horizons": {str(horizon): result.report for horizon, result in results.items()},
    }
    frames = [
        daily.frame(grid.days, horizon, name)
        for horizon, result in results.items()
        for name, daily in result.daily.items()
    ]
    return Evaluation(metrics, pl.concat(frames), inputs.sessions, results[headline].backtests)


def _headline(inputs: Inputs) -> int:
    """Horizon of the conclusions.

    Raises:
        DataError: the one that was asked for is not there.
    """
    wanted, horizons = inputs.settings.headline, inputs.horizons
    if wanted is None:
        return 5 if 5 in horizons else horizons[0]
    if wanted not in horizons:
        raise DataError(f"headline {wanted}: the predictions have the horizons {', '.join(map(str, horizons))}")
    return wanted


def _trading(inputs: Inputs) -> Report:
    """When the portfolios enter and why not at the next open, and the spreads that they pay.

    Raises:
        DataError: the next open was asked for and the prices have none.
    """
    market, spread = inputs.extras.market, inputs.half_spread
    report: Report = {
        "execution": inputs.execution,
        "no_opens": "no prices are known" if market is None else market.no_opens,
        "most_traded": inputs.settings.universe,
        "half_spread_bp": None,
    }
    if spread is not None:
        known = np.isfinite(spread[inputs.rows]) & inputs.scored
        middle = [
            np.median(row[here]) if here.any() else np.nan for row, here in zip(spread[inputs.rows], known, strict=True)
        ]
        report["half_spread_bp"] = mean_report(1e4 * np.array(middle), 1)
    return report


def _overfitting(inputs: Inputs) -> Report:
    """What the number of trials means; the probability of overfitting where their returns are known."""
    trials, count = inputs.trials, inputs.trial_count
    if trials is None or count < 2 or len(trials) < 2 * GROUPS:
        return {"count": count, "probability_of_overfitting": None}
    result = overfitting_probability(trials)
    return {
        "count": count,
        "probability_of_overfitting": {"value": result.probability, "se": result.se},
        "probability_of_loss": result.loss_probability,
        "combinations": result.combinations,
    }

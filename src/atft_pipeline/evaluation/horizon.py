"""Everything that is measured at one horizon."""

from dataclasses import dataclass

import numpy as np

from atft_pipeline.evaluation.config import BASELINES
from atft_pipeline.evaluation.daily import DailyMetrics, Outcome, daily_metrics
from atft_pipeline.evaluation.drift import score_drift
from atft_pipeline.evaluation.inputs import Inputs
from atft_pipeline.evaluation.plausibility import check_returns, extreme_returns
from atft_pipeline.evaluation.portfolio.backtest import Backtest
from atft_pipeline.evaluation.portfolio.report import portfolios_report
from atft_pipeline.evaluation.quantiles import quantile_days
from atft_pipeline.evaluation.scores import scores_of
from atft_pipeline.evaluation.slice_report import rank_ic_by_slice, rank_ic_of_others
from atft_pipeline.evaluation.summary import paired_difference, paired_report, score_report, share_report
from atft_pipeline.evaluation.timings import rank_ic_by_timing
from atft_pipeline.stats.report import Report, mean_report
from atft_pipeline.stats.significance import hac_lag


@dataclass(frozen=True)
class HorizonResult:
    """Result of :func:`evaluate_horizon`.

    Attributes:
        report: plain JSON.
        daily: daily metrics of each score by name.
        backtests: the model's plausible portfolios by kind.
    """

    report: Report
    daily: dict[str, DailyMetrics]
    backtests: dict[str, Backtest]


def evaluate_horizon(inputs: Inputs, horizon: int) -> HorizonResult:
    """Measure every score at a horizon.

    Raises:
        DataError: a return is impossible.
    """
    settings, bootstrap = inputs.settings, inputs.bootstrap
    returns = inputs.grid.to_days(inputs.table[f"return_{horizon}"])
    check_returns(inputs.grid, returns, horizon)
    outcome = Outcome(returns, horizon)
    daily = {
        name: daily_metrics(score, outcome, settings.deciles, settings.min_listings, settings.top_k)
        for name, score in scores_of(inputs, horizon).items()
    }
    model = daily["model"]
    less = {
        name: paired_difference(model, other, settings.min_listings) for name, other in daily.items() if name != "model"
    }
    # What the mean of both rankings has more than the other score alone.
    incremental = {
        name: paired_difference(daily[f"model+{name}"], daily[name], settings.min_listings)
        for name in daily
        if f"model+{name}" in daily
    }
    benchmark = inputs.benchmark(horizon, daily)
    if benchmark not in daily:
        benchmark = None
    traded = [name for name in dict.fromkeys(("model", *BASELINES, benchmark)) if name is not None and name in daily]
    ranks = {name: inputs.on_sessions(daily[name].all_ranks) for name in traded}
    portfolios, backtests = portfolios_report(inputs, horizon, ranks)
    report: Report = {
        "hac_lag": hac_lag(horizon, int(np.isfinite(model.values["rank_ic"]).sum())),
        "scores": {name: score_report(metrics, horizon, bootstrap) for name, metrics in daily.items()},
        "paired": {name: paired_report(series, horizon, bootstrap) for name, series in less.items()},
        "incremental_ic": {name: paired_report(series, horizon, bootstrap) for name, series in incremental.items()},
        "timings": rank_ic_by_timing(inputs, horizon, daily, benchmark),
        "portfolios": portfolios,
        "benchmark": benchmark,
        "slices": rank_ic_by_slice(
            model,
            None if benchmark is None else daily[benchmark],
            None if benchmark is None else less[benchmark],
            inputs.slices,
            horizon,
        )
        | rank_ic_of_others(inputs.extras.others, horizon),
        "quantiles": _quantiles(inputs, horizon),
        "drift": score_drift(inputs.table, horizon, inputs.extras.reference),
        "largest_returns": extreme_returns(inputs.grid, returns),
    }
    if "oracle" in daily:
        oracle = daily["oracle"].values["rank_ic"]
        report["share_of_oracle"] = share_report(model.values["rank_ic"], oracle, horizon, bootstrap)
    return HorizonResult(report, daily, backtests)


def _quantiles(inputs: Inputs, horizon: int) -> Report | None:
    """Calibration of each level and the score of the quantiles against constant ones."""
    days = quantile_days(inputs.table, inputs.grid, horizon)
    if days is None:
        return None
    bootstrap = inputs.bootstrap
    return {
        "levels": [
            {"level": level, "below": mean_report(below, horizon, bootstrap)}
            for level, below in zip(days.levels, days.below.T, strict=True)
        ],
        "crps": mean_report(days.crps, horizon, bootstrap),
        "reference": mean_report(days.reference, horizon, bootstrap),
        "skill": share_report(days.reference - days.crps, days.reference, horizon, bootstrap),
        "crossed": days.crossed,
    }

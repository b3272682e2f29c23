"""All daily metrics of one score at one horizon."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from atft_pipeline.evaluation.grid import Dates, Floats
from atft_pipeline.evaluation.metrics import (
    autocorrelation_rows,
    bucket_means,
    bucket_rows,
    common,
    correlation_rows,
    hit_rate_rows,
    monotonicity_rows,
    precision_rows,
    rank_rows,
    turnover_rows,
)

METRICS = (
    "rank_ic",
    "ic",
    "hit_rate",
    "decile_spread",
    "monotonicity",
    "top_precision",
    "autocorrelation",
    "top_turnover",
    "coverage",
)
"""Daily metrics by name, in the order of the daily table."""


@dataclass(frozen=True)
class DailyMetrics:
    """Metrics of one score at one horizon on each day.

    Attributes:
        values: one array [D] for each name in :data:`METRICS`.
        decile_returns: mean return of each score bucket [D, K].
        scores: scores on the cells that counted [D, N]; NaN elsewhere. Kept for comparisons on the same cells.
        returns: returns on the same cells [D, N].
    """

    values: dict[str, Floats]
    decile_returns: Floats
    scores: Floats = field(repr=False)
    returns: Floats = field(repr=False)

    def frame(self, days: Dates, horizon: int, name: str) -> pl.DataFrame:
        """One row a day: Date, horizon, score and every metric; NaN becomes null."""
        buckets = {f"decile_{k + 1}": self.decile_returns[:, k] for k in range(self.decile_returns.shape[1])}
        labels = {"Date": days, "horizon": [horizon] * len(days), "score": [name] * len(days)}
        return pl.DataFrame(labels | self.values | buckets).with_columns(pl.selectors.float().fill_nan(None))


def daily_metrics(scores: Floats, returns: Floats, horizon: int, deciles: int, min_listings: int) -> DailyMetrics:
    """Measure one score against the returns of one horizon.

    Args:
        scores: [D, N], NaN where not scored.
        returns: realised returns of the horizon [D, N], NaN where not known.
        horizon: sessions ahead; scores are compared with those so many sessions before for turnover.
        deciles: score buckets.
        min_listings: days with fewer scored and labelled listings are undefined.
    """
    kept_scores, kept_returns = common(scores, returns, min_listings)
    score_ranks, return_ranks = rank_rows(kept_scores), rank_rows(kept_returns)
    bucket = bucket_rows(score_ranks, deciles)
    means = bucket_means(bucket, kept_returns, deciles)
    labelled = np.isfinite(returns).sum(axis=1)
    scored = (np.isfinite(scores) & np.isfinite(returns)).sum(axis=1)
    # Turnover is a property of the scores: rows without a label yet count too.
    all_buckets = bucket_rows(rank_rows(scores), deciles)
    values = {
        "rank_ic": correlation_rows(score_ranks, return_ranks),
        "ic": correlation_rows(kept_scores, kept_returns),
        "hit_rate": hit_rate_rows(score_ranks, return_ranks),
        "decile_spread": means[:, -1] - means[:, 0],
        "monotonicity": monotonicity_rows(means),
        "top_precision": precision_rows(bucket, bucket_rows(return_ranks, deciles), deciles),
        "autocorrelation": autocorrelation_rows(scores, horizon),
        "top_turnover": turnover_rows(all_buckets, horizon, deciles - 1),
        "coverage": np.where(labelled > 0, scored / np.maximum(labelled, 1), np.nan),
    }
    return DailyMetrics(values, means, kept_scores, kept_returns)

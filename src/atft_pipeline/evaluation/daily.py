"""All daily metrics of one score at one horizon."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from atft_pipeline.evaluation.grid import Dates
from atft_pipeline.evaluation.metrics import (
    autocorrelation_rows,
    bucket_means,
    bucket_rows,
    hit_rate_rows,
    monotonicity_rows,
    precision_rows,
    top_k_precision_rows,
    turnover_rows,
)
from atft_pipeline.stats.arrays import Booleans, Floats
from atft_pipeline.stats.rank_ic import Centred, centre_rows, correlate, rank_rows, rerank_rows

METRICS = (
    "rank_ic",
    "ic",
    "hit_rate",
    "decile_spread",
    "monotonicity",
    "top_precision",
    "top_k_precision",
    "autocorrelation",
    "top_turnover",
    "coverage",
)
"""Daily metrics by name, in the order of the daily table."""


@dataclass(frozen=True)
class Realised:
    """Returns on the cells that a score is judged on.

    Attributes:
        kept: those cells [D, N].
        returns: NaN elsewhere [D, N].
        ranks: of the returns, within each day [D, N].
        centred: of the returns.
        centred_ranks: of the ranks.
    """

    kept: Booleans
    returns: Floats
    ranks: Floats
    centred: Centred
    centred_ranks: Centred


class Outcome:
    """The realised returns of a horizon; what is derived from them is kept, since scores mostly share their cells.

    Args:
        returns: [D, N], NaN where not known.
        horizon: sessions ahead.
    """

    def __init__(self, returns: Floats, horizon: int) -> None:
        self.returns = returns
        self.horizon = horizon
        self.known = np.isfinite(returns)
        self._last: Realised | None = None

    def on(self, kept: Booleans) -> Realised:
        """Returns, their ranks and deviations on the given cells."""
        if self._last is None or not np.array_equal(self._last.kept, kept):
            returns = np.where(kept, self.returns, np.nan)
            ranks = rank_rows(returns)
            self._last = Realised(kept, returns, ranks, centre_rows(returns), centre_rows(ranks))
        return self._last


@dataclass(frozen=True)
class DailyMetrics:
    """Metrics of one score at one horizon on each day.

    Attributes:
        values: one array [D] for each name in :data:`METRICS`.
        decile_returns: mean return of each score bucket [D, K].
        all_ranks: of the scores among all of their day [D, N]; NaN where not scored.
        ranks: of the scores among those of their day that counted [D, N]; NaN elsewhere.
        realised: returns on the cells that counted.
    """

    values: dict[str, Floats]
    decile_returns: Floats
    all_ranks: Floats = field(repr=False)
    ranks: Floats = field(repr=False)
    realised: Realised = field(repr=False)

    def frame(self, days: Dates, horizon: int, name: str) -> pl.DataFrame:
        """One row a day: Date, horizon, score and every metric; NaN becomes null."""
        buckets = {f"decile_{k + 1}": self.decile_returns[:, k] for k in range(self.decile_returns.shape[1])}
        labels = {"Date": days, "horizon": [horizon] * len(days), "score": [name] * len(days)}
        return pl.DataFrame(labels | self.values | buckets).with_columns(pl.selectors.float().fill_nan(None))


def daily_metrics(scores: Floats, outcome: Outcome, deciles: int, min_listings: int, top_k: int) -> DailyMetrics:
    """Measure one score against the returns of one horizon.

    Args:
        scores: [D, N], NaN where not scored.
        outcome: realised returns; scores are compared with those ``horizon`` sessions before for turnover.
        deciles: score buckets.
        min_listings: days with fewer scored and labelled listings are undefined.
        top_k: listings of the top-k precision.
    """
    scored = np.isfinite(scores)
    both = scored & outcome.known
    realised = outcome.on(both & (both.sum(axis=1) >= min_listings)[:, None])
    kept_scores = np.where(realised.kept, scores, np.nan)
    all_ranks = rank_rows(scores)
    ranks = rerank_rows(all_ranks, realised.kept)
    bucket = bucket_rows(ranks, deciles)
    means = bucket_means(bucket, realised.returns, deciles)
    # Turnover is a property of the scores: rows without a label yet count too.
    labelled = outcome.known.sum(axis=1)
    values = {
        "rank_ic": correlate(centre_rows(ranks), realised.centred_ranks),
        "ic": correlate(centre_rows(kept_scores), realised.centred),
        "hit_rate": hit_rate_rows(ranks, realised.ranks),
        "decile_spread": means[:, -1] - means[:, 0],
        "monotonicity": monotonicity_rows(means),
        "top_precision": precision_rows(bucket, bucket_rows(realised.ranks, deciles), deciles),
        "top_k_precision": top_k_precision_rows(ranks, realised.ranks, top_k),
        "autocorrelation": autocorrelation_rows(all_ranks, outcome.horizon),
        "top_turnover": turnover_rows(bucket_rows(all_ranks, deciles), outcome.horizon, deciles - 1),
        "coverage": np.where(labelled > 0, both.sum(axis=1) / np.maximum(labelled, 1), np.nan),
    }
    return DailyMetrics(values, means, all_ranks, ranks, realised)

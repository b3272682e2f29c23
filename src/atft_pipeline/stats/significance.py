"""Errors of means of autocorrelated daily series: Newey-West standard errors and the delta method built on them.

A forecast of h sessions is judged every session, so its daily metrics overlap and the naive error is too small. One
rule for the lag serves training, tuning and evaluation: :func:`hac_lag`.
"""

import math
from dataclasses import dataclass

import numpy as np

from atft_pipeline.stats.arrays import Floats


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Attributes:
        mean: NaN when there is no day.
        se: standard error; NaN with fewer than two days.
        n_days: defined days.
    """

    mean: float
    se: float
    n_days: int

    @property
    def t(self) -> float:
        """The mean in standard errors; NaN where the error is zero or undefined."""
        return self.mean / self.se if self.se > 0 else math.nan


def hac_lag(horizon: int, n_days: int) -> int:
    """Lag of the Bartlett kernel: the horizon, or 4 (n/100)^(2/9) where that is longer; below the number of days.

    Labels of h sessions overlap, so metrics h - 1 days apart are correlated however the skill behaves: the lag must
    reach them, and at a lag of h the kernel still gives the last of them the weight 2 / (h + 1). Skill also comes and
    goes over weeks, which the overlap says nothing of: at one session the horizon alone would take in a single day.
    The automatic rule (Newey and West 1994, with its usual constant) is the floor for that.
    """
    automatic = math.floor(4 * math.pow(n_days / 100, 2 / 9))
    return max(0, min(max(horizon, automatic), n_days - 1))


def newey_west_se(series: Floats, lag: int) -> float:
    """Standard error of the mean with the Bartlett kernel (Newey and West 1987), without small-sample correction.

    Args:
        series: defined daily values [n], in order of time.
        lag: autocovariances taken in, weighted 1 - l / (lag + 1).
    """
    n = series.size
    if n < 2:
        return math.nan
    centred = series - series.mean()
    variance = float(centred @ centred)
    for step in range(1, min(lag, n - 1) + 1):
        variance += 2 * (1 - step / (lag + 1)) * float(centred[step:] @ centred[:-step])
    return math.sqrt(max(variance, 0.0)) / n


def estimate(series: Floats, horizon: int) -> Estimate:
    """Mean of the defined days of a daily series [D] with its Newey-West error."""
    defined = series[np.isfinite(series)]
    if defined.size == 0:
        return Estimate(math.nan, math.nan, 0)
    return Estimate(float(defined.mean()), newey_west_se(defined, hac_lag(horizon, defined.size)), int(defined.size))


def information_ratio(series: Floats, horizon: int, scale: float = 1.0) -> Estimate:
    """Mean over standard deviation of a daily series, times ``scale``, with its error by the delta method.

    The influence of a day on mean/deviation is z - ratio (z^2 - 1) / 2 with z its standardised value; the error is
    the Newey-West error of that series (Lo 2002 for the Sharpe ratio).
    """
    defined = series[np.isfinite(series)]
    deviation = float(defined.std(ddof=1)) if defined.size > 1 else 0.0
    if deviation <= 1e-12:
        return Estimate(math.nan, math.nan, int(defined.size))
    ratio = float(defined.mean()) / deviation
    z = (defined - defined.mean()) / deviation
    influence = z - ratio * (z * z - 1) / 2
    se = newey_west_se(influence, hac_lag(horizon, defined.size))
    return Estimate(scale * ratio, scale * se, int(defined.size))


def slope(series: Floats, other: Floats, horizon: int) -> Estimate:
    """Least-squares slope of a daily series on another one, with an intercept, and its Newey-West error.

    The influence of a day on the slope is its residual times its deviation of ``other``, over the variance of the
    latter.
    """
    both = np.isfinite(series) & np.isfinite(other)
    y, x = series[both], other[both]
    if x.size < 3 or np.ptp(x) == 0:
        return Estimate(math.nan, math.nan, int(x.size))
    y, x = y - y.mean(), x - x.mean()
    variance = float(x @ x) / x.size
    value = float(x @ y) / x.size / variance
    return Estimate(value, newey_west_se(x * (y - value * x) / variance, hac_lag(horizon, x.size)), int(x.size))


def ratio_of_means(numerator: Floats, denominator: Floats, horizon: int) -> Estimate:
    """Ratio of the means of two daily series on the days where both are defined, with its delta-method error."""
    both = np.isfinite(numerator) & np.isfinite(denominator)
    top, bottom = numerator[both], denominator[both]
    if top.size == 0 or bottom.mean() == 0:
        return Estimate(math.nan, math.nan, int(top.size))
    ratio = float(top.mean() / bottom.mean())
    influence = (top - ratio * bottom) / bottom.mean()
    return Estimate(ratio, newey_west_se(influence, hac_lag(horizon, top.size)), int(top.size))

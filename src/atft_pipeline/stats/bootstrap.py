"""Stationary block bootstrap of daily series (Politis and Romano 1994), with automatic block length.

D days, B draws. A draw strings together blocks of geometric length that begin anywhere and wrap around the end; the
mean block length follows Politis and White (2004) with the correction of Patton, Politis and White (2009) and is never
below the horizon, since the daily metrics of a forecast of h sessions overlap for h days.
"""

import math
from dataclasses import dataclass

import numpy as np

from atft_pipeline.stats.arrays import Floats, Ints

DRAWS = 1000
"""Resampled histories: the ends of a 95 % interval then move by some 2 % of its length from seed to seed."""
LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """Percentile interval.

    Attributes:
        low: lower end; NaN where undefined.
        high: upper end.
        block: mean block length that was used.
    """

    low: float
    high: float
    block: int


UNDEFINED = Interval(math.nan, math.nan, 0)


def optimal_block(series: Floats) -> float:
    """Mean block length that minimises the error of the bootstrap's variance of the mean.

    b = (2 G^2 / D)^(1/3) n^(1/3) with G = sum |k| R(k), D = 2 (sum R(k))^2 under a flat-top lag window whose width is
    twice the lag after which correlations are within 2 sqrt(log10(n) / n) of zero (Politis and White 2004, section 3).

    Args:
        series: finite values in order of time [n].
    """
    n = series.size
    centred = series - series.mean() if n else series
    if n < 8 or float(centred @ centred) <= 0:
        return 1.0
    # So many correlations in a row must be small: a single one may be small by chance inside the memory.
    quiet = max(5, math.ceil(math.sqrt(math.log10(n))))
    widest = min(math.ceil(math.sqrt(n)) + quiet, n - 1)
    covariance = np.array([centred[lag:] @ centred[: n - lag] for lag in range(widest + 1)]) / n
    small = np.abs(covariance[1:] / covariance[0]) < 2 * math.sqrt(math.log10(n) / n)
    runs = [lag for lag in range(len(small) - quiet + 1) if small[lag : lag + quiet].all()]
    last = runs[0] if runs else widest
    width = min(2 * max(last, 1), widest)
    lags = np.arange(1, width + 1)
    # Flat up to half of the width, then falling: a triangle would bias every correlation towards zero.
    window = np.minimum(1.0, 2 * (1 - lags / width))
    spread = covariance[0] + 2 * float(window @ covariance[1 : width + 1])
    slope = 2 * float((window * lags) @ covariance[1 : width + 1])
    # Longer blocks would leave too few different ones to draw from; the bound is that of the authors' code.
    longest = math.ceil(min(3 * math.sqrt(n), n / 3))
    if spread <= 0:
        return float(longest)
    return float(min(max((slope**2 / spread**2) ** (1 / 3) * n ** (1 / 3), 1.0), longest))


class Bootstrap:
    """Draws and intervals; draws of the same length and block are shared by all series.

    Args:
        draws: resampled histories.
        level: probability that an interval shall hold the truth.
        block: mean block length in sessions; ``None``: from the series itself, at least the horizon.
        seed: the same seed gives the same intervals.
    """

    def __init__(self, draws: int = DRAWS, level: float = LEVEL, block: int | None = None, seed: int = 0) -> None:
        self.draws, self.level, self.fixed_block, self.seed = draws, level, block, seed
        self._paths: dict[tuple[int, int], Ints] = {}
        self._weights: dict[tuple[int, int], Floats] = {}

    def block(self, series: Floats, horizon: int) -> int:
        """Mean block length for a series [D] with NaN on undefined days; rounded up to few different values."""
        if self.fixed_block is not None:
            return self.fixed_block
        length = max(optimal_block(series[np.isfinite(series)]), horizon, 1)
        # Draws are kept by block length: few different lengths share most of them.
        return math.ceil(length) if length <= 6 else 5 * math.ceil(length / 5)

    def paths(self, days: int, block: int) -> Ints:
        """Day indices of the draws [B, D]."""
        key = (days, block)
        if key not in self._paths:
            # One generator for each shape, so that an interval does not depend on what was asked before.
            generator = np.random.default_rng([self.seed, days, block])
            draws = self.draws
            # A block ends on each day with probability 1 / block: lengths are geometric, and the draw is stationary.
            begins = generator.random((draws, days)) < 1 / block
            begins[:, 0] = True
            position = np.arange(days)
            since = position - np.maximum.accumulate(np.where(begins, position, 0), axis=1)
            group = np.cumsum(begins, axis=1) - 1
            start = np.take_along_axis(generator.integers(0, days, (draws, days)), group, axis=1)
            # Past the end a block goes on at the beginning: else the first and last days would be drawn less often.
            self._paths[key] = (start + since) % days
        return self._paths[key]

    def weights(self, days: int, block: int) -> Floats:
        """How often each draw holds each day [B, D]; the means of all draws of a series are then one matrix product."""
        key = (days, block)
        if key not in self._weights:
            paths = self.paths(days, block)
            flat = paths + days * np.arange(len(paths))[:, None]
            counts = np.bincount(flat.ravel(), minlength=paths.size).reshape(paths.shape)
            self._weights[key] = counts.astype(np.float64)
        return self._weights[key]

    def mean(self, series: Floats, horizon: int) -> Interval:
        """Interval of the mean of the defined days of a series [D]."""
        defined = np.isfinite(series)
        if defined.sum() < 2:
            return UNDEFINED
        block = self.block(series, horizon)
        weights = self.weights(series.size, block)
        return self._interval(_ratio(weights @ np.where(defined, series, 0.0), weights @ defined), block)

    def ratio(self, numerator: Floats, denominator: Floats, horizon: int) -> Interval:
        """Interval of the ratio of two means, on the days where both are defined."""
        both = np.isfinite(numerator) & np.isfinite(denominator)
        if both.sum() < 2:
            return UNDEFINED
        block = self.block(np.where(both, numerator, np.nan), horizon)
        weights = self.weights(numerator.size, block)
        drawn = _ratio(weights @ np.where(both, numerator, 0.0), weights @ np.where(both, denominator, 0.0))
        return self._interval(drawn, block)

    def information_ratio(self, series: Floats, horizon: int, scale: float = 1.0) -> Interval:
        """Interval of mean over standard deviation, times ``scale``."""
        defined = np.isfinite(series)
        if defined.sum() < 3:
            return UNDEFINED
        block = self.block(series, horizon)
        weights = self.weights(series.size, block)
        level = float(series[defined].mean())
        # Deviations from the whole mean: squares of the values themselves would lose the digits of a small deviation.
        filled = np.where(defined, series - level, 0.0)
        if np.abs(filled).max() <= 1e-12:
            return UNDEFINED
        count = weights @ defined
        mean = _ratio(weights @ filled, count)
        variance = np.maximum(_ratio(weights @ filled**2, count) - mean**2, 0.0) * _ratio(count, count - 1)
        deviation = np.sqrt(variance)
        drawn = np.where(deviation > 1e-12, (level + mean) / np.maximum(deviation, 1e-12), np.nan)
        return self._interval(scale * drawn, block)

    def max_drawdown(self, returns: Floats, horizon: int) -> Interval:
        """Interval of the maximum drawdown of compounded returns [D]."""
        defined = returns[np.isfinite(returns)]
        if defined.size < 2:
            return UNDEFINED
        block = self.block(defined, horizon)
        # A drawdown depends on the order of the days, so their counts are not enough.
        wealth = np.cumprod(1 + defined[self.paths(defined.size, block)], axis=1)
        peak = np.maximum(np.maximum.accumulate(wealth, axis=1), 1.0)
        return self._interval((wealth / peak - 1).min(axis=1), block)

    def _interval(self, drawn: Floats, block: int) -> Interval:
        """Percentiles of the draws that are defined."""
        finite = drawn[np.isfinite(drawn)]
        if finite.size == 0:
            return UNDEFINED
        outside = (1 - self.level) / 2
        low, high = np.quantile(finite, [outside, 1 - outside])
        return Interval(float(low), float(high), block)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    """Element-wise ratio; NaN where the bottom is zero."""
    ratio: Floats = np.where(bottom != 0, top / np.where(bottom != 0, bottom, 1.0), np.nan)
    return ratio

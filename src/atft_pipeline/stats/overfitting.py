"""How much of a good result is the luck of having tried often: deflated Sharpe ratio, probability of overfitting.

T sessions, N trials, S groups of sessions, C ways to choose half of the groups.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import kurtosis, norm, skew

from atft_pipeline.errors import DataError
from atft_pipeline.stats.arrays import Floats

GROUPS = 16
"""Groups of sessions for the probability of overfitting, as in its paper: 12,870 ways to choose half of them."""


def probabilistic_sharpe(sharpe: float, benchmark: float, n: int, skewness: float, kurt: float) -> float:
    """Probability that the true Sharpe ratio exceeds a benchmark (Bailey and Lopez de Prado 2012, equation 4).

    Args:
        sharpe: observed ratio of one period, not annualised.
        benchmark: of one period.
        n: periods.
        skewness: of the returns.
        kurt: of the returns, 3 for a normal distribution.
    """
    variance = 1 - skewness * sharpe + (kurt - 1) / 4 * sharpe**2
    if n < 2 or variance <= 0:
        return math.nan
    return float(norm.cdf((sharpe - benchmark) * math.sqrt(n - 1) / math.sqrt(variance)))


def expected_maximum_sharpe(deviation: float, trials: float) -> float:
    """Expected best Sharpe ratio of trials without any skill (Bailey and Lopez de Prado 2014, equation 1).

    Args:
        deviation: standard deviation of the trials' Sharpe ratios.
        trials: number of independent trials; one trial has the benchmark zero.
    """
    if trials <= 1:
        return 0.0
    first, second = norm.ppf(1 - 1 / trials), norm.ppf(1 - 1 / (trials * math.e))
    return float(deviation * ((1 - np.euler_gamma) * first + np.euler_gamma * second))


@dataclass(frozen=True)
class DeflatedSharpe:
    """Result of :func:`deflated_sharpe`.

    Attributes:
        probability: that the true Sharpe ratio exceeds what luck alone would have given the best trial.
        benchmark: that luck, as a Sharpe ratio of one period.
        trials: number of trials.
        trial_deviation: standard deviation of the trials' Sharpe ratios of one period.
    """

    probability: float
    benchmark: float
    trials: int
    trial_deviation: float


def deflated_sharpe(returns: Floats, trials: int, trial_deviation: float | None = None) -> DeflatedSharpe:
    """Deflate the Sharpe ratio of a portfolio for the number of trials it was chosen from.

    Args:
        returns: of each period; NaN is left out.
        trials: independent configurations that were compared.
        trial_deviation: standard deviation of their Sharpe ratios of one period; ``None``: the sampling error of a
            Sharpe ratio of zero, 1 / sqrt(n), as if the trials differed by luck alone.
    """
    defined = returns[np.isfinite(returns)]
    n = defined.size
    deviation = 1 / math.sqrt(n) if trial_deviation is None and n else trial_deviation or 0.0
    spread = float(defined.std(ddof=1)) if n > 2 else 0.0
    if spread <= 1e-12:
        return DeflatedSharpe(math.nan, math.nan, trials, deviation)
    benchmark = expected_maximum_sharpe(deviation, trials)
    sharpe = float(defined.mean()) / spread
    shape = float(skew(defined)), float(kurtosis(defined, fisher=False))
    return DeflatedSharpe(probabilistic_sharpe(sharpe, benchmark, n, *shape), benchmark, trials, deviation)


@dataclass(frozen=True)
class Overfitting:
    """Result of :func:`overfitting_probability`.

    Attributes:
        probability: that the best trial of one half of the sessions is below the median of the other half.
        se: its delete-group jackknife error over pairs of neighbouring groups.
        loss_probability: that the best trial of one half loses money on the other.
        slope: of the other half's Sharpe ratio on the first half's, over the chosen trials; below zero: the better a
            trial looked, the worse it did.
        combinations: ways to choose a half.
    """

    probability: float
    se: float
    loss_probability: float
    slope: float
    combinations: int


def overfitting_probability(trials: Floats, groups: int = GROUPS) -> Overfitting:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation (Bailey et al. 2017).

    Args:
        trials: returns of each trial on each session [T, N]; all finite.
        groups: even number S of contiguous groups of sessions.

    Raises:
        DataError: fewer than two trials, a value that is not finite, or too few sessions for the groups.
    """
    T, N = trials.shape
    if N < 2:
        raise DataError(f"probability of overfitting: {N} trials, at least 2 are needed; pass one column a trial")
    if not np.isfinite(trials).all():
        raise DataError("probability of overfitting: a trial's return is not finite; give every trial every session")
    if groups < 4 or groups % 2 or 2 * groups > T:
        raise DataError(
            f"probability of overfitting: groups must be even and lie between 4 and half of {T} sessions, got {groups}"
        )
    parts = np.array_split(trials, groups)
    sums = np.stack([part.sum(axis=0) for part in parts])
    squares = np.stack([(part**2).sum(axis=0) for part in parts])
    counts = np.array([len(part) for part in parts], dtype=np.float64)
    below, loss, slope, ways = _cross_validate(sums, squares, counts)
    left_out = [np.delete(np.arange(groups), [first, first + 1]) for first in range(0, groups, 2)]
    again = np.array([_cross_validate(sums[kept], squares[kept], counts[kept])[0] for kept in left_out])
    se = math.sqrt((again.size - 1) / again.size * float(((again - again.mean()) ** 2).sum()))
    return Overfitting(below, se, loss, slope, ways)


def _cross_validate(sums: Floats, squares: Floats, counts: Floats) -> tuple[float, float, float, int]:
    """Share below the median, share of losses, slope and number of combinations, from sums of the groups [S, N]."""
    S, N = sums.shape
    chosen = np.array(list(combinations(range(S), S // 2)))
    inside = np.zeros((len(chosen), S))
    np.put_along_axis(inside, chosen, 1.0, axis=1)
    seen, unseen = (_sharpe(half @ sums, half @ squares, half @ counts) for half in (inside, 1 - inside))
    best = seen.argmax(axis=1)
    rows = np.arange(len(chosen))
    outside = unseen[rows, best]
    # Rank from 1 to N as a share of N + 1; ties count one half.
    rank = (unseen < outside[:, None]).sum(axis=1) + ((unseen == outside[:, None]).sum(axis=1) + 1) / 2
    below = float((rank / (N + 1) <= 0.5).mean())
    x = seen[rows, best]
    slope = float(np.polyfit(x, outside, 1)[0]) if np.ptp(x) > 0 else math.nan
    return below, float((outside < 0).mean()), slope, len(chosen)


def _sharpe(total: Floats, square: Floats, count: Floats) -> Floats:
    """Sharpe ratios [C, N] from sums, sums of squares [C, N] and counts [C]."""
    n = count[:, None]
    mean = total / n
    deviation = np.sqrt(np.maximum(square / n - mean**2, 1e-30))
    ratio: Floats = mean / deviation
    return ratio

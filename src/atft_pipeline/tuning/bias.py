"""How good the best of many looks when none of them knows anything.

Each trial's daily validation RankIC is centred, which makes it a trial without skill but with its own noise. Blocks of
days are drawn with replacement (Politis and Romano's circular block bootstrap, 1992), the same days for all trials, so
that trials which err together still do; the mean of the best one over the draws is what a search of that many null
trials (trials without skill) would report.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class SelectionBias:
    """What the search would have found without any skill.

    Attributes:
        trials: tried, those with a daily series.
        expected_best: mean RankIC of the best of as many null trials.
        upper: its 95 % quantile.
        share_above: share of draws in which a null trial reaches the winner's value.
        block: sessions drawn together.
        days: validation days.
    """

    trials: int
    expected_best: float
    upper: float
    share_above: float
    block: int
    days: int


def selection_bias(
    daily_NT: npt.NDArray[np.float64], value: float, *, block: int, draws: int, seed: int
) -> SelectionBias:
    """Measure the selection bias by resampling.

    Args:
        daily_NT: daily RankIC of N trials on the same T days.
        value: the winner's.
        block: sessions drawn together; at least the longest horizon, because labels overlap.
        draws: number of draws.
        seed: of the draws.
    """
    count, days = daily_NT.shape
    block = max(1, min(block, days))
    centred = daily_NT - daily_NT.mean(axis=1, keepdims=True)
    generator = np.random.default_rng(seed)
    pieces = -(-days // block)
    best = np.empty(draws)
    for draw in range(draws):
        start = generator.integers(days, size=pieces)
        picked = ((start[:, None] + np.arange(block)) % days).reshape(-1)[:days]
        best[draw] = centred[:, picked].mean(axis=1).max()
    return SelectionBias(
        trials=count,
        expected_best=float(best.mean()),
        upper=float(np.quantile(best, 0.95)),
        share_above=float((best >= value).mean()),
        block=block,
        days=days,
    )

"""Target weights of portfolios that trade on scores.

T sessions, N listings. Weights are fractions of one unit of capital: a long-short portfolio is long 1 and short 1.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from atft_pipeline.evaluation.metrics import bucket_rows
from atft_pipeline.stats.arrays import Booleans, Floats
from atft_pipeline.stats.rank_ic import rank_rows

Kind = Literal["long_short", "top_k", "sector_neutral", "beta_neutral"]
KINDS: tuple[Kind, ...] = ("long_short", "top_k", "sector_neutral", "beta_neutral")
"""``long_short`` buys the top and sells the bottom bucket of scores; ``top_k`` buys the k best; ``sector_neutral`` does
the first within each sector; ``beta_neutral`` removes the first one's beta."""
MIN_SECTOR = 4  # listings that a sector needs on a day to be traded against itself: two a side


def portfolio_weights(
    kind: Kind,
    ranks: Floats,
    max_weight: float,
    deciles: int,
    top_k: int,
    sector: npt.NDArray[np.int64] | None = None,
    beta: Floats | None = None,
) -> Floats:
    """Weights on each session; 0 where not held [T, N].

    Args:
        kind: which portfolio.
        ranks: of the scores within their session [T, N], NaN where not scored. Whether a label will be known plays no
            part.
        max_weight: largest weight of a listing, as a fraction of one unit of capital.
        deciles: buckets; the top and the bottom one are traded.
        top_k: listings that ``top_k`` holds.
        sector: number of each listing's sector [N], for ``sector_neutral``.
        beta: [T, N], for ``beta_neutral``: exposures of the listings; an unknown one is the middle of a day, 0.

    Returns:
        A weight over ``max_weight`` is cut to it and the rest stays in cash.
    """
    if kind == "top_k":
        weights = _top(ranks, top_k)
    elif kind == "sector_neutral":
        assert sector is not None
        weights = _within_sectors(ranks, sector, deciles)
    else:
        bucket = bucket_rows(ranks, deciles)
        weights = _sides(bucket == deciles - 1, bucket == 0)
    weights = np.clip(weights, -max_weight, max_weight)
    if kind == "beta_neutral":
        assert beta is not None
        weights = _without_beta(weights, np.nan_to_num(beta), max_weight)
    return weights


def _sides(long: Booleans, short: Booleans) -> Floats:
    """Equal weights, 1 on each side; nothing where a side is empty."""
    longs, shorts = long.sum(axis=1, keepdims=True), short.sum(axis=1, keepdims=True)
    both = (longs > 0) & (shorts > 0)
    return np.where(both, long / np.maximum(longs, 1) - short / np.maximum(shorts, 1), 0.0)


def _top(ranks: Floats, k: int) -> Floats:
    """Equal weights of the k highest ranks; nothing on days with fewer than 2 k scores or with equal scores."""
    present = np.isfinite(ranks)
    count = present.sum(axis=1, keepdims=True)
    held = present & (ranks > count - k)
    size = held.sum(axis=1, keepdims=True)
    usable = (count >= 2 * k) & (size > 0) & (size <= 2 * k)
    return np.where(held & usable, 1.0 / np.maximum(size, 1), 0.0)


def _within_sectors(scores: Floats, sector: npt.NDArray[np.int64], deciles: int) -> Floats:
    """Best against worst of each sector; a sector weighs by its listings, on both sides alike."""
    weights = np.zeros(scores.shape)
    for number in np.unique(sector):
        columns = np.flatnonzero(sector == number)
        ranks = rank_rows(scores[:, columns])
        present = np.isfinite(ranks)
        count = present.sum(axis=1, keepdims=True)
        size = np.maximum(np.round(count / deciles), 1)
        usable = present & (count >= MIN_SECTOR)
        sides = _sides(usable & (ranks > count - size), usable & (ranks <= size))
        weights[:, columns] = sides * count
    long = np.maximum(weights, 0.0).sum(axis=1, keepdims=True)
    return np.where(long > 0, weights / np.where(long > 0, long, 1.0), 0.0)


def _without_beta(weights: Floats, beta: Floats, limit: float) -> Floats:
    """The nearest weights on the same listings with neither net exposure nor beta, long and short 1 each.

    Least squares: the weights less their regression on (1, beta) over the held listings of the day. Cutting at the
    limit brings some beta back, so both steps are repeated; the last one is the cut, which is exact.
    """
    neutral = np.zeros(weights.shape)
    for day in np.flatnonzero((weights != 0).any(axis=1)):
        held = np.flatnonzero(weights[day])
        design = np.column_stack([np.ones(held.size), beta[day, held]])
        values = weights[day, held]
        for _ in range(5):
            values = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
            size = np.abs(values).sum()
            values = np.clip(2 * values / size if size > 0 else values, -limit, limit)
        neutral[day, held] = values
    return neutral

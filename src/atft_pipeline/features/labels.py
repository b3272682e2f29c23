"""Forward returns and training targets.

A label of horizon h counts sessions of the market: close[t+h] / close[t] - 1, or, tradeable, open[t+1+h] /
open[t+1] - 1. It is missing unless the listing has these prices on exactly those sessions; counting the listing's own
rows instead would let a label reach over a halt of months, beyond any purge of the splits.
"""

import numpy as np
from numpy.typing import NDArray

from atft_pipeline.features.blocks import PriceAxis
from atft_pipeline.features.config import Label, Method
from atft_pipeline.features.normalise import Matrix, rank_gauss, robust_z


def forward_returns(axis: PriceAxis, horizon: int, label: Label) -> Matrix:
    """Simple forward return of each row [R], float32, NaN until complete or where a price is missing."""
    with np.errstate(all="ignore"):
        if label == "close_to_close":
            price = axis.columns["Close"]
            value = axis.ahead(price, horizon) / price - 1.0
        else:
            price = axis.columns["Open"]
            # The close of a day is known after it: the first price to trade at is the next open.
            value = axis.ahead(price, horizon + 1) / axis.ahead(price, 1) - 1.0
    value[~np.isfinite(value)] = np.nan
    return value.astype(np.float32)


def label_rows(horizon: int, label: Label) -> int:
    """Rows after its own that a label reads."""
    return horizon if label == "close_to_close" else horizon + 1


def day_targets(
    returns: Matrix,
    universe: NDArray[np.bool_],
    method: Method,
    clip: float,
) -> Matrix:
    """Training targets of one day.

    Args:
        returns: raw forward returns [Q, n], NaN = incomplete.
        universe: rows that count [n].
        method: normalisation over the universe rows whose label is complete.
        clip: bound of the normalised values.

    Returns:
        float32 [Q, n]; NaN outside the universe and where the label is incomplete.
    """
    known = np.isfinite(returns) & universe
    value = np.where(known, returns, np.float32(np.nan))
    if method == "rank_gauss":
        value = rank_gauss(value, universe, clip)
    elif method == "robust_z":
        value = robust_z(value, universe, clip)
    return np.where(known, value, np.float32(np.nan))


def group_means(values: Matrix, universe: NDArray[np.bool_], group: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of each row's group over the universe rows [F, n]; rows of group 0 and lone rows take the mean of all."""
    known = np.isfinite(values) & universe
    filled = np.where(known, values, 0.0).astype(np.float64)
    size = int(group.max(initial=0)) + 1
    out = np.empty(values.shape)
    with np.errstate(all="ignore"):
        for line in range(len(values)):
            count = np.bincount(group, weights=known[line], minlength=size)
            total = np.bincount(group, weights=filled[line], minlength=size)
            # A listing alone in its group would be compared with itself and get 0.
            mean = np.where(count >= 2, total / count, total.sum() / count.sum())
            mean[0] = total.sum() / count.sum()
            out[line] = mean[group]
    return out

"""Pairwise-complete correlations of one window of returns, by blocks of matrix products.

Legend: W sessions of the window, n listings that take part, b listings of a block, c listings seen in all W sessions.

The correlation of i and j over the days on which both have a return needs, with weights w and presence m, the sums
n = m_i·m_j, s_i = x_i·m_j, p = x_i·x_j and q_i = x_i²·m_j, each of them one masked matrix product. Two listings without
a gap need p alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from atft_pipeline.graphs.config import GraphConfig

# A sector needs so many listings on a day for a mean of its own; else the market's mean is taken.
MIN_SECTOR_SIZE = 5
# A listing of which more than this fraction of the returns is exactly zero takes no part: prices that do not move would
# correlate with each other through the market's mean alone.
MAX_UNCHANGED = 0.5
# Below this fraction of a listing's variance, its variance on the common days is rounding of float32: no correlation.
MIN_COMMON_VARIANCE = 1e-4


@dataclass(frozen=True)
class Window:
    """The returns of a window, ready for products.

    Attributes:
        values: [W, n] returns with weighted mean 0 and variance 1 over each listing's own days; 0 where missing.
        present: [W, n] 1 where there is a return, else 0.
        weights: [W] weights of the sessions; they sum to the effective number of observations.
        log_volatility: [n] logarithm of the standard deviation of the demeaned returns.
        complete: c; the first c listings have no gap.
        order: [n] column of the input that each listing is.
    """

    values: Tensor
    present: Tensor
    weights: Tensor
    log_volatility: Tensor
    complete: int
    order: npt.NDArray[np.int64]


def taking_part(returns: npt.NDArray[np.float32], config: GraphConfig) -> npt.NDArray[np.int64]:
    """Columns of ``returns`` [W, N] with enough observations and prices that move."""
    present = np.isfinite(returns)
    count = present.sum(axis=0)
    unchanged = (returns == 0).sum(axis=0)
    moves = (unchanged <= MAX_UNCHANGED * count) & (unchanged < count)
    return np.flatnonzero((count >= config.min_observations) & moves)


def session_weights(sessions: int, halflife: float | None) -> npt.NDArray[np.float64]:
    """Weights [W] of the sessions, oldest first; scaled to sum to the effective number (Σw)²/Σw² of observations."""
    if halflife is None:
        return np.ones(sessions)
    weights = 0.5 ** (np.arange(sessions - 1, -1, -1) / halflife)
    scaled: npt.NDArray[np.float64] = weights * (weights.sum() / (weights**2).sum())
    return scaled


def prepare(
    returns: npt.NDArray[np.float32], sector: npt.NDArray[np.int64], config: GraphConfig, device: torch.device
) -> Window:
    """Demean, standardise and order one window.

    Args:
        returns: [W, n], NaN where missing; only listings that take part.
        sector: [n] sector ids, 0 = unknown.
        config: how.
        device: where the products will run.

    Returns:
        The window; listings without a gap come first.
    """
    gaps = ~np.isfinite(returns)
    order = np.argsort(gaps.any(axis=0), kind="stable")
    present = torch.from_numpy(~gaps[:, order]).to(device, torch.float64)
    values = torch.from_numpy(np.where(gaps, 0, returns)[:, order]).to(device, torch.float64)
    if config.clip is not None:
        values = values.clamp(-config.clip, config.clip)
    values = (values - _daily_mean(values, present, torch.from_numpy(sector[order]).to(device), config)) * present
    weights = torch.from_numpy(session_weights(len(returns), config.halflife)).to(device)
    total = weights @ present  # [n]
    values = (values - (weights @ values) / total) * present
    deviation = ((weights @ values.square()) / total).sqrt()
    # A listing that equals the mean it is measured against has nothing left: all zeros, and no correlation.
    values = torch.where(deviation > 0, values / deviation.clamp_min(1e-30), 0)
    return Window(
        values=values.float(),
        present=present.float(),
        weights=weights.float(),
        log_volatility=deviation.clamp_min(1e-30).log().float(),
        complete=int((~gaps.any(axis=0)).sum()),
        order=order,
    )


def _daily_mean(values: Tensor, present: Tensor, sector: Tensor, config: GraphConfig) -> Tensor:
    """Mean [W, n] that each return is measured against."""
    if config.demean == "none":
        return torch.zeros_like(values)
    market = (values.sum(dim=1) / present.sum(dim=1).clamp_min(1))[:, None].expand_as(values)
    if config.demean == "market":
        return market
    groups = int(sector.max()) + 1 if sector.numel() else 1
    total = values.new_zeros(len(values), groups).index_add_(1, sector, values)
    count = values.new_zeros(len(values), groups).index_add_(1, sector, present)
    own = (total / count.clamp_min(1))[:, sector]
    return torch.where((count[:, sector] >= MIN_SECTOR_SIZE) & (sector > 0), own, market)


def row_ranges(window: Window, size: int) -> Iterator[tuple[int, int]]:
    """Row ranges of at most ``size`` listings; none mixes listings with and without gaps."""
    listings = window.values.shape[1]
    for first, last in ((0, window.complete), (window.complete, listings)):
        for start in range(first, last, size):
            yield start, min(start + size, last)


def correlate(window: Window, start: int, stop: int, config: GraphConfig) -> Tensor:
    """Shrunk correlations of the listings ``start:stop`` with all.

    Args:
        window: the prepared returns.
        start: first listing; the range must come from :func:`blocks`.
        stop: one past the last listing.
        config: least number of common days, shrinkage.

    Returns:
        Correlations [b, n]; NaN for a listing with itself and for pairs with too few common days.
    """
    rows = slice(start, stop)
    if stop > window.complete:
        result = _masked_pairs(window, rows, slice(None), config)
    else:
        result = torch.cat(
            [_complete_pairs(window, rows, config), _masked_pairs(window, rows, slice(window.complete, None), config)],
            dim=1,
        )
    result[:, rows].fill_diagonal_(torch.nan)
    return result


def _complete_pairs(window: Window, rows: slice, config: GraphConfig) -> Tensor:
    """Correlations [b, c] of listings without gaps: one product of standardised returns."""
    weights = window.weights / (window.weights.sum() + config.shrinkage)
    result = (window.values[:, rows] * weights[:, None]).T @ window.values[:, : window.complete]
    return result.clamp_(-1, 1)


def _masked_pairs(window: Window, rows: slice, columns: slice, config: GraphConfig) -> Tensor:
    """Correlations [b, columns] over the days common to each pair."""
    x, m = window.values[:, rows], window.present[:, rows]
    y, o = window.values[:, columns], window.present[:, columns]
    wx, wm = x * window.weights[:, None], m * window.weights[:, None]
    count = m.T @ o
    total = count if config.halflife is None else wm.T @ o
    sum_x, sum_y = wx.T @ o, wm.T @ y
    covariance = (wx.T @ y) * total - sum_x * sum_y
    variance_x = ((wx * x).T @ o) * total - sum_x.square()
    variance_y = (wm.T @ y.square()) * total - sum_y.square()
    least = MIN_COMMON_VARIANCE * total.square()
    valid = (count >= config.min_observations) & (variance_x > least) & (variance_y > least)
    result = (covariance / (variance_x * variance_y).sqrt()).clamp(-1, 1) * (total / (total + config.shrinkage))
    return result.where(valid, torch.nan)

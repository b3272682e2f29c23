"""RankIC: the Spearman correlation of a day's scores with the returns that followed; arrays first, tensors below.

Both give the same numbers: ties share their mean rank, absent cells take no part, and a day with fewer than
:data:`MIN_LISTINGS` listings or with a constant side is undefined (NaN), never 0.

Legend: D days, N listings of an array, NaN where absent; B days of a batch, n listings padded, Q horizons.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from atft_pipeline.stats.arrays import Booleans, Floats, Ints
from atft_pipeline.stats.significance import estimate

# Two listings always correlate by +1 or -1.
MIN_LISTINGS = 3


def rank_ic(scores: Floats, returns: Floats, min_listings: int = MIN_LISTINGS) -> Floats:
    """RankIC of each day [D] over the cells [D, N] that both arrays have.

    Args:
        scores: finite, or NaN where not scored.
        returns: or any other outcome; finite, or NaN where not known.
        min_listings: days with fewer cells are undefined; at least :data:`MIN_LISTINGS`.
    """
    left, right = common(scores, returns, max(min_listings, MIN_LISTINGS))
    return correlate(ranked(left), ranked(right))


def ranked(values: Floats) -> "Centred":
    """Ranks within each row, ready for :func:`correlate`: one side of RankICs that share their cells."""
    return centre_rows(rank_rows(values))


def common(scores: Floats, returns: Floats, min_listings: int) -> tuple[Floats, Floats]:
    """Keep the cells present in both arrays, and only days with at least ``min_listings`` of them."""
    both = np.isfinite(scores) & np.isfinite(returns)
    both &= (both.sum(axis=1) >= min_listings)[:, None]
    return np.where(both, scores, np.nan), np.where(both, returns, np.nan)


def rank_rows(values: Floats) -> Floats:
    """Rank each row from 1 upwards; ties share their mean rank as in :func:`scipy.stats.rankdata`, NaN stays NaN.

    Values are finite or NaN. NaN is sorted as infinity: numpy's vectorised sort takes no NaN and is three times faster.
    """
    absent = np.isnan(values)
    filled = np.where(absent, np.inf, values)
    order = np.argsort(filled, axis=1)
    ordered = np.take_along_axis(filled, order, axis=1)
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, values.shape[1] + 1)[None, :], axis=1)
    ties = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] < np.inf)).any(axis=1)
    if ties.any():
        ranks[ties] = _shared_ranks(order[ties], ordered[ties])
    ranks[absent] = np.nan
    return ranks


def rerank_rows(ranks: Floats, kept: Booleans) -> Floats:
    """Ranks among the kept cells only, from the ranks among more of them; only rows that lose a cell are sorted again.

    Args:
        ranks: [D, N], NaN where absent.
        kept: cells to keep, all of them present [D, N].
    """
    changed = (np.isfinite(ranks) != kept).any(axis=1)
    if not changed.any():
        return ranks
    again = ranks.copy()
    again[changed] = rank_rows(np.where(kept[changed], ranks[changed], np.nan))
    return again


def _shared_ranks(order: Ints, ordered: Floats) -> Floats:
    """Mean ranks of rows with ties, from their sorting order and sorted values."""
    D, N = ordered.shape
    first = np.ones((D, N), dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(first.ravel()) - 1
    size = np.bincount(group)
    start = np.flatnonzero(first.ravel()) % N
    ranks = np.empty((D, N))
    np.put_along_axis(ranks, order, (start + (size - 1) / 2 + 1)[group].reshape(D, N), axis=1)
    return ranks


@dataclass(frozen=True)
class Centred:
    """Rows made ready for correlations.

    Attributes:
        values: deviations from the row's mean, 0 where absent [D, N].
        scale: root of their sum of squares; NaN for a row of equal values, whose correlations are undefined [D].
    """

    values: Floats
    scale: Floats


def centre_rows(values: Floats) -> Centred:
    """Subtract each row's mean over its present cells."""
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    filled -= filled.sum(axis=1, keepdims=True) / np.maximum(present.sum(axis=1, keepdims=True), 1)
    filled *= present
    scale = np.sqrt(np.einsum("dn,dn->d", filled, filled))
    return Centred(filled, np.where(varies(values, present) & (scale > 0), scale, np.nan))


def correlate(left: Centred, right: Centred) -> Floats:
    """Pearson correlation of rows with the same present cells [D]."""
    covariance = np.einsum("dn,dn->d", left.values, right.values)
    correlation: Floats = np.clip(covariance / (left.scale * right.scale), -1.0, 1.0)
    return correlation


def correlation_rows(left: Floats, right: Floats) -> Floats:
    """Pearson correlation of each pair of rows over the cells present in both [D]; constant rows are NaN."""
    both = np.isfinite(left) & np.isfinite(right)
    return correlate(centre_rows(np.where(both, left, np.nan)), centre_rows(np.where(both, right, np.nan)))


def varies(values: Floats, present: Booleans) -> Booleans:
    """Say for each row whether its cells hold two different values; exact, so that 0.1 repeated is constant."""
    first = values[np.arange(len(values)), present.argmax(axis=1)]
    varies: Booleans = ((values != first[:, None]) & present).any(axis=1)
    return varies


def average_ranks(values_Bn: Tensor, mask_Bn: Tensor) -> Tensor:
    """Ranks [B, n] from 1 within each row, ties averaged; masked places hold 0."""
    filled = values_Bn.float().masked_fill(~mask_Bn, torch.inf).contiguous()
    ordered = filled.sort(dim=-1).values
    left = torch.searchsorted(ordered, filled, right=False)
    right = torch.searchsorted(ordered, filled, right=True)
    return ((left + right + 1).float() / 2).masked_fill(~mask_Bn, 0.0)


def rank_ic_of_tensors(score_Bn: Tensor, label_Bn: Tensor, mask_Bn: Tensor) -> Tensor:
    """RankIC [B] of each day over its masked listings, on the device of the scores; see :func:`rank_ic`."""
    count = mask_Bn.sum(dim=-1, keepdim=True)
    # Average ranks of n values always sum to n (n + 1) / 2. A mean of float32 ranks would round beyond some 5,800
    # listings, and leave a constant day a correlation.
    middle = (count + 1) / 2
    left, right = (
        (average_ranks(values, mask_Bn) - middle).masked_fill(~mask_Bn, 0.0) for values in (score_Bn, label_Bn)
    )
    scale = (left.square().sum(dim=-1) * right.square().sum(dim=-1)).sqrt()
    defined = (scale > 0) & (count[..., 0] >= MIN_LISTINGS)
    return torch.where(defined, (left * right).sum(dim=-1) / scale, torch.nan)


@dataclass(frozen=True)
class RankICSummary:
    """Mean daily RankIC of each horizon and its Newey-West standard error.

    Attributes:
        mean: by horizon.
        se: by horizon.
        days: days with a value.
        average: mean over the horizons by their weights; the one number that picks the best epoch.
        average_se: its Newey-West standard error, which knows that the horizons share their days.
    """

    mean: dict[int, float]
    se: dict[int, float]
    days: int
    average: float
    average_se: float


def summarise(daily_DQ: Floats, horizons: tuple[int, ...], weights: Sequence[float] | None = None) -> RankICSummary:
    """Mean and error of daily RankICs; days without a value are left out.

    Args:
        daily_DQ: RankIC of each day and horizon [D, Q].
        horizons: Q sessions.
        weights: of the horizons in the average, as the loss weighs them; equal where not given.
    """
    found = {horizon: estimate(daily_DQ[:, column], horizon) for column, horizon in enumerate(horizons)}
    mean = {horizon: value.mean for horizon, value in found.items()}
    return RankICSummary(
        mean=mean,
        se={horizon: value.se for horizon, value in found.items()},
        days=int(np.isfinite(daily_DQ).any(axis=1).sum()),
        average=float(np.average(list(mean.values()), weights=weights)),
        average_se=_average_se(daily_DQ, max(horizons), weights),
    )


def _average_se(daily_DQ: Floats, longest: int, weights: Sequence[float] | None) -> float:
    """Error of the weighted mean of the horizons' means, from the influence of each day on it.

    The errors of the horizons do not add up to it: on one day they rise and fall together. A day on which a horizon is
    undefined has no influence by that horizon, whose mean is over fewer days.
    """
    defined = np.isfinite(daily_DQ)
    days, counts = defined.any(axis=1), defined.sum(axis=0)
    if not counts.all():
        return math.nan
    filled = np.where(defined, daily_DQ, 0.0)
    deviations = np.where(defined, daily_DQ - filled.sum(axis=0) / counts, 0.0) * (days.sum() / counts)
    return estimate(np.average(deviations, axis=1, weights=weights)[days], longest).se

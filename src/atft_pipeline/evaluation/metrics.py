"""Daily cross-sectional metrics, each a pure function of [D, N] arrays.

D days, N listings, K buckets. NaN marks an absent cell. Every metric is taken within a day; a day on which it is
undefined (too few listings, constant scores) is NaN, never 0.
"""

from dataclasses import dataclass

import numpy as np

from atft_pipeline.evaluation.grid import Booleans, Buckets, Floats, Ints


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
    return Centred(filled, np.where(_varies(values, present) & (scale > 0), scale, np.nan))


def correlate(left: Centred, right: Centred) -> Floats:
    """Pearson correlation of rows with the same present cells [D]."""
    covariance = np.einsum("dn,dn->d", left.values, right.values)
    correlation: Floats = np.clip(covariance / (left.scale * right.scale), -1.0, 1.0)
    return correlation


def correlation_rows(left: Floats, right: Floats) -> Floats:
    """Pearson correlation of each pair of rows over the cells present in both [D]; constant rows are NaN."""
    both = np.isfinite(left) & np.isfinite(right)
    return correlate(centre_rows(np.where(both, left, np.nan)), centre_rows(np.where(both, right, np.nan)))


def _varies(values: Floats, present: Booleans) -> Booleans:
    """Say for each row whether its cells hold two different values; exact, so that 0.1 repeated is constant."""
    first = values[np.arange(len(values)), present.argmax(axis=1)]
    varies: Booleans = ((values != first[:, None]) & present).any(axis=1)
    return varies


def hit_rate_rows(score_ranks: Floats, return_ranks: Floats) -> Floats:
    """Share of listings on the right side of the middle: both ranks above it or both below [D]; chance is 0.5."""
    middle = (np.isfinite(score_ranks).sum(axis=1, keepdims=True) + 1) / 2
    product = np.sign(score_ranks - middle) * np.sign(return_ranks - middle)
    decided = np.abs(product) > 0.5
    count = decided.sum(axis=1)
    return np.where(count > 0, (product > 0.5).sum(axis=1) / np.maximum(count, 1), np.nan)


def bucket_rows(score_ranks: Floats, buckets: int) -> Buckets:
    """Bucket of each cell, 0 (lowest scores) to K-1; -1 where absent or where all scores of the day are equal [D, N].

    The edges are those of :func:`pandas.qcut`; tied scores share one bucket.
    """
    count = np.isfinite(score_ranks).sum(axis=1, keepdims=True)
    present = np.isfinite(score_ranks)
    usable = present & _varies(score_ranks, present)[:, None] & (count >= buckets)
    position = (np.where(usable, score_ranks, 1.0) - 1) * buckets / np.maximum(count - 1, 1)
    bucket = np.clip(np.ceil(position).astype(np.int64) - 1, 0, buckets - 1)
    return np.where(usable, bucket, -1).astype(np.int8)


def bucket_means(bucket: Buckets, returns: Floats, buckets: int) -> Floats:
    """Equal-weighted mean return of each bucket on each day [D, K]; an empty bucket is NaN."""
    D = returns.shape[0]
    row, column = np.nonzero((bucket >= 0) & np.isfinite(returns))
    cell = row * buckets + bucket[row, column]
    total = np.bincount(cell, weights=returns[row, column], minlength=D * buckets)
    count = np.bincount(cell, minlength=D * buckets)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(D, buckets)


def monotonicity_rows(means: Floats) -> Floats:
    """Rank correlation of the bucket number with the bucket's mean return on each day [D]."""
    steps = np.broadcast_to(np.arange(means.shape[1], dtype=np.float64), means.shape)
    whole = np.where(np.isfinite(means).all(axis=1, keepdims=True), means, np.nan)
    return correlation_rows(steps, rank_rows(whole))


def precision_rows(score_bucket: Buckets, return_bucket: Buckets, buckets: int) -> Floats:
    """Share of the top score bucket that is in the top return bucket [D]; chance is 1/K."""
    top = score_bucket == buckets - 1
    count = top.sum(axis=1)
    hits = (top & (return_bucket == buckets - 1)).sum(axis=1)
    return np.where(count > 0, hits / np.maximum(count, 1), np.nan)


def top_k_precision_rows(score_ranks: Floats, return_ranks: Floats, k: int) -> Floats:
    """Share of the k highest scores whose return lies above the day's median [D]; chance is one half.

    Days with fewer than 2 k listings or with equal scores only are undefined. Ties at the edge count as a whole.
    """
    present = np.isfinite(score_ranks)
    count = present.sum(axis=1, keepdims=True)
    top = present & (score_ranks > count - k) & (count >= 2 * k) & _varies(score_ranks, present)[:, None]
    size = top.sum(axis=1)
    hits = (top & (return_ranks > (count + 1) / 2)).sum(axis=1)
    return np.where(size > 0, hits / np.maximum(size, 1), np.nan)


def autocorrelation_rows(ranks: Floats, lag: int) -> Floats:
    """Correlation of a day's score ranks with those ``lag`` days before, over listings present on both [D].

    The ranks are those among all listings of their own day; they are not taken anew among the shared ones.
    """
    result = np.full(ranks.shape[0], np.nan)
    if ranks.shape[0] > lag:
        result[lag:] = correlation_rows(ranks[lag:], ranks[:-lag])
    return result


def turnover_rows(bucket: Buckets, lag: int, which: int) -> Floats:
    """Share of a bucket's members that were not in it ``lag`` days before [D]."""
    result = np.full(bucket.shape[0], np.nan)
    if bucket.shape[0] > lag:
        inside = bucket == which
        count = inside[lag:].sum(axis=1)
        new = (inside[lag:] & ~inside[:-lag]).sum(axis=1)
        known = (count > 0) & inside[:-lag].any(axis=1)
        result[lag:] = np.where(known, new / np.maximum(count, 1), np.nan)
    return result

"""Daily cross-sectional metrics, each a pure function of [D, N] arrays.

D days, N listings, K buckets. NaN marks an absent cell. Every metric is taken within a day; a day on which it is
undefined (too few listings, constant scores) is NaN, never 0.
"""

import numpy as np

from atft_pipeline.evaluation.grid import Booleans, Buckets, Floats


def common(scores: Floats, returns: Floats, min_listings: int) -> tuple[Floats, Floats]:
    """Keep the cells present in both arrays, and only days with at least ``min_listings`` of them."""
    both = np.isfinite(scores) & np.isfinite(returns)
    both &= (both.sum(axis=1) >= min_listings)[:, None]
    return np.where(both, scores, np.nan), np.where(both, returns, np.nan)


def rank_rows(values: Floats) -> Floats:
    """Rank each row from 1 upwards; ties share their mean rank as in :func:`scipy.stats.rankdata`, NaN stays NaN."""
    D, N = values.shape
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    first = np.ones((D, N), dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = np.cumsum(first.ravel()) - 1
    size = np.bincount(group)
    start = np.flatnonzero(first.ravel()) % N
    mean_rank = (start + (size - 1) / 2 + 1)[group].reshape(D, N)
    ranks = np.empty((D, N))
    np.put_along_axis(ranks, order, mean_rank, axis=1)
    return np.where(np.isnan(values), np.nan, ranks)


def correlation_rows(left: Floats, right: Floats) -> Floats:
    """Pearson correlation of each pair of rows over the cells present in both [D]; constant rows are NaN."""
    both = np.isfinite(left) & np.isfinite(right)
    count = both.sum(axis=1)
    safe = np.maximum(count, 1)[:, None]
    x = np.where(both, left, 0.0)
    y = np.where(both, right, 0.0)
    varies = _varies(left, both) & _varies(right, both)
    x = np.where(both, x - x.sum(axis=1, keepdims=True) / safe, 0.0)
    y = np.where(both, y - y.sum(axis=1, keepdims=True) / safe, 0.0)
    covariance = np.einsum("dn,dn->d", x, y)
    scale = np.sqrt(np.einsum("dn,dn->d", x, x)) * np.sqrt(np.einsum("dn,dn->d", y, y))
    defined = varies & (scale > 0)
    return np.where(defined, np.clip(covariance / np.where(defined, scale, 1.0), -1.0, 1.0), np.nan)


def _varies(values: Floats, both: Booleans) -> Booleans:
    """Say for each row whether its cells hold two different values; exact, so that 0.1 repeated is constant."""
    low = np.where(both, values, np.inf).min(axis=1)
    high = np.where(both, values, -np.inf).max(axis=1)
    varies: Booleans = high > low
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


def autocorrelation_rows(scores: Floats, lag: int) -> Floats:
    """Rank correlation of a day's scores with those ``lag`` days before, over listings present on both [D]."""
    result = np.full(scores.shape[0], np.nan)
    if scores.shape[0] > lag:
        now, before = common(scores[lag:], scores[:-lag], 2)
        result[lag:] = correlation_rows(rank_rows(now), rank_rows(before))
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

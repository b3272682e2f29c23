"""Daily cross-sectional metrics, each a pure function of [D, N] arrays.

D days, N listings, K buckets. NaN marks an absent cell. Every metric is taken within a day; a day on which it is
undefined (too few listings, constant scores) is NaN, never 0.
"""

import numpy as np

from atft_pipeline.evaluation.grid import Buckets
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import correlation_rows, rank_rows, varies


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
    usable = present & varies(score_ranks, present)[:, None] & (count >= buckets)
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
    top = present & (score_ranks > count - k) & (count >= 2 * k) & varies(score_ranks, present)[:, None]
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

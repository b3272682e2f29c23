"""Cross-sectional normalisation of one day: rank-Gauss or robust z over the universe.

The map is fitted on the universe rows of the day alone; rows outside the universe go through the same map and change
nothing. A missing value is 0, the middle of the day, in every case.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

Matrix = NDArray[np.float32]
Method = Literal["rank_gauss", "robust_z", "none"]

MAD_TO_SIGMA = 1.4826022185056018  # deviation of a normal law over its median absolute deviation
SIGN = np.uint32(0x80000000)
MISSING = np.uint32(0xFFFFFFFF)


def normalise_day(values: Matrix, universe: NDArray[np.bool_], method: Method, clip: float) -> Matrix:
    """Normalise one day.

    Args:
        values: raw features [F, n]; NaN and infinite = missing.
        universe: rows on which the map is fitted [n].
        method: ``rank_gauss`` (normal quantile of the mid-rank share), ``robust_z`` (median and MAD) or ``none``.
        clip: bound of the normalised values; ``none`` is not clipped.

    Returns:
        float32 [F, n] without NaN.
    """
    if method == "none":
        return np.where(np.isfinite(values), values, np.float32(0.0))
    return rank_gauss(values, universe, clip) if method == "rank_gauss" else robust_z(values, universe, clip)


def rank_gauss(values: Matrix, universe: NDArray[np.bool_], clip: float) -> Matrix:
    """Normal quantile of (universe rows below + half the universe rows level with it) / universe rows.

    For a universe row this is (average rank - 1/2) / n. The ends are held at 1/2 row from 0 and 1.
    """
    rows = values.shape[1]
    packed = _sortable(values).astype(np.uint64) << np.uint64(32)
    packed |= np.arange(rows, dtype=np.uint64)
    packed.sort(axis=1)
    place = packed.astype(np.uint32).astype(np.int32)  # the low half: which row
    key = (packed >> np.uint64(32)).astype(np.uint32)
    counted = np.cumsum(universe[place], axis=1, dtype=np.int32)
    level = _below_plus_up_to(key, counted)
    known = np.where(key[:, -1:] == MISSING, 0, rows)[:, 0]
    short = np.flatnonzero(known == 0)
    size = counted[:, -1].copy()
    if len(short):
        first = np.array([int(np.searchsorted(key[feature], MISSING)) for feature in short])
        size[short] = np.where(first > 0, counted[short, np.maximum(first - 1, 0)], 0)
    ordered = np.empty(values.shape, dtype=np.float32)
    for count in np.unique(size):
        chosen = slice(None) if (size == count).all() else np.flatnonzero(size == count)
        ordered[chosen] = gauss_table(int(count), clip)[np.minimum(level[chosen], 2 * count)]
    if len(short):
        ordered[key == MISSING] = 0.0
    out = np.empty_like(ordered)
    np.put_along_axis(out, place, ordered, axis=1)
    return out


def _sortable(values: Matrix) -> NDArray[np.uint32]:
    """Map floats to unsigned integers of the same order; missing values come last, and -0 equals 0."""
    bits = (np.ascontiguousarray(values) + np.float32(0.0)).view(np.uint32)
    key = np.where(bits & SIGN, ~bits, bits | SIGN)
    key[~np.isfinite(values)] = MISSING
    return key


def _below_plus_up_to(key: NDArray[np.uint32], counted: NDArray[np.int32]) -> NDArray[np.int32]:
    """Universe rows strictly below plus those not above each sorted entry: twice the middle of its tie.

    Args:
        key: sorted along axis 1 [F, n].
        counted: universe rows up to and with each entry [F, n].
    """
    breaks = key[:, 1:] != key[:, :-1]
    below = np.zeros_like(counted)
    np.copyto(below[:, 1:], counted[:, :-1], where=breaks)
    np.maximum.accumulate(below, axis=1, out=below)
    up_to = np.full_like(counted, np.iinfo(np.int32).max)
    up_to[:, -1] = counted[:, -1]
    np.copyto(up_to[:, :-1], counted[:, :-1], where=breaks)
    backward = up_to[:, ::-1]
    np.minimum.accumulate(backward, axis=1, out=backward)
    below += up_to
    return below


@lru_cache(maxsize=64)
def gauss_table(count: int, clip: float) -> Matrix:
    """Clipped normal quantiles of i / (2 count) for i = 0 .. 2 count; all 0 for an empty universe."""
    if count == 0:
        return np.zeros(1, dtype=np.float32)
    share = np.arange(2 * count + 1) / (2.0 * count)
    return np.clip(ndtri(np.clip(share, 0.5 / count, 1.0 - 0.5 / count)), -clip, clip).astype(np.float32)


def robust_z(values: Matrix, universe: NDArray[np.bool_], clip: float) -> Matrix:
    """(value - median) / (1.4826 MAD) over the universe; the deviation where the MAD is 0, and 0 where both are."""
    known = np.isfinite(values)
    inside = np.where(known & universe, values, np.nan).astype(np.float64)
    count = (known & universe).sum(axis=1)
    centre = _median(inside, count)
    distance = inside - centre[:, None]
    scale = MAD_TO_SIGMA * _median(np.abs(distance), count)
    square = np.where(np.isnan(distance), 0.0, distance * distance).sum(axis=1)
    scale = np.where(scale > 0, scale, np.sqrt(square / np.maximum(count, 1)))
    with np.errstate(all="ignore"):
        score = (values - centre[:, None]) / scale[:, None]
    return np.where(known & np.isfinite(score), np.clip(score, -clip, clip), 0.0).astype(np.float32)


def _median(values: NDArray[np.float64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of the first ``count`` sorted entries of each line; NaN entries sort last."""
    ordered = np.sort(values, axis=1)
    line, last = np.arange(len(values)), values.shape[1] - 1
    low, high = ordered[line, np.clip((count - 1) // 2, 0, last)], ordered[line, np.clip(count // 2, 0, last)]
    return np.where(count > 0, (low + high) / 2.0, np.nan)

"""Cross-sectional normalisation of one day: rank-Gauss or robust z over the universe.

The map is fitted on the universe rows of the day alone; rows outside the universe go through the same map and change
nothing. A missing value is 0, the middle of the day, in every case.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from atft_pipeline.features.config import Method

Matrix = NDArray[np.float32]

MAD_TO_SIGMA = 1.4826022185056018  # deviation of a normal law over its median absolute deviation
MISSING = np.uint32(0xFFFFFFFF)  # above every finite value
TIE = np.uint64(2**32)
CACHE_CELLS = 32768  # values that are ranked at a time: their keys fit a second-level cache


def normalise_day(values: Matrix, universe: NDArray[np.bool_], method: Method, clip: float) -> Matrix:
    """Normalise one day.

    Args:
        values: raw features [F, n]; NaN and infinite = missing.
        universe: rows on which the map is fitted [n].
        method: ``rank_gauss`` (normal quantile of the mid-rank fraction), ``robust_z`` (median and MAD) or ``none``.
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
    out = np.empty(values.shape, dtype=np.float32)
    step = max(1, CACHE_CELLS // max(1, values.shape[1]))
    for line in range(0, len(values), step):
        out[line : line + step] = _rank_gauss(values[line : line + step], universe, clip)
    return out


def _rank_gauss(values: Matrix, universe: NDArray[np.bool_], clip: float) -> Matrix:
    """Rank-Gauss of so few lines that the work stays in the processor's cache."""
    lines, rows = values.shape
    key, missing = _sortable(values)
    packed = key.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= np.arange(rows, dtype=np.uint64)
    packed.sort(axis=1)
    level_with_next = (packed[:, 1:] ^ packed[:, :-1]) < TIE
    packed &= np.uint64(0xFFFFFFFF)
    rows_at = packed.view(np.int64)  # which row stands at each rank
    inside = universe.astype(np.int64)[rows_at]
    counted = np.cumsum(inside, axis=1)
    present = rows - missing
    size = np.where(present > 0, counted[np.arange(lines), np.maximum(present - 1, 0)], 0)
    level = _twice_the_middle(level_with_next, inside, counted)
    ordered = np.empty(values.shape, dtype=np.float32)
    for count in np.unique(size).tolist():
        chosen = np.flatnonzero(size == count)
        whole = slice(None) if len(chosen) == lines else chosen
        ordered[whole] = gauss_table(count, clip).take(level[whole], mode="clip")
    for line in np.flatnonzero(missing).tolist():
        ordered[line, present[line] :] = 0.0
    out = np.empty(lines * rows, dtype=np.float32)
    rows_at += np.arange(0, lines * rows, rows)[:, None]
    out[rows_at.reshape(-1)] = ordered.reshape(-1)
    return out.reshape(lines, rows)


def _sortable(values: Matrix) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Map floats to unsigned integers of the same order; missing values come last, and -0 equals 0.

    Returns:
        The integers [F, n], and how many values are missing on each line [F].
    """
    bits = np.ascontiguousarray(values + np.float32(0.0)).view(np.int32)
    key = ((bits >> 31) | np.int32(-(2**31))).view(np.uint32)
    key ^= bits.view(np.uint32)  # negative: all bits turned; else: the sign bit set
    absent = ~np.isfinite(values)
    missing = np.count_nonzero(absent, axis=1)
    if missing.any():
        key[absent] = MISSING
    return key, missing


def _twice_the_middle(
    level_with_next: NDArray[np.bool_], inside: NDArray[np.int64], counted: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Universe rows strictly below plus those not above each sorted entry.

    Args:
        level_with_next: the entry ties with the one after it [F, n - 1].
        inside: 1 for a universe row [F, n].
        counted: universe rows up to and with each entry [F, n].
    """
    lines, rows = counted.shape
    below = counted - inside
    level = below + counted
    tied = np.zeros((lines, rows + 1), dtype=np.int8)
    tied[:, 1:rows] = level_with_next
    turn = np.diff(tied, axis=1).reshape(-1)
    first, last = np.flatnonzero(turn == 1), np.flatnonzero(turn == -1)
    if len(first):
        length = last - first + 1
        member = np.arange(int(length.sum())) + np.repeat(first - np.cumsum(length) + length, length)
        level.reshape(-1)[member] = np.repeat(below.reshape(-1)[first] + counted.reshape(-1)[last], length)
    return level


@lru_cache(maxsize=64)
def gauss_table(count: int, clip: float) -> Matrix:
    """Clipped normal quantiles of i / (2 count) for i = 0 .. 2 count; all 0 for an empty universe."""
    if count == 0:
        return np.zeros(1, dtype=np.float32)
    fraction = np.arange(2 * count + 1) / (2.0 * count)
    return np.clip(ndtri(np.clip(fraction, 0.5 / count, 1.0 - 0.5 / count)), -clip, clip).astype(np.float32)


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

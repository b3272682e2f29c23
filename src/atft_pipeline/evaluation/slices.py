"""Slices of an evaluation: RankIC within groups of listings and over stretches of time, and beside known styles.

D days, N listings, K groups, W the most members of a group on a day.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atft_pipeline.evaluation.grid import Dates
from atft_pipeline.stats.arrays import Floats, Ints
from atft_pipeline.stats.rank_ic import centre_rows, correlate, rank_rows, ranked

Labels = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Grouping:
    """Which cells belong together.

    Attributes:
        names: of the groups [K].
        index: flat cell of each member, -1 = padding [D * K, W].
    """

    names: tuple[str, ...]
    index: Ints

    @classmethod
    def of(cls, labels: Labels, names: Sequence[str]) -> "Grouping":
        """Group the cells of each day by label; -1 belongs to none.

        Args:
            labels: number of each cell's group [D, N].
            names: of the groups [K].
        """
        D, K = len(labels), len(names)
        day, column = np.nonzero(labels >= 0)
        key = day * K + labels[day, column]
        order = np.argsort(key, kind="stable")
        count = np.bincount(key, minlength=D * K)
        position = np.arange(key.size) - np.repeat(np.cumsum(count) - count, count)
        index = np.full((D * K, max(int(count.max(initial=1)), 1)), -1, dtype=np.int64)
        index[key[order], position] = (day * labels.shape[1] + column)[order]
        return cls(tuple(names), index)

    def take(self, values: Floats) -> Floats:
        """Values of the members [D * K, W], NaN where padded."""
        return np.where(self.index >= 0, values.ravel()[np.maximum(self.index, 0)], np.nan)


def rank_ic_within(grouping: Grouping, scores: Sequence[Floats], returns: Floats, least: int) -> list[Floats]:
    """RankIC within each group on each day [D, K] of some scores; NaN where a group has fewer than ``least`` members.

    Args:
        grouping: which cells belong together.
        scores: or their ranks among the day, which order alike [D, N] each; NaN where absent.
        returns: or their ranks [D, N].
        least: members with scores and return that a group needs.
    """
    realised = grouping.take(returns)
    both = np.isfinite(realised)
    laid = [grouping.take(values) for values in scores]
    for values in laid:
        both &= np.isfinite(values)
    both &= (both.sum(axis=1) >= least)[:, None]
    ranks = ranked(np.where(both, realised, np.nan))
    return [
        correlate(ranked(np.where(both, values, np.nan)), ranks).reshape(-1, len(grouping.names)) for values in laid
    ]


def quantile_labels(values: Floats, groups: int) -> Labels:
    """Quantile group of each cell among its day's known values, 0 = lowest; -1 where not known [D, N]."""
    ranks = rank_rows(values)
    count = np.isfinite(ranks).sum(axis=1, keepdims=True)
    position = np.floor((np.nan_to_num(ranks, nan=1.0) - 1) * groups / np.maximum(count, 1))
    return np.where(np.isfinite(ranks), np.clip(position, 0, groups - 1), -1).astype(np.int8)


def largest_labels(values: Floats, count: int) -> Labels:
    """0 for the ``count`` largest known values of each day, else -1 [D, N]; days with fewer values have all of them."""
    ranks = rank_rows(values)
    known = np.isfinite(ranks).sum(axis=1, keepdims=True)
    return np.where(np.isfinite(ranks) & (ranks > known - count), 0, -1).astype(np.int8)


def style_neutral(ranks: Floats, styles: Sequence[Floats]) -> Floats:
    """What of the score ranks no style explains: residual of a regression on the styles' ranks, within each day [D, N].

    Ranks are centred and divided by the day's count; a listing without a style takes the middle. All days are solved at
    once. A style that is unknown for a whole day plays no part on it.

    Args:
        ranks: score ranks [D, N], NaN where absent.
        styles: ranks within the day [D, N] each.
    """
    present = np.isfinite(ranks)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    columns = []
    for style in styles:
        centred = centre_rows(np.where(present, style, np.nan)).values
        columns.append(centred / count)
    y = centre_rows(ranks).values / count
    gram = np.array([[np.einsum("dn,dn->d", left, right) for right in columns] for left in columns]).transpose(2, 0, 1)
    moment = np.array([np.einsum("dn,dn->d", column, y) for column in columns]).T
    slopes = np.einsum("dij,dj->di", np.linalg.pinv(gram, hermitian=True), moment)
    for position, column in enumerate(columns):
        y -= slopes[:, position, None] * column
    return np.where(present, y, np.nan)


def months_of(days: Dates) -> list[str]:
    """Calendar month of each day, as ISO text."""
    return [str(month) for month in days.astype("datetime64[M]")]


def years_of(days: Dates) -> list[str]:
    """Calendar year of each day."""
    return [str(year) for year in days.astype("datetime64[Y]")]


def regime_of(level: Floats) -> list[str]:
    """Third of each day among all days by the market's volatility; a description in hindsight, no signal."""
    names = ("calm", "middle", "stormy")
    known = np.isfinite(level)
    if not known.any():
        return ["unknown"] * level.size
    edges = np.quantile(level[known], [1 / 3, 2 / 3])
    position = np.searchsorted(edges, np.nan_to_num(level), side="right")
    return [names[int(number)] if ok else "unknown" for number, ok in zip(position, known, strict=True)]

"""Training rows as LightGBM bins them: one byte a row and feature, read from the panel day by day.

F features, Q horizons, D days, n rows.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from atft_pipeline.errors import DataError
from atft_pipeline.stats.arrays import Ints

# Of the memory that is available when the fit begins; the rest is left to everything else on the machine.
MEMORY_SHARE = 0.5
# Bytes a row beside its bins and targets: scores, gradients, label, weight and the orders of rows inside LightGBM.
BYTES_A_ROW = 64


@dataclass(frozen=True)
class DayTable:
    """Rows to be fitted on; their features are read when they are needed.

    Attributes:
        days: sessions, ascending [D].
        sizes: rows of each day [D].
        features: F.
        targets: float32, NaN where missing [n, Q].
        read: features [rows of the day, F] of a session.
    """

    days: Sequence[int]
    sizes: Sequence[int]
    features: int
    targets: npt.NDArray[np.float32]
    read: Callable[[int], npt.NDArray[np.floating]]

    @property
    def day_of(self) -> Ints:
        """Place of each row's day [n]."""
        return np.repeat(np.arange(len(self.sizes)), self.sizes)


def row_limit(features: int, horizons: int, memory: int, *, folds: int, fold_rows: int) -> int:
    """Most training rows that a fit may bin in this much memory; at least one.

    Args:
        features: F, a byte each.
        horizons: Q, a float32 target each.
        memory: bytes that are available.
        folds: how often the bins of the rows that the folds draw lie in memory beside those of all rows.
        fold_rows: most rows that the folds draw.
    """
    budget = MEMORY_SHARE * memory
    row, drawn = features + 4 * horizons + BYTES_A_ROW, folds * features
    most = budget / (row + drawn)  # while the folds draw every row
    if most > fold_rows:
        most = (budget - drawn * fold_rows) / row
    return max(1, int(most))


def thin_days(days: Sequence[int], rows: Sequence[int], most: int) -> list[int]:
    """Evenly spaced days whose rows together do not exceed ``most``; all of them where they fit, at least one.

    Args:
        days: ascending.
        rows: of each day.
        most: rows that are allowed.
    """
    if not days:
        return []
    kept = len(days)
    while kept > 1:
        places = np.linspace(0, len(days) - 1, kept).round().astype(int)
        total = sum(rows[place] for place in places)
        if total <= most:
            return [days[place] for place in places]
        kept = min(kept - 1, max(1, math.ceil(kept * most / total)))
    return [days[len(days) // 2]]


def bin_rows(table: DayTable, parameters: dict[str, Any]) -> lgb.Dataset:
    """Bin all rows once; horizons, folds and settings share the bins.

    Raises:
        DataError: there is no day.
    """
    if not len(table.days):
        raise DataError("lightgbm: no training day; check the split")
    read = functools.lru_cache(maxsize=1)(table.read)
    days: list[lgb.Sequence] = [_Day(day, size, read) for day, size in zip(table.days, table.sizes, strict=True)]
    rows = len(table.targets)
    return lgb.Dataset(days, label=np.zeros(rows, dtype=np.float32), params=parameters).construct()


class _Day(lgb.Sequence):
    """Rows of one day: LightGBM asks for some of them to place its bins, then for all, one day after the other."""

    def __init__(self, day: int, size: int, read: Callable[[int], npt.NDArray[np.floating]]) -> None:
        self.day, self.read = day, read
        self.batch_size = self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: Any) -> npt.NDArray[np.floating]:
        # Single rows, which place the bins, have to be doubles.
        kind = np.float32 if isinstance(index, slice) else np.float64
        return np.array(self.read(self.day)[index], dtype=kind)

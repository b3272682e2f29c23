"""Linear baseline: ridge regression from accumulated normal equations, one pass over the training days.

F features, Q horizons, A penalties, n rows of a block.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atft_pipeline.errors import DataError
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import rank_ic

Block = tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]
"""Features [n, F] and targets [n, Q] of one day; NaN marks a missing target."""


PENALTIES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties tried; each is multiplied by the number of training rows, so that its meaning does not depend on them."""


@dataclass(frozen=True)
class LinearModel:
    """A linear score for each horizon.

    Attributes:
        coefficients: [F, Q].
        intercept: [Q].
        alpha: penalty of each horizon on the scale of :class:`sklearn.linear_model.Ridge` [Q].
    """

    coefficients: Floats
    intercept: Floats
    alpha: Floats

    def predict(self, features: npt.NDArray[np.floating]) -> Floats:
        """Score rows [n, F] at all horizons [n, Q]."""
        return np.asarray(features, dtype=np.float64) @ self.coefficients + self.intercept


class NormalEquations:
    """Sums from which ridge follows for any penalty; memory Q F^2, independent of the rows.

    Rows whose targets are all present share one Gram matrix; the few others are added for each horizon apart.
    """

    def __init__(self, features: int, horizons: int) -> None:
        F, Q = features + 1, horizons
        self._gram = np.zeros((F, F))
        self._extra = np.zeros((Q, F, F))
        self._moment = np.zeros((F, Q))

    def add(self, features: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]) -> None:
        """Add a block: features [n, F], targets [n, Q]."""
        X = np.ones((features.shape[0], features.shape[1] + 1))
        X[:, :-1] = features
        if not np.isfinite(X).all():
            raise DataError("ridge: a feature is NaN or infinite; the feature table must hold finite numbers")
        present = np.isfinite(targets)
        complete = present.all(axis=1)
        self._gram += X[complete].T @ X[complete]
        self._moment += X.T @ np.where(present, targets, 0.0)
        for q in range(targets.shape[1]):
            rows = X[present[:, q] & ~complete]
            if rows.size:
                self._extra[q] += rows.T @ rows

    def rows(self) -> Floats:
        """Rows with a target, for each horizon [Q]."""
        return np.asarray(self._gram[-1, -1] + self._extra[:, -1, -1])

    def solve(self, alpha: Floats) -> LinearModel:
        """Solve for the penalties alpha [Q]; the intercept is not penalised.

        Raises:
            DataError: a horizon has no row with a target.
        """
        F, Q = self._gram.shape[0] - 1, self._moment.shape[1]
        coefficients, intercept = np.zeros((F, Q)), np.zeros(Q)
        for q in range(Q):
            gram = self._gram + self._extra[q]
            n = gram[-1, -1]
            if n == 0:
                raise DataError(f"ridge: target number {q} is missing in every training row; widen the training days")
            mean_x, mean_y = gram[:-1, -1] / n, self._moment[-1, q] / n
            left = gram[:-1, :-1] - n * np.outer(mean_x, mean_x)
            left[np.diag_indices(F)] += alpha[q]
            right = self._moment[:-1, q] - n * mean_x * mean_y
            # lstsq, not solve: with penalty 0 a constant feature makes the matrix singular.
            coefficients[:, q] = np.linalg.lstsq(left, right, rcond=None)[0]
            intercept[q] = mean_y - mean_x @ coefficients[:, q]
        return LinearModel(coefficients, intercept, np.asarray(alpha, dtype=np.float64))


def accumulate(blocks: Iterable[Block]) -> NormalEquations:
    """Sum the normal equations of all blocks.

    Raises:
        DataError: there is no block.
    """
    sums: NormalEquations | None = None
    for features, targets in blocks:
        if sums is None:
            sums = NormalEquations(features.shape[1], targets.shape[1])
        sums.add(features, targets)
    if sums is None:
        raise DataError("ridge: no training day; check the split")
    return sums


def choose_ridge(training: Iterable[Block], validation: Iterable[Block]) -> LinearModel:
    """Fit every penalty in one pass and keep, for each horizon, the best mean daily RankIC on the validation days.

    Args:
        training: blocks of the training days.
        validation: blocks of the validation days, one day each.
    """
    sums = accumulate(training)
    fitted = [sums.solve(penalty * sums.rows()) for penalty in PENALTIES]
    daily = [
        np.stack([rank_ic_columns(model.predict(features), targets) for model in fitted])
        for features, targets in validation
    ]
    if not daily:
        raise DataError("ridge: no validation day; check the split")
    values = np.stack(daily)  # [days, A, Q]
    defined = np.isfinite(values)
    mean = np.where(defined, values, 0.0).sum(axis=0) / np.maximum(defined.sum(axis=0), 1)
    best = np.where(defined.any(axis=0), mean, -np.inf).argmax(axis=0)
    columns = range(best.size)
    return LinearModel(
        np.stack([fitted[best[q]].coefficients[:, q] for q in columns], axis=1),
        np.array([fitted[best[q]].intercept[q] for q in columns]),
        np.array([fitted[best[q]].alpha[q] for q in columns]),
    )


def rank_ic_columns(scores: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]) -> Floats:
    """RankIC of one day for each column: scores [n, Q] against targets [n, Q]; NaN where undefined [Q]."""
    return rank_ic(np.asarray(scores.T, dtype=np.float64), np.asarray(targets.T, dtype=np.float64))

"""Rolling kernels on dense blocks [rows, listings], every listing on its own row axis.

A window of any size is put together from smaller windows by doubling (60 = 30 + 30, 30 = 20 + 10, ...). All windows of
a formula cost some eight additions a row, nothing is subtracted (so no cancellation), and a value depends on the
rows of its window alone: a build of the last days gives the same bits as a build of everything. The first rows use the
rows that exist (``min_periods=1``); missing values (NaN) are left out of the window.
"""

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# A window whose squared deviations are below this fraction of its squares holds one value up to rounding.
CONSTANT_FRACTION = 1e-14


class Step(NamedTuple):
    """Window ``size`` = the newest ``newer`` rows and the ``older`` rows before them."""

    size: int
    newer: int
    older: int


def doubling_plan(windows: tuple[int, ...]) -> tuple[Step, ...]:
    """Order the additions that build all windows from single rows."""
    built = {1}
    steps: list[Step] = []
    for window in sorted(set(windows)):
        size = max(entry for entry in built if entry <= window)
        while size < window:
            older = size if 2 * size <= window else max(entry for entry in built if entry <= window - size)
            if size + older not in built:
                steps.append(Step(size + older, size, older))
                built.add(size + older)
            size += older
    return tuple(steps)


def shift(values: Floats, rows: int) -> Floats:
    """Value of ``rows`` rows ago; NaN before the first row (Qlib's Ref)."""
    out = np.full_like(values, np.nan)
    out[rows:] = values[: max(len(values) - rows, 0)]
    return out


def _fold(values: Floats, plan: tuple[Step, ...], combine: Callable[..., Floats]) -> dict[int, Floats]:
    """Windowed reductions of all sizes in the plan by an associative, in-place binary function."""
    built = {1: values}
    for size, newer, older in plan:
        out = built[newer].copy()
        if newer < len(out):
            combine(out[newer:], built[older][: len(out) - newer], out=out[newer:])
        built[size] = out
    return built


class Extremes(NamedTuple):
    """Windowed maxima or minima and how many rows ago they were first met."""

    value: dict[int, Floats]
    lag: dict[int, NDArray[np.int16]]


def _extremes(values: Floats, plan: tuple[Step, ...], sign: float) -> Extremes:
    """Windowed ``sign * max(sign * values)`` with its lag; ties go to the oldest row, as in NumPy's argmax."""
    key = np.where(np.isnan(values), -np.inf, sign * values)
    value, lag = {1: key}, {1: np.zeros(key.shape, dtype=np.int16)}
    for size, newer, older in plan:
        best, where = value[newer].copy(), lag[newer].copy()
        if newer < len(best):
            rows = len(best) - newer
            candidate = value[older][:rows]
            # The older half wins ties: the first of equal extremes counts.
            take = candidate >= best[newer:]
            np.copyto(where[newer:], lag[older][:rows] + np.int16(newer), where=take)
            np.maximum(best[newer:], candidate, out=best[newer:])
        value[size], lag[size] = best, where
    return Extremes(value, lag)


class RollingSeries:
    """All windowed statistics of one block column [rows, listings], computed when first asked for.

    Args:
        values: float64 [rows, listings], NaN = missing.
        windows: every window that will be asked for.
    """

    def __init__(self, values: Floats, windows: tuple[int, ...]) -> None:
        self.values = values
        self.windows = windows
        self.plan = doubling_plan(windows)
        missing = np.isnan(values)
        self.complete = not bool(missing.any())
        self.valid = ~missing
        self.filled = values if self.complete else np.where(missing, 0.0, values)

    @cached_property
    def counts(self) -> dict[int, Floats]:
        """Number of present values in each window: [rows, 1] where nothing is missing, else [rows, listings]."""
        if self.complete:
            row = np.arange(1, len(self.values) + 1, dtype=np.float64)[:, None]
            return {window: np.minimum(row, window) for window in (1, *(step.size for step in self.plan))}
        return _fold(self.valid.astype(np.float64), self.plan, np.add)

    @cached_property
    def sums(self) -> dict[int, Floats]:
        """Windowed sums; 0 where the window is empty."""
        return _fold(self.filled, self.plan, np.add)

    @cached_property
    def squares(self) -> dict[int, Floats]:
        """Windowed sums of squares."""
        return _fold(self.filled * self.filled, self.plan, np.add)

    @cached_property
    def maxima(self) -> Extremes:
        """Windowed maxima and their lags."""
        return _extremes(self.values, self.plan, 1.0)

    @cached_property
    def minima(self) -> Extremes:
        """Windowed minima (as negated maxima in ``value``) and their lags."""
        return _extremes(self.values, self.plan, -1.0)

    @cached_property
    def lag_sums(self) -> dict[int, Floats]:
        """Windowed sums of lag times value, the newest row at lag 0."""
        return _lag_weighted(self.sums, self.plan)

    @cached_property
    def lag_moments(self) -> tuple[dict[int, Floats], dict[int, Floats]]:
        """Windowed sums of the lag and of the squared lag over the present values."""
        if self.complete:
            first = {w: n * (n - 1) / 2 for w, n in self.counts.items()}
            return first, {w: (n - 1) * n * (2 * n - 1) / 6 for w, n in self.counts.items()}
        first = _lag_weighted(self.counts, self.plan)
        second = {1: np.zeros_like(self.filled)}
        for size, newer, older in self.plan:
            out = second[newer].copy()
            if newer < len(out):
                rows = len(out) - newer
                out[newer:] += second[older][:rows] + 2.0 * newer * first[older][:rows]
                out[newer:] += float(newer * newer) * self.counts[older][:rows]
            second[size] = out
        return first, second

    def sum(self, window: int) -> Floats:
        """Windowed sum, NaN where the window is empty."""
        return self._where_any(self.sums[window], window)

    def mean(self, window: int) -> Floats:
        """Windowed mean of the present values, NaN where there is none."""
        return self.sums[window] / self.counts[window]

    def deviations(self, window: int) -> Floats:
        """Windowed sum of squared deviations from the mean; exactly 0 for a constant window."""
        squares = self.squares[window]
        return deviations(squares, self.sums[window], self.sums[window], self.counts[window], squares)

    def std(self, window: int) -> Floats:
        """Windowed standard deviation (ddof 1), NaN below two values."""
        return np.sqrt(self.deviations(window) / over_one(self.counts[window]))

    def max(self, window: int) -> Floats:
        """Windowed maximum, NaN where the window is empty."""
        return self._where_any(self.maxima.value[window], window)

    def min(self, window: int) -> Floats:
        """Windowed minimum, NaN where the window is empty."""
        return self._where_any(-self.minima.value[window], window)

    def max_position(self, window: int) -> Floats:
        """1-based position of the first maximum, counted from the window's oldest row (Qlib's IdxMax)."""
        return self._position(self.maxima.lag[window], window)

    def min_position(self, window: int) -> Floats:
        """1-based position of the first minimum, counted from the window's oldest row (Qlib's IdxMin)."""
        return self._position(self.minima.lag[window], window)

    def trend(self, window: int) -> tuple[Floats, Floats, Floats]:
        """Least-squares line on the row number: slope, R squared, residual of the newest row."""
        count, total = self.counts[window], self.sums[window]
        lag, lag_square = self.lag_moments[0][window], self.lag_moments[1][window]
        covariance = lag * total - count * self.lag_sums[window]
        spread = count * lag_square - lag * lag
        slope = covariance / spread
        spread = spread * count
        rsquare = covariance * covariance / (spread * nonzero(self.deviations(window)))
        residual = self.values - (total + slope * lag) / count
        return slope, rsquare, residual

    def quantiles(self, window: int, fractions: tuple[float, ...]) -> list[Floats]:
        """Windowed quantiles with linear interpolation over the present values."""
        # Sorting puts NaN last, so the first ``count`` entries of a window are its present values in order.
        padded = np.full((self.values.shape[1], len(self.values) + window - 1), np.nan)
        padded[:, window - 1 :] = self.values.T
        ordered = np.sort(sliding_window_view(padded, window, axis=1), axis=-1).reshape(-1)
        listings, rows = self.values.shape[1], len(self.values)
        base = (np.arange(listings * rows) * window).reshape(listings, rows)
        last = np.maximum(np.broadcast_to(self.counts[window], self.values.shape).T - 1.0, 0.0)
        out = []
        for fraction in fractions:
            position = fraction * last
            low = np.floor(position).astype(np.int64)
            high = np.minimum(low + 1, last.astype(np.int64))
            lower, upper = ordered[base + low], ordered[base + high]
            out.append(np.ascontiguousarray((lower + (upper - lower) * (position - low)).T))
        return out

    def percent_ranks(self) -> dict[int, Floats]:
        """Average rank of the newest row in each window over the number of present values (Qlib's Rank)."""
        # Twice the number of smaller values plus the ties, so that half ranks stay whole numbers; they fit a byte.
        less2 = np.zeros(self.values.shape, dtype=np.uint8)
        out: dict[int, Floats] = {}
        longest = max(self.windows)
        for lag in range(1, longest + 1):
            if lag in self.windows:
                rank = (less2 * 0.5 + 1.0) / self.counts[lag]
                out[lag] = rank if self.complete else np.where(self.valid, rank, np.nan)
            if lag < longest and lag < len(self.values):
                now, then = self.values[lag:], self.values[: len(self.values) - lag]
                less2[lag:] += (then < now).view(np.uint8)
                less2[lag:] += (then <= now).view(np.uint8)
        return out

    def _where_any(self, values: Floats, window: int) -> Floats:
        return values if self.complete else np.where(self.counts[window] > 0, values, np.nan)

    def _position(self, lag: NDArray[np.int16], window: int) -> Floats:
        # At the start of a listing the window is shorter than its size.
        row = np.arange(1, len(self.values) + 1, dtype=np.float64)[:, None]
        return self._where_any(np.minimum(row, window) - lag, window)


def _lag_weighted(sums: dict[int, Floats], plan: tuple[Step, ...]) -> dict[int, Floats]:
    """Windowed sums of lag times value from the windowed sums of all sizes."""
    built = {1: np.zeros_like(sums[1])}
    for size, newer, older in plan:
        out = built[newer].copy()
        if newer < len(out):
            rows = len(out) - newer
            out[newer:] += built[older][:rows]
            out[newer:] += float(newer) * sums[older][:rows]
        built[size] = out
    return built


def deviations(products: Floats, first: Floats, second: Floats, count: Floats, scale: Floats) -> Floats:
    """Sum of products of deviations, 0 where it is rounding noise beside ``scale``; NaN where count is 0."""
    out = products - first * second / count
    out[np.abs(out) <= CONSTANT_FRACTION * scale] = 0.0
    return out


def over_one(count: Floats) -> Floats:
    """Degrees of freedom of a variance: count - 1, NaN below 1."""
    return np.where(count > 1, count - 1, np.nan)


def nonzero(values: Floats) -> Floats:
    """NaN in place of values that are not above 0: a division by them has no meaning."""
    return np.where(values > 0, values, np.nan)


class RollingPair:
    """Windowed moments of two block columns over the rows where both are present."""

    def __init__(self, first: Floats, second: Floats, windows: tuple[int, ...]) -> None:
        missing = np.isnan(first) | np.isnan(second)
        if bool(missing.any()):
            first, second = np.where(missing, np.nan, first), np.where(missing, np.nan, second)
        self.first = RollingSeries(first, windows)
        self.second = RollingSeries(second, windows)
        self.products = _fold(self.first.filled * self.second.filled, self.first.plan, np.add)

    def covariation(self, window: int) -> Floats:
        """Windowed sum of products of deviations."""
        one, two = self.first, self.second
        return self.products[window] - one.sums[window] * two.sums[window] / one.counts[window]

    def correlation(self, window: int) -> Floats:
        """Windowed correlation; NaN where either side is constant."""
        spread = self.first.deviations(window) * self.second.deviations(window)
        return self.covariation(window) / np.sqrt(nonzero(spread))

    def regression(self, window: int) -> tuple[Floats, Floats]:
        """Slope of the second on the first, and the standard deviation of its residuals (ddof 2)."""
        covariation = self.covariation(window)
        slope = covariation / nonzero(self.first.deviations(window))
        left = np.maximum(self.second.deviations(window) - slope * covariation, 0.0)
        freedom = self.first.counts[window] - 2
        return slope, np.sqrt(left / np.where(freedom > 0, freedom, np.nan))

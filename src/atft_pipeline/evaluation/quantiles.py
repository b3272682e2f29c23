"""Calibration of predicted quantiles, and the continuous ranked probability score made of their pinball losses.

R rows, D days, P quantile levels. The quantiles forecast the training TARGET of a row, so they are judged against it.
"""

import re
from dataclasses import dataclass

import numpy as np
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.stats.arrays import Floats


@dataclass(frozen=True)
class QuantileDays:
    """Daily series about the quantiles of one horizon.

    Attributes:
        levels: quantile levels, rising [P].
        below: share of the day's targets at or below each quantile; calibrated = the level [D, P].
        crps: mean score of the day, in units of the target; lower is better [D].
        reference: the same for one constant forecast, the quantiles of all targets of the table [D].
        crossed: share of rows whose quantiles are not in order.
    """

    levels: tuple[float, ...]
    below: Floats
    crps: Floats
    reference: Floats
    crossed: float


def level_weights(levels: Floats) -> Floats:
    """Weight of each level in the integral over (0, 1): the width of the cell around it, cells meeting midway [P]."""
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    return np.diff(edges)


def pinball(target: Floats, quantile: Floats, level: float) -> Floats:
    """Pinball loss of each row: level (y - q) above the quantile, (1 - level)(q - y) below it."""
    error = target - quantile
    return np.maximum(level * error, (level - 1) * error)


def quantile_days(table: pl.DataFrame, grid: Grid, horizon: int) -> QuantileDays | None:
    """Judge the columns ``quantile_{h}_{level}`` against ``target_{h}``; ``None`` where the table has no quantiles.

    CRPS = 2 * integral of the pinball loss over the levels (Gneiting and Raftery 2007, section 4.2), here a sum over
    the levels that there are, so it is an approximation that compares forecasts with the SAME levels.

    Raises:
        DataError: there are quantiles but no target.
    """
    pattern = re.compile(rf"^quantile_{horizon}_(0?\.\d+)$")
    found = sorted((float(match[1]), match[0]) for match in map(pattern.match, table.columns) if match)
    if not found:
        return None
    name = f"target_{horizon}"
    if name not in table.columns:
        raise DataError(f"prediction table: quantiles of horizon {horizon} but no column {name}; run evaluate again")
    levels = np.array([level for level, _ in found])
    target = table[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = np.isfinite(target)
    values = [table[column].cast(pl.Float64).to_numpy() for _, column in found]
    D, day = len(grid.days), grid.day[known]
    count = np.bincount(day, minlength=D).astype(np.float64)
    count[count == 0] = np.nan
    below, score, reference = np.empty((D, len(levels))), np.zeros(D), np.zeros(D)
    everything = np.quantile(target[known], levels) if known.any() else np.zeros(len(levels))
    crossed = np.zeros(len(target), dtype=bool)
    for position, (level, weight) in enumerate(zip(levels, level_weights(levels), strict=True)):
        quantile = values[position][known]
        below[:, position] = np.bincount(day, weights=target[known] <= quantile, minlength=D) / count
        score += 2 * weight * np.bincount(day, weights=pinball(target[known], quantile, level), minlength=D)
        constant = np.full(day.size, everything[position])
        reference += 2 * weight * np.bincount(day, weights=pinball(target[known], constant, level), minlength=D)
        if position:
            crossed |= values[position] < values[position - 1]
    return QuantileDays(tuple(levels.tolist()), below, score / count, reference / count, float(crossed.mean()))

"""A small market and a slow, plain computation of its graph to compare with."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.correlation import MAX_UNCHANGED
from atft_pipeline.graphs.graphs import MonthlyGraphs

Array = npt.NDArray[Any]


def make_market(
    days: int = 150, listings: int = 24, seed: int = 0, gaps: float = 0.05
) -> tuple[Array, Array, Array, Array]:
    """Returns [D, N] with gaps, dates [D], sectors and markets [N] (0 = unknown among them)."""
    rng = np.random.default_rng(seed)
    sector = rng.integers(0, 4, listings)
    market = rng.integers(0, 3, listings)
    common = rng.normal(0, 0.01, (days, 1))
    groups = rng.normal(0, 0.01, (days, 4))[:, sector]
    returns = (common + groups + rng.normal(0, 0.01, (days, listings))).astype(np.float32)
    gappy = rng.random(listings) < 0.6
    returns[(rng.random(returns.shape) < gaps) & gappy] = np.nan
    weekdays = np.arange("2020-01-01", "2025-01-01", dtype="datetime64[D]")
    weekdays = weekdays[np.is_busday(weekdays)][:days]
    return returns, weekdays, sector, market


def names(count: int) -> tuple[str, ...]:
    return tuple(f"L{number:04d}" for number in range(count))


def build(out: Path, market: tuple[Array, Array, Array, Array], config: GraphConfig, **more: Any) -> MonthlyGraphs:
    returns, dates, sector, segment = market
    build_graphs(returns, dates, names(returns.shape[1]), sector, segment, config, "index", out, {}, **more)
    return MonthlyGraphs.open(out)


def plain_correlations(window: Array, sector: Array, config: GraphConfig) -> Array:
    """Correlations [N, N] by a double loop in float64; NaN where a pair has none."""
    returns = window.astype(np.float64)
    sessions, listings = returns.shape
    seen = np.isfinite(returns)
    active = [
        column
        for column in range(listings)
        if seen[:, column].sum() >= config.min_observations
        and (returns[:, column] == 0).sum() <= MAX_UNCHANGED * seen[:, column].sum()
    ]
    if config.clip is not None:
        returns = np.clip(returns, -config.clip, config.clip)
    demeaned = returns.copy()
    for day in range(sessions):
        present = [column for column in active if seen[day, column]]
        for column in present:
            group = present
            own = [other for other in present if sector[other] == sector[column]]
            if config.demean == "sector" and sector[column] > 0 and len(own) >= 5:
                group = own
            if config.demean != "none":
                demeaned[day, column] -= np.mean(returns[day, group])
    age = np.arange(sessions)[::-1]
    weight = np.ones(sessions) if config.halflife is None else 0.5 ** (age / config.halflife)
    weight = weight * weight.sum() / (weight**2).sum()
    result = np.full((listings, listings), np.nan)
    for i in active:
        for j in active:
            both = seen[:, i] & seen[:, j]
            if i == j or both.sum() < config.min_observations:
                continue
            w, x, y = weight[both], demeaned[both, i], demeaned[both, j]
            x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
            value = (w * x * y).sum() / np.sqrt((w * x * x).sum() * (w * y * y).sum())
            result[i, j] = value * w.sum() / (w.sum() + config.shrinkage)
    return result


def plain_neighbors(correlation: Array, sector: Array, config: GraphConfig) -> Array:
    """Neighbours [N, k] by sorting each row; strongest first, -1 = none."""
    result = np.full((len(correlation), config.k), -1)
    for i, row in enumerate(np.abs(correlation)):
        ranked = sorted((j for j in range(len(row)) if np.isfinite(row[j])), key=lambda j: -row[j])
        own = [j for j in ranked if sector[j] == sector[i] and sector[i] > 0][: config.min_sector_neighbours]
        others = [j for j in ranked if j not in own and row[j] >= config.threshold]
        chosen = sorted((own + others)[: config.k], key=lambda j: -row[j])
        result[i, : len(chosen)] = chosen
    return result

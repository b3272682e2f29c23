"""Speed and memory of an evaluation at the size of the real test: ``python -m benchmarks.evaluation``.

A synthetic table of 540 days and about 3,700 listings a day (2 million rows) with four horizons, three scores and
prices; see docs/performance.md for what was measured.
"""

import argparse
import resource
import time

import numpy as np
import polars as pl

from atft_pipeline.evaluation.characteristics import WANTED, Characteristics
from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.evaluation.daily import Outcome, daily_metrics
from atft_pipeline.evaluation.evaluate import Extras, evaluate
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.evaluation.market import market_of
from atft_pipeline.process import keep_freed_memory

HORIZONS = (1, 5, 10, 20)
HISTORY = 260


def make(days: int, listings: int, present: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A prediction table and the prices that it is about."""
    generator = np.random.default_rng(0)
    sessions = days + HISTORY
    dates = np.datetime64("2014-01-01") + np.arange(sessions)
    change = 0.02 * generator.standard_normal((sessions, listings))
    close = 50 * np.exp(np.cumsum(change, axis=0))
    names = np.array([f"L{number:05d}" for number in range(listings)])
    prices = pl.DataFrame(
        {
            "Date": np.repeat(dates, listings),
            "Listing": np.tile(names, sessions),
            "Open": (close * np.exp(0.003 * generator.standard_normal(close.shape))).ravel(),
            "High": (close * np.exp(0.01 * generator.random(close.shape))).ravel(),
            "Low": (close * np.exp(-0.01 * generator.random(close.shape))).ravel(),
            "Close": close.ravel(),
            "Volume": generator.uniform(1e4, 1e6, close.size),
            "InUniverse": np.ones(close.size, dtype=bool),
        }
    )
    day, listing = np.nonzero(generator.random((days, listings)) < present)
    row = day + HISTORY
    columns: dict[str, object] = {"Date": dates[row], "Listing": names[listing], "sector": names[listing % 11]}
    for horizon in HORIZONS:
        ahead = np.minimum(row + horizon, sessions - 1)
        value = (close[ahead, listing] / close[row, listing] - 1).astype(np.float32)
        columns[f"return_{horizon}"] = pl.Series(np.where(row + horizon < sessions, value, np.nan)).fill_nan(None)
        for name in ("score", "ridge", "lightgbm"):
            columns[f"{name}_{horizon}"] = (value + 3 * generator.standard_normal(value.size)).astype(np.float32)
    return pl.DataFrame(columns), prices


def main() -> None:
    """Time the daily metrics alone, then the whole evaluation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=540)
    parser.add_argument("--listings", type=int, default=5000)
    arguments = parser.parse_args()
    table, prices = make(arguments.days, arguments.listings, 3700 / 5000)
    print(f"{table.height:,} rows, {arguments.days} days, {arguments.listings} listings, horizons {HORIZONS}")
    keep_freed_memory()  # as a run of the pipeline does
    print("seconds of processor time, one core")
    before = peak()
    start = time.process_time()
    grid = Grid.of(table)
    scores = 0
    for horizon in HORIZONS:
        outcome = Outcome(grid.to_days(table[f"return_{horizon}"]), horizon)
        for name in ("score", "ridge", "lightgbm"):
            daily_metrics(grid.to_days(table[f"{name}_{horizon}"]), outcome, 10, 20, 50)
            scores += 1
    took = time.process_time() - start
    print(f"daily metrics: {took:.1f} s for {scores} scores, {took / scores:.2f} s each")
    start = time.process_time()
    market = market_of(prices, grid.days, grid.listings, HORIZONS[-1])
    print(f"prices to returns and dollar volume: {time.process_time() - start:.1f} s")
    generator = np.random.default_rng(1)
    shape = len(grid.days), len(grid.listings)
    known = Characteristics({name: generator.standard_normal(shape) for name in dict.fromkeys(WANTED)})
    start = time.process_time()
    result = evaluate(table, EvaluationConfig(), Extras(market=market, characteristics=known))
    took = time.process_time() - start
    count = sum(len(part["scores"]) for part in result.metrics["horizons"].values())
    print(f"whole evaluation: {took:.1f} s for {count} scores, portfolios, slices, intervals")
    print(f"peak memory {peak():.1f} GiB, of it {before:.1f} GiB for the tables")


def peak() -> float:
    """Peak resident memory in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()

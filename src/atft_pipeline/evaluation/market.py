"""What an evaluation needs of the prices: returns to mark portfolios with, simple factors as baselines, styles.

T sessions from the first to the last scored day, N listings. Factors and styles of a day read prices up to that day
only; the forward return is what a portfolio earns over the session that follows.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Dates
from atft_pipeline.stats.arrays import Floats

Execution = Literal["close", "open"]

YEAR, QUARTER, MONTH = 252, 60, 21
HISTORY = YEAR + 8
RETURN_CAP = 0.5
FACTORS = ("reversal_1d", "reversal_5d", "momentum", "random")


@dataclass(frozen=True)
class Market:
    """Prices on the axes of an evaluation.

    Attributes:
        sessions: days between the first and the last scored one [T].
        forward: return of the session that follows, by execution [T, N]. ``close``: close to next close; ``open``:
            next open to the open after it. A listing without a price earns 0 until its next price shows what it
            earned meanwhile; NaN where the following session is not in the data.
        factors: baseline scores by name, higher = expected to rise [T, N]: reversal of the last 1 and 5 sessions,
            momentum of the last 252 sessions without the last 21.
        styles: beta (60 sessions), idiosyncratic volatility of the same regression, logarithm of the mean dollar volume
            of 21 sessions, momentum [T, N].
        dollar_volume: mean of 21 sessions, in units of the prices' currency [T, N].
        volatility: standard deviation of 60 daily returns, as a fraction [T, N].
        regime: standard deviation of the market's last 21 daily returns [T].
    """

    sessions: Dates
    forward: dict[Execution, Floats]
    factors: dict[str, Floats]
    styles: dict[str, Floats]
    dollar_volume: Floats
    volatility: Floats
    regime: Floats


def market_of(prices: pl.DataFrame, days: Dates, listings: tuple[str, ...]) -> Market | None:
    """Lay clean prices on the axes of an evaluation; ``None`` for a prepared table, which has no prices.

    Args:
        prices: Date, Listing, Open, Close, Volume, InUniverse.
        days: scored days, ascending.
        listings: names [N].

    Raises:
        DataError: a scored day is not among the sessions of the prices.
    """
    if not {"Open", "Close", "Volume"} <= set(prices.columns):
        return None
    every = prices["Date"].unique().sort().to_numpy().astype("datetime64[D]")
    first, last = np.searchsorted(every, days[[0, -1]])
    missing = np.setdiff1d(days, every)
    if missing.size:
        raise DataError(f"clean prices have no session {missing[0]}, which was scored; run kedro run --pipeline=data")
    begin, end = max(int(first) - HISTORY, 0), min(int(last) + 3, len(every))
    sessions = every[begin:end]
    laid = _lay(prices, sessions, listings)
    wanted = slice(int(first) - begin, int(last) + 1 - begin)
    close = _fill_forward(laid["Close"])
    with np.errstate(all="ignore"):
        change = laid["Close"] / _before(close, 1) - 1.0
        market = _market_return(change, laid["InUniverse"])
        beta, idiosyncratic = _regression(change, market)
        traded = _rolling_mean(laid["Close"] * laid["Volume"], MONTH)
        momentum = _before(close, MONTH) / _before(close, YEAR) - 1.0
        factors = {
            "reversal_1d": 1.0 - close / _before(close, 1),
            "reversal_5d": 1.0 - close / _before(close, 5),
            "momentum": momentum,
        }
        styles = {
            "beta": beta,
            "idiosyncratic_volatility": idiosyncratic,
            "dollar_volume": np.log(traded),
            "momentum": momentum,
        }
    return Market(
        sessions=sessions[wanted],
        forward={"close": _forward(close, 0)[wanted], "open": _forward(_fill_forward(laid["Open"]), 1)[wanted]},
        factors={name: _finite(value[wanted]) for name, value in factors.items()},
        styles={name: _finite(value[wanted]) for name, value in styles.items()},
        dollar_volume=traded[wanted],
        volatility=_rolling_deviation(change, QUARTER)[wanted],
        regime=_rolling_deviation(market[:, None], MONTH)[wanted, 0],
    )


def random_scores(shape: tuple[int, int], seed: int) -> Floats:
    """Scores without any knowledge, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape)


def _lay(prices: pl.DataFrame, sessions: Dates, listings: tuple[str, ...]) -> dict[str, Floats]:
    """Prices as [T, N] arrays, NaN where absent."""
    columns = ("Open", "Close", "Volume", "InUniverse")
    names = pl.DataFrame({"Listing": list(listings), "column": np.arange(len(listings))})
    rows = (
        prices.lazy()
        .filter(pl.col("Date").is_between(sessions[0].item(), sessions[-1].item()))
        .select("Date", "Listing", *(pl.col(name).cast(pl.Float64) for name in columns))
        .join(names.lazy(), on="Listing")
        .collect()
    )
    row = np.searchsorted(sessions, rows["Date"].to_numpy().astype("datetime64[D]"))
    column = rows["column"].to_numpy()
    laid: dict[str, Floats] = {}
    for name in columns:
        values = rows[name].fill_null(float("nan")).to_numpy()
        laid[name] = np.full((len(sessions), len(listings)), np.nan)
        laid[name][row, column] = np.where(np.isfinite(values), values, np.nan)
    return laid


def _before(values: Floats, sessions: int) -> Floats:
    """Values so many sessions before; NaN on the first ones."""
    shifted = np.full_like(values, np.nan)
    shifted[sessions:] = values[:-sessions]
    return shifted


def _fill_forward(values: Floats) -> Floats:
    """Repeat the last known value of each column."""
    row = np.where(np.isfinite(values), np.arange(len(values))[:, None], 0)
    filled: Floats = np.take_along_axis(values, np.maximum.accumulate(row, axis=0), axis=0)
    return filled


def _forward(price: Floats, wait: int) -> Floats:
    """Return from ``wait`` sessions later to the session after that; NaN in the rows whose end is not in the data."""
    forward = np.full_like(price, np.nan)
    stop = len(price) - wait - 1
    with np.errstate(all="ignore"):
        forward[:stop] = price[wait + 1 :] / price[wait : wait + stop] - 1.0
    # Before its first price a listing is not held; 0 keeps it apart from sessions that are not known yet.
    forward[:stop] = np.nan_to_num(forward[:stop], nan=0.0, posinf=0.0)
    return forward


def _market_return(change: Floats, universe: Floats) -> Floats:
    """Equal-weighted return of the universe [T]; single returns are capped, one bad tick must not be the market."""
    held = np.isfinite(change) & (universe == 1.0)
    count = held.sum(axis=1)
    total = np.where(held, np.clip(change, -RETURN_CAP, RETURN_CAP), 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _rolling_sum(values: Floats, window: int) -> Floats:
    """Sum of the last ``window`` rows, of those there are."""
    total = np.cumsum(values, axis=0)
    total[window:] -= total[:-window].copy()
    return total


def _rolling_mean(values: Floats, window: int) -> Floats:
    """Mean of the known values of the last ``window`` rows; NaN with fewer than half of them."""
    known = np.isfinite(values)
    count = _rolling_sum(known.astype(np.float64), window)
    total = _rolling_sum(np.where(known, values, 0.0), window)
    return np.where(count >= window / 2, total / np.maximum(count, 1), np.nan)


def _rolling_deviation(values: Floats, window: int) -> Floats:
    """Standard deviation of the last ``window`` rows."""
    variance = _rolling_mean(values**2, window) - _rolling_mean(values, window) ** 2
    return np.sqrt(np.maximum(variance, 0.0))


def _regression(change: Floats, market: Floats) -> tuple[Floats, Floats]:
    """Slope on the market's return, and the deviation of what is left, over the last 60 sessions."""
    x = np.where(np.isfinite(change), market[:, None], np.nan)
    y = np.clip(np.where(np.isfinite(x), change, np.nan), -RETURN_CAP, RETURN_CAP)
    mean_x, mean_y = _rolling_mean(x, QUARTER), _rolling_mean(y, QUARTER)
    variance = _rolling_mean(x * x, QUARTER) - mean_x**2
    covariance = _rolling_mean(x * y, QUARTER) - mean_x * mean_y
    slope = covariance / np.where(variance > 1e-12, variance, np.nan)
    left = _rolling_mean(y * y, QUARTER) - mean_y**2 - slope * covariance
    return slope, np.sqrt(np.maximum(left, 0.0))


def _finite(values: Floats) -> Floats:
    """NaN in place of infinities."""
    return np.where(np.isfinite(values), values, np.nan)

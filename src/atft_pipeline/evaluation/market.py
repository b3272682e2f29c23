"""What a backtest needs of the prices: the return of each session, and the dollar volume.

T sessions from the first to the last scored day, N listings. This is the evaluation's one layout of the prices; what is
known of a listing on a day comes from the panel (:mod:`atft_pipeline.evaluation.characteristics`).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Dates
from atft_pipeline.features.extras import MONTH, YEAR
from atft_pipeline.features.rolling import RollingSeries
from atft_pipeline.stats.arrays import Floats

Execution = Literal["close", "open"]


@dataclass(frozen=True)
class Market:
    """Prices on the axes of an evaluation.

    Attributes:
        sessions: days between the first and the last scored one [T].
        forward: return of the session that follows, by execution [T, N]. ``close``: close to next close; ``open``:
            next open to the open after it. A listing without a price earns 0 until its next price shows what it
            earned meanwhile; NaN where the following session is not in the data.
        dollar_volume: mean of 20 sessions, in units of the prices' currency; NaN where not known [T, N].
    """

    sessions: Dates
    forward: dict[Execution, Floats]
    dollar_volume: Floats


def market_of(prices: pl.DataFrame, days: Dates, listings: tuple[str, ...]) -> Market | None:
    """Lay clean prices on the axes of an evaluation; ``None`` for a prepared table, which has no prices.

    Args:
        prices: Date, Listing, Open, Close, Volume.
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
    # A year before, so that a halted listing has a last price; two sessions after, for the last forward returns.
    begin, end = max(int(first) - YEAR, 0), min(int(last) + 3, len(every))
    laid = _lay(prices, every[begin:end], listings)
    wanted = slice(int(first) - begin, int(last) + 1 - begin)
    with np.errstate(invalid="ignore"):
        traded = RollingSeries(laid["Close"] * laid["Volume"], (MONTH,)).mean(MONTH)
    return Market(
        sessions=every[begin:end][wanted],
        forward={
            "close": _forward(_fill_forward(laid["Close"]), 0)[wanted],
            "open": _forward(_fill_forward(laid["Open"]), 1)[wanted],
        },
        dollar_volume=traded[wanted],
    )


def _lay(prices: pl.DataFrame, sessions: Dates, listings: tuple[str, ...]) -> dict[str, Floats]:
    """Prices as [T, N] arrays, NaN where absent."""
    columns = ("Open", "Close", "Volume")
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

"""What an evaluation needs of the prices: returns by when a trade can enter, the dollar volume and the spread.

T sessions from the first to the last scored day, S of the prices: a year before them and some after, N listings. This
is the evaluation's one layout of the prices; what is known of a listing on a day comes from the panel
(:mod:`atft_pipeline.evaluation.characteristics`).
"""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.grid import Dates
from atft_pipeline.evaluation.spreads import half_spreads
from atft_pipeline.features.extras import MONTH, YEAR
from atft_pipeline.features.rolling import RollingSeries
from atft_pipeline.stats.arrays import Floats, Ints

Timing = Literal["close_to_close", "open_to_open", "session_skipped"]
TIMINGS: tuple[Timing, ...] = ("close_to_close", "open_to_open", "session_skipped")
"""When a trade on the scores of session t enters, and leaves h sessions later: at the close of t, which the scores need
and nobody can trade at; at the open of t + 1; at the close of t + 1."""
_PRICE = {"close_to_close": ("Close", 0), "open_to_open": ("Open", 1), "session_skipped": ("Close", 1)}
# Opens that fewer listings have than this share, or that mostly repeat the close before, are no prices to trade at.
KNOWN_OPENS, REPEATED_OPENS = 0.5, 0.5


@dataclass(frozen=True)
class Market:
    """Prices on the axes of an evaluation.

    Attributes:
        sessions: days between the first and the last scored one [T].
        dollar_volume: mean of 20 sessions, in units of the prices' currency, NaN where not known [T, N]; ``None``
            where the prices have no volume.
        half_spread: half of the estimated bid-ask spread, a fraction of the price, NaN where not known [T, N];
            ``None`` where the prices have no highs and lows.
        no_opens: why no trade can enter at the open; ``None`` where it can.
        prices: Open and Close, NaN where absent [S, N].
        first: position of the first session among those of the prices.
        total_returns: whether the returns hold dividends; ``None`` where the prices do not say.
    """

    sessions: Dates
    dollar_volume: Floats | None
    half_spread: Floats | None
    no_opens: str | None
    prices: dict[str, Floats] = field(repr=False)
    first: int
    total_returns: bool | None = None

    def forward(self, timing: Timing) -> Floats:
        """Return of the session that follows the entry [T, N].

        A listing without a price earns 0 until its next price shows what it earned meanwhile; NaN where the end of the
        session is not in the data.
        """
        name, wait = _PRICE[timing]
        filled = _fill_forward(self.prices[name])
        return _forward(filled, wait)[self.first : self.first + len(self.sessions)]

    def returns(self, timing: Timing, horizon: int, rows: Ints) -> Floats:
        """Return over a horizon, as the labels count it: sessions of the market, a price on exactly both ends [D, N].

        Args:
            timing: when the trade enters.
            horizon: sessions that it is held.
            rows: positions of the scored days among the sessions [D].

        Returns:
            NaN where a price is absent or not yet known.
        """
        name, wait = _PRICE[timing]
        price = self.prices[name]
        begin = self.first + rows + wait
        known = begin + horizon < len(price)
        found = np.full((len(rows), price.shape[1]), np.nan)
        found[known] = price[begin[known] + horizon] / price[begin[known]] - 1.0
        return found


def market_of(prices: pl.DataFrame, days: Dates, listings: tuple[str, ...], longest: int) -> Market | None:
    """Lay clean prices on the axes of an evaluation; ``None`` for a prepared table, which has no prices.

    Args:
        prices: Date, Listing, Close and, where they are known, Open, High, Low and Volume.
        days: scored days, ascending.
        listings: names [N].
        longest: horizon, in sessions.

    Raises:
        DataError: a scored day is not among the sessions of the prices.
    """
    if "Close" not in prices.columns:
        return None
    every = prices["Date"].unique().sort().to_numpy().astype("datetime64[D]")
    first, last = np.searchsorted(every, days[[0, -1]])
    missing = np.setdiff1d(days, every)
    if missing.size:
        raise DataError(f"clean prices have no session {missing[0]}, which was scored; run kedro run --pipeline=data")
    # A year before, so that a halted listing has a last price; after, the last returns and a session of waiting.
    begin, end = max(int(first) - YEAR, 0), min(int(last) + longest + 2, len(every))
    laid = _lay(prices, every[begin:end], listings)
    wanted = slice(int(first) - begin, int(last) + 1 - begin)
    with np.errstate(invalid="ignore"):
        traded = RollingSeries(laid["Close"] * laid["Volume"], (MONTH,)).mean(MONTH)[wanted]
    spread = half_spreads(laid["High"], laid["Low"], laid["Close"])[wanted]
    return Market(
        sessions=every[begin:end][wanted],
        dollar_volume=traded if np.isfinite(traded).any() else None,
        half_spread=spread if np.isfinite(spread).any() else None,
        no_opens=_no_opens(laid["Open"], laid["Close"]),
        prices={name: laid[name] for name in ("Open", "Close")},
        first=wanted.start,
        total_returns=bool(prices["TotalReturn"].all()) if "TotalReturn" in prices.columns else None,
    )


def _no_opens(opens: Floats, closes: Floats) -> str | None:
    """Say why the opens are no prices to trade at."""
    priced = np.isfinite(closes)
    known = np.isfinite(opens) & priced
    if known.sum() < KNOWN_OPENS * max(int(priced.sum()), 1):
        return "the prices have no Open"
    before = known[1:] & priced[:-1]
    if (before & (opens[1:] == closes[:-1])).sum() > REPEATED_OPENS * max(int(before.sum()), 1):
        return "Open mostly repeats the Close of the session before"
    return None


def _lay(prices: pl.DataFrame, sessions: Dates, listings: tuple[str, ...]) -> dict[str, Floats]:
    """Prices as [S, N] arrays, NaN where absent."""
    columns = ("Open", "High", "Low", "Close", "Volume")
    known = [name for name in columns if name in prices.columns]
    names = pl.DataFrame({"Listing": list(listings), "column": np.arange(len(listings))})
    rows = (
        prices.lazy()
        .filter(pl.col("Date").is_between(sessions[0].item(), sessions[-1].item()))
        .select("Date", "Listing", *(pl.col(name).cast(pl.Float64) for name in known))
        .join(names.lazy(), on="Listing")
        .collect()
    )
    row = np.searchsorted(sessions, rows["Date"].to_numpy().astype("datetime64[D]"))
    column = rows["column"].to_numpy()
    laid: dict[str, Floats] = {}
    for name in columns:
        laid[name] = np.full((len(sessions), len(listings)), np.nan)
        if name not in known:
            continue
        values = rows[name].fill_null(float("nan")).to_numpy()
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

"""Noise for the synthetic market: what real daily prices are full of."""

import numpy as np
import polars as pl

# Fractions of the rows whose Open is zero; whose Close is half or one and a half times what it was, undone the next
# day; whose High and Low are exchanged; that appear twice.
ZERO_OPEN = 0.0005
BAD_TICK = 0.0002
CROSSED = 0.0003
DUPLICATE = 0.0003
# Rows invented on each of a few weekend days.
HOLIDAY_ROWS = 3


def add_noise(prices: pl.DataFrame, amount: float, rng: np.random.Generator) -> pl.DataFrame:
    """Break a small fraction of the rows.

    Args:
        prices: Date, Code, Open, High, Low, Close, Volume, clean.
        amount: multiple of the usual fractions.
        rng: source of chance.

    Returns:
        The rows with noise, sorted by Code and Date.
    """
    rows = prices.height

    def chosen(fraction: float) -> pl.Series:
        return pl.Series(rng.random(rows) < amount * fraction)

    factor = np.where(rng.random(rows) < 0.5, 0.5, 1.5)
    tick, crossed, zero, twice = map(chosen, (BAD_TICK, CROSSED, ZERO_OPEN, DUPLICATE))
    wrong_close = (pl.col("Close") * pl.lit(pl.Series(factor))).round(2)
    noisy = prices.with_columns(Close=pl.when(tick).then(wrong_close).otherwise("Close")).with_columns(
        Open=pl.when(zero).then(0.0).otherwise("Open"),
        High=pl.when(crossed).then("Low").otherwise(pl.max_horizontal("High", "Close")),
        Low=pl.when(crossed).then("High").otherwise(pl.min_horizontal("Low", "Close")),
    )
    fridays = prices.filter(pl.col("Date").dt.weekday() == 5)
    days = fridays["Date"].unique().sort()
    picked = days.gather(sorted(rng.choice(len(days), size=min(3, len(days)), replace=False).tolist()))
    invented = (
        fridays.filter(pl.col("Date").is_in(picked.implode()))
        .group_by("Date", maintain_order=True)
        .head(round(amount * HOLIDAY_ROWS))
        .with_columns(pl.col("Date").dt.offset_by("1d"), Volume=pl.lit(0.0))
    )
    return pl.concat([noisy, noisy.filter(twice), invented.select(noisy.columns)]).sort(
        "Code", "Date", maintain_order=True
    )

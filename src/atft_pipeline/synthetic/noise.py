"""Dirt for the synthetic market: what real daily prices are full of."""

import numpy as np
import polars as pl

from atft_pipeline.config import config, within


@config
class DirtConfig:
    """Shares of rows that are broken on purpose.

    Attributes:
        zero_price: rows whose open is zero.
        bad_tick: rows whose close is half or one and a half times what it was, undone the next day.
        crossed: rows whose high and low are exchanged.
        duplicate: rows that appear twice.
        holiday_rows: rows invented on each of a few weekend days.
    """

    zero_price: float = within(0.0005, 0, 0.099)
    bad_tick: float = within(0.0002, 0, 0.099)
    crossed: float = within(0.0003, 0, 0.099)
    duplicate: float = within(0.0003, 0, 0.099)
    holiday_rows: int = within(3, 0, 1000)


def soil(prices: pl.DataFrame, config: DirtConfig, rng: np.random.Generator) -> pl.DataFrame:
    """Break a small share of the rows.

    Args:
        prices: Date, Code, Open, High, Low, Close, Volume, clean.
        config: how much of what.
        rng: source of chance.

    Returns:
        The rows with dirt, sorted by Code and Date.
    """
    rows = prices.height

    def chosen(share: float) -> pl.Series:
        return pl.Series(rng.random(rows) < share)

    factor = np.where(rng.random(rows) < 0.5, 0.5, 1.5)
    tick, crossed, zero, twice = map(chosen, (config.bad_tick, config.crossed, config.zero_price, config.duplicate))
    wrong_close = (pl.col("Close") * pl.lit(pl.Series(factor))).round(2)
    dirty = prices.with_columns(Close=pl.when(tick).then(wrong_close).otherwise("Close")).with_columns(
        Open=pl.when(zero).then(0.0).otherwise("Open"),
        High=pl.when(crossed).then("Low").otherwise(pl.max_horizontal("High", "Close")),
        Low=pl.when(crossed).then("High").otherwise(pl.min_horizontal("Low", "Close")),
    )
    fridays = prices.filter(pl.col("Date").dt.weekday() == 5)
    days = fridays["Date"].unique().sort()
    picked = days.gather(sorted(rng.choice(len(days), size=min(3, len(days)), replace=False).tolist()))
    ghosts = (
        fridays.filter(pl.col("Date").is_in(picked.implode()))
        .group_by("Date", maintain_order=True)
        .head(config.holiday_rows)
        .with_columns(pl.col("Date").dt.offset_by("1d"), Volume=pl.lit(0.0))
    )
    return pl.concat([dirty, dirty.filter(twice), ghosts.select(dirty.columns)]).sort(
        "Code", "Date", maintain_order=True
    )

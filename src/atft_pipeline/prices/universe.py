"""The universe: which listings may be held on a day, decided by that day and the days before it."""

from dataclasses import field

import polars as pl

from atft_pipeline.config import config, within
from atft_pipeline.prices.stocks import STOCK_REASONS, StocksConfig, no_stocks

REASONS = {
    "_unpriced": "no close",
    "_idle": "not traded",
    "_short_history": "history too short",
    "_below_price": "price too low",
    "_illiquid": "dollar volume too low",
    **STOCK_REASONS,
}

# Sessions of the median of Close times Volume: a month.
DOLLAR_VOLUME_WINDOW = 20


@config
class UniverseConfig:
    """The causal mask of a day.

    Attributes:
        min_price: least Close (unadjusted where it is known), in the currency of the data.
        min_dollar_volume: least median of Close times Volume, in the currency of the data; a day without trade counts
            as zero; the median is that of the past 20 sessions, the day itself included.
        min_history: least number of sessions with a Close in the listing segment, the day itself included.
        stocks: what counts as no stock and is left out; ``None`` keeps everything.
    """

    min_price: float = within(1.0, 0, 1000000000.0)
    min_dollar_volume: float = within(500_000.0, 0, 1000000000000000.0)
    min_history: int = within(60, 1, 10_000)
    stocks: StocksConfig | None = field(default_factory=StocksConfig)


def add_universe(clean: pl.DataFrame, named: pl.Series, settings: UniverseConfig) -> pl.DataFrame:
    """Add the reasons that keep a listing out of the universe on a day.

    A listing was not traded on a day without volume, with an unknown volume and the Close of the row before, or with
    the very row of the day before (prices that were carried through a suspension). What is no stock is told by
    :func:`~atft_pipeline.prices.stocks.no_stocks`. All use sessions up to the day, so the mask may change over the life
    of a listing.

    Args:
        clean: clean rows sorted by Listing and Date.
        named: codes that the listings table itself calls no stocks.
        settings: the limits.

    Returns:
        The rows with Boolean columns of ``REASONS``, Stock (none of ``STOCK_REASONS``), Tradable (none of the
        others) and InUniverse (none at all).
    """
    price = "UnadjustedClose" if "UnadjustedClose" in clean.columns else "Close"
    ids = clean.with_columns(pl.col("Listing").rle_id().alias("_id"))
    ids = ids.with_columns(_not_traded(ids).alias("_idle"))
    turnover = pl.col("Close") * pl.when("_idle").then(0.0).otherwise("Volume")
    dollars = turnover.rolling_median(DOLLAR_VOLUME_WINDOW, min_samples=1)
    marked = ids.with_columns(
        _unpriced=pl.col("Close").is_null(),
        _below_price=(pl.coalesce(price, "Close") < settings.min_price).fill_null(value=False),
        _illiquid=dollars.over("_id").fill_null(0.0) < settings.min_dollar_volume,
        _short_history=pl.col("Close").is_not_null().cum_sum().over("_id") < settings.min_history,
    )
    tradable = ~pl.any_horizontal(name for name in REASONS if name not in STOCK_REASONS)
    marked = marked.with_columns(tradable.alias("Tradable"))
    others = no_stocks(marked, named, settings.stocks)
    return (
        marked.drop("_id")
        .hstack(others)
        .with_columns(Stock=~pl.any_horizontal(*STOCK_REASONS), InUniverse=~pl.any_horizontal(*REASONS))
    )


def _not_traded(rows: pl.DataFrame) -> pl.Series:
    """Judge whether anybody traded on the day of a row."""
    repeated = (pl.col("_id") == pl.col("_id").shift(1)) & (pl.col("Close") == pl.col("Close").shift(1))
    bars = [name for name in ("Open", "High", "Low", "Volume") if name in rows.columns]
    whole = pl.all_horizontal(repeated, *(pl.col(name) == pl.col(name).shift(1) for name in bars))
    idle = (pl.col("Volume") == 0) | (pl.col("Volume").is_null() & repeated) | whole
    return rows.select(idle.fill_null(value=False).alias("idle"))["idle"]

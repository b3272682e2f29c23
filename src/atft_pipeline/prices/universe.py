"""The universe: which listings may be held on a day, decided by that day and the days before it."""

import polars as pl

from atft_pipeline.config import config, within

FUND = "_fund"
REASONS = {
    "_unpriced": "no close",
    "_idle": "not traded",
    "_short_history": "history too short",
    "_below_price": "price too low",
    "_illiquid": "dollar volume too low",
    FUND: "moves like a fund",
}

# Sessions of the median of Close times Volume: a month.
DOLLAR_VOLUME_WINDOW = 20
# What follows the market's return this closely is an index fund, what moves less than this a day is a bond fund: single
# stocks do neither over half a year.
FUND_WINDOW = 120
FUND_CORRELATION = 0.93
FUND_VOLATILITY = 0.004


@config
class UniverseConfig:
    """The causal mask of a day.

    Attributes:
        min_price: least Close (unadjusted where it is known), in the currency of the data.
        min_dollar_volume: least median of Close times Volume, in the currency of the data; a day without trade counts
            as zero; the median is that of the past 20 sessions, the day itself included.
        min_history: least number of sessions with a Close in the listing segment, the day itself included.
        exclude_funds: leave out what moves like a fund, by the rule of :func:`add_universe`.
    """

    min_price: float = within(1.0, 0, 1000000000.0)
    min_dollar_volume: float = within(500_000.0, 0, 1000000000000000.0)
    min_history: int = within(60, 1, 10_000)
    exclude_funds: bool = True


def add_universe(clean: pl.DataFrame, named_funds: pl.Series, settings: UniverseConfig) -> pl.DataFrame:
    """Add the reasons that keep a listing out of the universe on a day.

    A listing was not traded on a day without volume, with an unknown volume and the Close of the row before, or with
    the very row of the day before (prices that were carried through a suspension).

    A listing moves like a fund on a day if over the past 120 sessions its returns correlate with the median
    return of all listings by at least 0.93, or vary by less than 0.4 % a day. Both use
    sessions up to the day, so the mask may change over the life of a listing.

    Args:
        clean: clean rows sorted by Listing and Date.
        named_funds: codes that the listings table itself calls funds.
        settings: the limits.

    Returns:
        The rows with Boolean columns of ``REASONS`` and InUniverse.
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
    named = pl.col("Code").is_in(named_funds.implode())
    fund = (named | _moves_like_fund(marked)) if settings.exclude_funds else pl.lit(value=False)
    marked = marked.with_columns(fund.alias(FUND))
    out = pl.any_horizontal(*REASONS)
    return marked.drop("_id").with_columns(InUniverse=~out)


def _not_traded(rows: pl.DataFrame) -> pl.Series:
    """Judge whether anybody traded on the day of a row."""
    repeated = (pl.col("_id") == pl.col("_id").shift(1)) & (pl.col("Close") == pl.col("Close").shift(1))
    bars = [name for name in ("Open", "High", "Low", "Volume") if name in rows.columns]
    whole = pl.all_horizontal(repeated, *(pl.col(name) == pl.col(name).shift(1) for name in bars))
    idle = (pl.col("Volume") == 0) | (pl.col("Volume").is_null() & repeated) | whole
    return rows.select(idle.fill_null(value=False).alias("idle"))["idle"]


def _moves_like_fund(rows: pl.DataFrame) -> pl.Series:
    """Judge each row by the returns of the past window; rows with too few returns are no funds."""
    same = pl.col("_id") == pl.col("_id").shift(1)
    move = pl.when(same).then(pl.col("Close") / pl.col("Close").shift(1) - 1).clip(-0.5, 0.5)
    moves = rows.select("_id", "Date", move.alias("own"))
    market = moves.group_by("Date").agg(pl.col("own").median().alias("market"))
    moves = moves.join(market, on="Date", how="left", maintain_order="left").with_columns(
        pl.when(pl.col("own").is_not_null()).then("market").alias("market")
    )
    least = FUND_WINDOW * 9 // 10

    def mean(values: pl.Expr) -> pl.Expr:
        return values.rolling_mean(FUND_WINDOW, min_samples=least).over("_id")

    own, common = pl.col("own"), pl.col("market")
    sums = moves.select(
        x=mean(own), y=mean(common), xx=mean(own * own), yy=mean(common * common), xy=mean(own * common)
    )
    spread_own = (pl.col("xx") - pl.col("x") ** 2).clip(0.0)
    spread_common = (pl.col("yy") - pl.col("y") ** 2).clip(0.0)
    covariance = pl.col("xy") - pl.col("x") * pl.col("y")
    follows = covariance > FUND_CORRELATION * (spread_own * spread_common).sqrt()
    calm = spread_own < FUND_VOLATILITY**2
    return sums.select((follows | calm).fill_null(value=False).alias("fund"))["fund"]

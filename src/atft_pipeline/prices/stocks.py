"""What is no stock: how a listing moved up to a day, and what its code or the table of listings says.

The market is the median return of all listings of a day, funds and illiquid ones among them: a median needs no list of
stocks before the stocks are known, and a minority that moves otherwise does not shift it.
"""

from typing import Literal

import polars as pl

from atft_pipeline.config import config, within
from atft_pipeline.prices.codes_us import no_common_stock

FUND, CALM, PAR, CLASS, NAMED = "_fund", "_calm", "_par", "_class", "_named"
STOCK_REASONS = {
    FUND: "moves like a fund",
    CALM: "barely moves",
    PAR: "pinned near par",
    CLASS: "no common stock by its code",
    NAMED: "no stock by the listings table",
}

R2_WINDOW = 120
# The first verdicts come before a listing may be held (min_history).
LEAST_R2 = 50
VOLATILITY_WINDOW = 60
LEAST_VOLATILITY = 40
# Fewer listings than this on a day make no market to compare with.
LEAST_LISTINGS = 20
# In August 2011 industrials had an R2 of 0.8, in 2017 Coca-Cola moved less than 0.6 % a day. So a limit of the
# parameters counts only where the listing is also unlike the median listing of that day; beyond these it counts alone.
SURE_R2 = 0.865
SURE_VOLATILITY = 0.004
# Residual volatility of a follower of the market, and volatility of what barely moves, as fractions of the median's.
FOLLOWER = 0.45
STILL = 0.36
# Values at which bonds, notes, preferreds and shells are issued, and how far from one a pinned price stays.
PARS = (10.0, 20.0, 25.0, 50.0, 100.0, 1000.0)
NEAR_PAR = 0.025
# A year of daily verdicts, of which half must agree: a stock does not leave for a calm month, a fund does not enter.
VOTE_WINDOW = 250


@config
class StocksConfig:
    """What counts as no stock.

    Attributes:
        max_r2: highest R2 of the returns with the market's over 120 sessions, of a listing whose residual volatility is
            under 0.45 of the median listing's; 1 switches it off.
        min_residual: least volatility over 120 sessions that the market does not explain, as a fraction of the median
            listing's; 0 switches it off.
        min_volatility: least standard deviation of the returns over 60 sessions, of a listing that has under 0.36 of
            the median listing's; 0 switches it off.
        codes: which codes name preferreds, warrants, units, rights: ``us``, see
            :func:`~atft_pipeline.prices.codes_us.no_common_stock`, or ``None``.
    """

    max_r2: float = within(0.7, 0, 1)
    min_residual: float = within(0.35, 0, 1)
    min_volatility: float = within(0.006, 0, 1)
    codes: Literal["us"] | None = "us"


def no_stocks(rows: pl.DataFrame, named: pl.Series, settings: StocksConfig | None) -> pl.DataFrame:
    """Judge each row by its listing's past.

    A price that moves like a fund, barely moves or stays near par gives a verdict a day; a listing is out while at
    least half of its verdicts of the past 250 sessions say so. Its first verdicts come after 40 traded sessions (what
    barely moves or stays near par) and 50 (what moves like a fund); until then its past says nothing.

    Args:
        rows: Date, Code, Close, [UnadjustedClose], ``_id`` (changes where another listing begins), ``_idle``, Tradable
            (no other rule keeps the row out), sorted by listing and date.
        named: codes that the table of listings calls no stocks.
        settings: the limits; with ``None`` everything is a stock.

    Returns:
        Boolean columns of ``STOCK_REASONS``, a row each.
    """
    if settings is None:
        return pl.DataFrame({name: pl.repeat(value=False, n=rows.height, eager=True) for name in STOCK_REASONS})
    verdicts = _verdicts(rows, settings)
    voted = [(_mean(pl.col(name), VOTE_WINDOW, 1) >= 0.5).fill_null(value=False) for name in (FUND, CALM, PAR)]
    by_code = no_common_stock(rows) if settings.codes == "us" else pl.repeat(value=False, n=rows.height, eager=True)
    return verdicts.select(*voted, by_code.alias(CLASS), rows["Code"].is_in(named.implode()).alias(NAMED))


def _verdicts(rows: pl.DataFrame, settings: StocksConfig) -> pl.DataFrame:
    """Verdicts of each day by the sessions up to it, 0 or 1; null where too little is known."""
    measured = _movements(rows)
    usual = pl.col("residual", "volatility").median().name.prefix("usual_")
    typical = measured.filter("Tradable").group_by("Date").agg(pl.when(pl.len() >= LEAST_LISTINGS).then(usual))
    r2, residual, volatility = pl.col("r2"), pl.col("residual"), pl.col("volatility")

    def below(value: pl.Expr, fraction: float) -> pl.Expr:
        """Whether it is less than a fraction of that of the median listing of the day."""
        return (value < fraction * pl.col(f"usual_{value.meta.output_name()}")).fill_null(value=False)

    follows = (r2 > settings.max_r2) & (below(residual, FOLLOWER) | (r2 > SURE_R2))
    calm = (volatility < settings.min_volatility) & (below(volatility, STILL) | (volatility < SURE_VOLATILITY))
    near = [(pl.col("low") > par * (1 - NEAR_PAR)) & (pl.col("high") < par * (1 + NEAR_PAR)) for par in PARS]
    return measured.join(typical, on="Date", how="left", maintain_order="left").select(
        "_id",
        (follows | below(residual, settings.min_residual)).cast(pl.Float32).alias(FUND),
        calm.cast(pl.Float32).alias(CALM),
        pl.any_horizontal(near).cast(pl.Float32).alias(PAR),
    )


def _movements(rows: pl.DataFrame) -> pl.DataFrame:
    """Date, ``_id``, Tradable, r2, residual, volatility, low and high of each row's past window."""
    close = pl.col("Close")
    same = pl.col("_id") == pl.col("_id").shift(1)
    # A day without trade says nothing of how a price moves.
    move = pl.when(same & ~pl.col("_idle")).then(close / close.shift(1) - 1).clip(-0.5, 0.5)
    # Par is a price of the exchange's, not one that dividends of later years have moved.
    price = pl.coalesce("UnadjustedClose", "Close") if "UnadjustedClose" in rows.columns else close
    moves = rows.select(
        "_id", "Date", "Tradable", move.alias("own"), pl.when(~pl.col("_idle")).then(price).alias("price")
    )
    market = moves.group_by("Date").agg(
        pl.when(pl.col("own").count() >= LEAST_LISTINGS).then(pl.col("own").median()).alias("market")
    )
    moves = moves.join(market, on="Date", how="left", maintain_order="left")
    own, common = pl.col("own"), pl.when(pl.col("own").is_not_null()).then("market")
    means = moves.select(
        "_id",
        "Date",
        "Tradable",
        x=_mean(own, R2_WINDOW, LEAST_R2),
        y=_mean(common, R2_WINDOW, LEAST_R2),
        xx=_mean(own * own, R2_WINDOW, LEAST_R2),
        yy=_mean(common * common, R2_WINDOW, LEAST_R2),
        xy=_mean(own * common, R2_WINDOW, LEAST_R2),
        short=_mean(own, VOLATILITY_WINDOW, LEAST_VOLATILITY),
        squares=_mean(own * own, VOLATILITY_WINDOW, LEAST_VOLATILITY),
        low=pl.col("price").rolling_min(VOLATILITY_WINDOW, min_samples=LEAST_VOLATILITY).over("_id"),
        high=pl.col("price").rolling_max(VOLATILITY_WINDOW, min_samples=LEAST_VOLATILITY).over("_id"),
    )
    variance = (pl.col("xx") - pl.col("x") ** 2).clip(0.0)
    common_variance = (pl.col("yy") - pl.col("y") ** 2).clip(0.0)
    covariance = pl.col("xy") - pl.col("x") * pl.col("y")
    product = variance * common_variance
    # Returns that follow the market the other way round are a fund's too (an inverse one).
    r2 = pl.when(product > 0).then((covariance**2 / product).clip(0.0, 1.0)).when(product == 0).then(0.0)
    return means.select(
        "_id",
        "Date",
        "Tradable",
        "low",
        "high",
        r2=r2,
        residual=(variance * (1 - r2)).sqrt(),
        volatility=(pl.col("squares") - pl.col("short") ** 2).clip(0.0).sqrt(),
    )


def _mean(values: pl.Expr, window: int, least: int) -> pl.Expr:
    """Mean of the past rows of the same listing, the row itself among them."""
    return values.rolling_mean(window, min_samples=least).over("_id")

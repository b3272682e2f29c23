"""Total returns of prices that hold no dividends, where a column of dividends stands beside them."""

from dataclasses import dataclass

import polars as pl

from atft_pipeline.prices.reading.names import PRICE_COLUMNS
from atft_pipeline.prices.reading.record import How, counted

# The earliest dividends tell whether prices fall on ex-dividend days; later ones change nothing that was decided.
EVENTS = 400
LEAST_EVENTS = 20
SURE = 3.0
# Of a price: no share pays more, so such a number is in another unit.
LARGEST = 0.5


@dataclass(frozen=True)
class Dividends:
    """What is known of dividends.

    Attributes:
        known: returns are total returns.
        line: a sentence for the reader.
    """

    known: bool
    line: str


def total_returns(clean: pl.DataFrame, how: How, preset: str) -> tuple[pl.DataFrame, Dividends]:
    """Turn prices and dividends into prices whose returns are total returns.

    From an ex-dividend day on, all prices of a listing are multiplied by 1 + dividend / Close and Volume is divided by
    it, so that the return of that day is (Close + dividend) / Close before - 1. Earlier prices stay as they are: a new
    dividend changes no past. A column beside prices that do not fall on ex-dividend days, as yfinance gives it unless
    told otherwise, is in them already and changes nothing.

    Args:
        clean: sorted by Listing and Date; Dividend, in the units of Close of the day, where ``how`` is ``column``.
        how: where the dividends are.
        preset: source of the prices; that of yfinance adjusts unless the prices tell otherwise.

    Returns:
        The rows with TotalReturn and without Dividend; UnadjustedClose is the Close before. And what is known.
    """
    if how != "column":
        clean = clean.drop("Dividend", strict=False)
        line = {
            "in the close": "returns are total returns: the adjusted close holds the dividends",
            "unknown": "Close holds no dividends as far as is known: ex-dividend days come on a calendar and can be "
            "predicted, so that a part of any skill may be theirs; give an adjusted close or a column Dividends",
        }[how]
        known = how == "in the close"
        return clean.with_columns(TotalReturn=known), Dividends(known, line)
    before = pl.col("Close").forward_fill().shift(1).over("Listing")
    paid = pl.col("Dividend").fill_nan(None).fill_null(0.0)
    base = pl.coalesce("Close", before)
    paying = (paid > 0) & (paid < LARGEST * base)
    events = clean.select("Date", "Listing", "Close", before=before, paid=paid, paying=paying, base=base)
    count, large = (
        int(events["paying"].sum()),
        int(events.select((pl.col("paid") >= LARGEST * pl.col("base")).sum()).item()),
    )
    clean = clean.drop("Dividend").with_columns(TotalReturn=pl.lit(value=True))
    more = f"; {large:,} of half the price or more left out" if large else ""
    falls = _falls(events)
    if not (preset != "yfinance" if falls is None else falls):
        paid_out = counted(count, "dividend", "dividends")
        line = f"returns are total returns: prices do not fall by the {paid_out} beside them and hold them already"
        return clean, Dividends(known=True, line=line)
    growth = events.select(
        pl.when("paying").then(1 + pl.col("paid") / pl.col("base")).otherwise(1.0).cum_prod().over("Listing").alias("g")
    )["g"]
    raw = pl.coalesce("UnadjustedClose", "Close") if "UnadjustedClose" in clean.columns else pl.col("Close")
    prices = [name for name in (*PRICE_COLUMNS, "Vwap") if name in clean.columns]
    clean = clean.with_columns(
        *(pl.col(name) * growth for name in prices), pl.col("Volume") / growth, raw.alias("UnadjustedClose")
    )
    line = f"returns are total returns: {counted(count, 'dividend', 'dividends')} added to Close{more}"
    return clean, Dividends(known=True, line=line)


def _falls(events: pl.DataFrame) -> bool | None:
    """Whether prices fall by the dividend on ex-dividend days; ``None`` where too few of them tell.

    The slope of the returns, less the median return of those that pay nothing, on the dividends' yields is -1 for raw
    prices and 0 for
    adjusted ones.
    """
    move = (pl.col("Close") / pl.col("before") - 1).clip(-LARGEST, LARGEST)
    moves = events.with_columns(move.alias("move"))
    market = moves.filter(~pl.col("paying")).group_by("Date").agg(pl.col("move").median().alias("market"))
    first = moves.filter("paying", pl.col("move").is_not_null()).sort("Date", "Listing").head(EVENTS)
    if first.height < LEAST_EVENTS:
        return None
    told = first.join(market, on="Date", how="left").select(
        y=pl.col("paid") / pl.col("before"), x=pl.col("market").fill_null(0.0) - pl.col("move")
    )
    slope = told.select((pl.col("x") * pl.col("y")).sum() / (pl.col("y") ** 2).sum()).item()
    rest = (pl.col("x") - slope * pl.col("y")) ** 2 * pl.col("y") ** 2
    error = told.select(rest.sum().sqrt() / (pl.col("y") ** 2).sum()).item()
    return bool(slope > 0.5) if abs(slope - 0.5) > SURE * error else None

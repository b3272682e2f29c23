"""Daily returns on the axes of a panel."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl


def daily_returns(
    clean_prices: pl.DataFrame, dates: npt.NDArray[np.datetime64], listings: Sequence[str]
) -> npt.NDArray[np.float32]:
    """Lay simple close-to-close returns of stocks on given axes.

    Args:
        clean_prices: sorted by Listing and Date; a return needs the listing's close of the session before. A prepared
            table has no closes: its ``return_1`` of the session before is the return of this one. A row that its column
            Stock calls none has no return: funds would be the closest neighbours of many stocks.
        dates: trading days [D].
        listings: names [N].

    Returns:
        Returns [D, N] as fractions, NaN where a listing has none on that day.
    """
    days = pl.DataFrame({"Date": dates, "day": np.arange(len(dates), dtype=np.int64)})
    names = pl.DataFrame({"Listing": list(listings), "column": np.arange(len(listings), dtype=np.int64)})
    if "Close" in clean_prices.columns:
        change = pl.col("Close") / pl.col("Close").shift(1).over("Listing") - 1
    else:
        change = pl.col("return_1").shift(1).over("Listing")
    stock = pl.col("Stock") if "Stock" in clean_prices.columns else pl.lit(value=True)
    table = (
        clean_prices.lazy()
        .select("Date", "Listing", change=pl.when(stock).then(change))
        .join(days.lazy(), on="Date", maintain_order="left")
        .filter(pl.col("day").diff().over("Listing") == 1, pl.col("change").is_finite())
        .join(names.lazy(), on="Listing")
        .select("day", "column", "change")
        .collect()
    )
    returns = np.full((len(dates), len(listings)), np.nan, dtype=np.float32)
    returns[table["day"].to_numpy(), table["column"].to_numpy()] = table["change"].to_numpy()
    return returns

"""Another future for the same past."""

from datetime import date

import numpy as np
import polars as pl

PRICES = ("Open", "High", "Low", "Close")


def scramble_future(prices: pl.DataFrame, last: date, seed: int) -> pl.DataFrame:
    """Replace everything after a date: other prices and volumes, codes that vanish, a code that never was.

    Columns that are passed through are shuffled among the rows after the date.

    Args:
        prices: raw prices under their canonical names, any further numeric columns.
        last: the last day that stays.
        seed: of the chance.

    Returns:
        Rows sorted by Code and Date; those up to ``last`` are untouched.
    """
    rng = np.random.default_rng(seed)
    past, future = prices.filter(pl.col("Date") <= last), prices.filter(pl.col("Date") > last)
    codes = future["Code"].unique().sort().to_list()
    gone = rng.choice(codes, size=max(1, len(codes) // 10), replace=False).tolist() if len(codes) > 2 else []
    future = future.filter(~pl.col("Code").is_in(gone))
    close = rng.lognormal(3, 1, future.height)
    replaced = {
        "Open": close * rng.uniform(0.9, 1.1, future.height),
        "High": close * 1.2,
        "Low": close * 0.8,
        "Close": close,
        "Volume": rng.integers(1, 10**7, future.height),
    }
    future = future.with_columns(
        pl.Series(name, values).cast(future.schema[name], strict=False) for name, values in replaced.items()
    )
    others = [name for name in future.columns if name not in {"Date", "Code", *replaced}]
    if others:
        order = rng.permutation(future.height)
        future = future.with_columns(future[order].select(others))
    newcomer = future.filter(pl.col("Code") == future["Code"].min()).with_columns(Code=pl.lit("ZZZ-new"))
    return pl.concat([past, future, newcomer]).sort("Code", "Date", maintain_order=True)

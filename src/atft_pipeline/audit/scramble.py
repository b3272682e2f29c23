"""Another future for the same past."""

import re
from datetime import date

import numpy as np
import polars as pl

LABEL = re.compile(r"return_(\d+)")
NEWCOMER = "ZZZ-new"


def scramble_future(prices: pl.DataFrame, last: date, seed: int) -> pl.DataFrame:
    """Replace everything after a date: other prices and volumes, codes that vanish, a code that never was.

    Columns that are passed through are shuffled among the rows after the date. A ready-made label ``return_{h}`` is
    shuffled from the day on from which it reaches beyond the date.

    Args:
        prices: raw or clean prices, or a prepared table, under canonical names.
        last: the last day that stays.
        seed: of the chance.

    Returns:
        Rows sorted by Listing, where there is one, or Code, and Date; those up to ``last`` are untouched but for such
        labels.
    """
    rng = np.random.default_rng(seed)
    by = "Listing" if "Listing" in prices.columns else "Code"
    keys = {"Date", "Code", "Listing"}
    past, future = prices.filter(pl.col("Date") <= last), prices.filter(pl.col("Date") > last)
    names = future[by].unique().sort().to_list()
    gone = rng.choice(names, size=max(1, len(names) // 10), replace=False).tolist() if len(names) > 2 else []
    future = future.filter(~pl.col(by).is_in(gone))
    replaced = _other_prices(future, rng) if "Close" in future.columns else []
    future = future.with_columns(replaced)
    others = [name for name in future.columns if name not in {*keys, *(column.name for column in replaced)}]
    if others:
        future = future.with_columns(future[rng.permutation(future.height)].select(others))
    newcomer = future.filter(pl.col(by) == future[by].min())
    newcomer = newcomer.with_columns(
        pl.lit(NEWCOMER).alias(name) for name in ("Code", "Listing") if name in future.columns
    )
    past = _other_labels(past, rng)
    return pl.concat([past, future, newcomer]).sort(by, "Date", maintain_order=True)


def _other_prices(future: pl.DataFrame, rng: np.random.Generator) -> list[pl.Series]:
    close = rng.lognormal(3, 1, future.height)
    replaced = {
        "Open": close * rng.uniform(0.9, 1.1, future.height),
        "High": close * 1.2,
        "Low": close * 0.8,
        "Close": close,
        "Volume": rng.integers(1, 10**7, future.height),
    }
    return [pl.Series(name, values).cast(future.schema[name], strict=False) for name, values in replaced.items()]


def _other_labels(past: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Shuffle ready-made labels among the days on which they reach beyond the last one."""
    labels = {name: int(found[1]) for name in past.columns if (found := LABEL.fullmatch(name))}
    days = past["Date"].unique().sort()
    for name, horizon in labels.items():
        if horizon < len(days):
            rows = np.flatnonzero((past["Date"] > days[-horizon - 1]).to_numpy())
            values = past[name].to_numpy(writable=True)
            # Every row takes the label of another one.
            values[rows] = np.roll(values[rows], int(rng.integers(1, max(2, len(rows)))))
            past = past.with_columns(pl.Series(name, values, nan_to_null=True))
    return past

"""Contracts of the tables, which the catalog checks on every save and load (``validator:``)."""

import pandera.polars as pa
import polars as pl
from pandera.api.polars.types import PolarsData

from atft_pipeline.prices.reading.names import PRICE_COLUMNS


def _sorted_unique(data: PolarsData) -> pl.LazyFrame:
    """Rows ascend by Listing and Date, each pair once: one pass, no hash table."""
    listing, date = pl.col("Listing"), pl.col("Date")
    later = (listing.shift(1) < listing) | ((listing.shift(1) == listing) & (date.shift(1) < date))
    return data.lazyframe.select(later.fill_null(value=True))


def _ordered_range(data: PolarsData) -> pl.LazyFrame:
    """High is not below Low where both are known."""
    if not {"High", "Low"} <= set(data.lazyframe.collect_schema().names()):
        return data.lazyframe.select(pl.lit(value=True))
    return data.lazyframe.select((pl.col("High") >= pl.col("Low")).fill_null(value=True))


def _positive() -> pa.Column:
    """A price: positive and finite, or unknown. Prepared tables have none."""
    return pa.Column(pl.Float64, [pa.Check.gt(0), pa.Check.lt(float("inf"))], nullable=True, required=False)


CleanPrices = pa.DataFrameSchema(
    {
        "Date": pa.Column(pl.Date),
        "Code": pa.Column(pl.String),
        "Listing": pa.Column(pl.String),
        "InUniverse": pa.Column(pl.Boolean),
        **{name: pa.Column(pl.Boolean, required=False) for name in ("Stock", "Tradable", "TotalReturn")},
        "Volume": pa.Column(pl.Float64, pa.Check.ge(0), nullable=True, required=False),
        **{name: _positive() for name in PRICE_COLUMNS},
    },
    checks=[
        pa.Check(_sorted_unique, error="rows must ascend by Listing and Date, each pair once"),
        pa.Check(_ordered_range, error="High must not be below Low"),
    ],
)
"""Clean prices, or a prepared table: Date, Code, Listing, InUniverse, prices or columns of its own."""

Listings = pa.DataFrameSchema(
    {
        "Listing": pa.Column(pl.String, unique=True),
        "Code": pa.Column(pl.String),
        "sector": pa.Column(pl.String, nullable=True),
        "market": pa.Column(pl.String, nullable=True),
        "first": pa.Column(pl.Date),
        "last": pa.Column(pl.Date),
    }
)
"""One row a listing segment."""

_PREDICTED = {
    "Date": pa.Column(pl.Date),
    "Listing": pa.Column(pl.String),
    "Code": pa.Column(pl.String),
    r"^(score|(ridge\+)?lightgbm|ridge|benchmark)_\d+$": pa.Column(None, pa.Check.in_range(-1e6, 1e6), regex=True),
    r"^disagreement_\d+$": pa.Column(None, pa.Check.ge(0.0), regex=True, required=False),
    r"^return_\d+$": pa.Column(None, pa.Check.ge(-1.0), nullable=True, regex=True),
}

Predictions = pa.DataFrameSchema({**_PREDICTED, "model": pa.Column(pl.String)}, unique=["Date", "Listing"])
"""Scores of a model (its hash) and realised returns of the test rows; a return below -1 is impossible."""

FoldPredictions = pa.DataFrameSchema(
    {**_PREDICTED, "fold": pa.Column(pl.Int64, pa.Check.ge(1)), "path": pa.Column(pl.Int64, pa.Check.ge(0))},
    unique=["Date", "Listing", "path"],
)
"""The same of several folds: each path holds a row once."""

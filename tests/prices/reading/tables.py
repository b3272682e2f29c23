"""A small market and the forms in which sources write it."""

import datetime as dt
from pathlib import Path

import polars as pl

from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.read import read_raw_prices
from atft_pipeline.prices.reading.record import RawPrices

DAYS = [dt.date(2024, 3, day) for day in (11, 12, 13, 14, 15)]
CODES = ("RED", "GRN", "BLU")


def market(codes: tuple[str, ...] = CODES) -> pl.DataFrame:
    """Date, Code, Open, High, Low, Close, Volume, sorted by Date and Code as many files are."""
    rows = []
    for day, date in enumerate(DAYS):
        for place, code in enumerate(codes):
            close = 100.5 * (place + 1) + 1.25 * day
            rows.append((date, code, close - 0.5, close + 1.5, close - 2.25, close, 1_234_000.0 + 1000 * day + place))
    return pl.DataFrame(
        rows, schema=["Date", "Code", "Open", "High", "Low", "Close", "Volume"], orient="row"
    ).with_columns(pl.col("Date").cast(pl.Date))


def read(path: Path, **settings: object) -> RawPrices:
    return read_raw_prices(path, PricesConfig(**settings))  # type: ignore[arg-type]


def same(found: RawPrices, expected: pl.DataFrame | None = None) -> None:
    """Assert that the rows read are those of the market, in any order."""
    wanted = market() if expected is None else expected
    columns = wanted.columns
    assert found.frame.select(columns).sort("Date", "Code").equals(wanted.sort("Date", "Code"))


def text(frame: pl.DataFrame, separator: str = ",") -> str:
    return frame.write_csv(separator=separator)

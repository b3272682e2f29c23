from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.market.listings import read_listings
from atft_pipeline.market.prices import PricesConfig
from tests.market.test_prices import good


def test_prices_that_name_the_exchange_are_a_table_of_listings(tmp_path: Path) -> None:
    """A file a year; B moves, and its last row counts."""
    good(Exchange=["NYSE"] * 6).write_parquet(tmp_path / "2023.parquet")
    good(Exchange=["NYSE"] * 5 + ["NASDAQ"]).write_parquet(tmp_path / "2024.parquet")
    table = read_listings(tmp_path, PricesConfig())
    assert table.rows() == [("A", None, "NYSE"), ("B", None, "NASDAQ")]


def test_a_table_without_codes_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"name": ["A"], "sector": ["energy"]}).write_parquet(tmp_path / "listings.parquet")
    with pytest.raises(
        DataError, match=r"listings\.parquet: the listings have no column 'Code'; they have name, sector"
    ):
        read_listings(tmp_path / "listings.parquet", PricesConfig())

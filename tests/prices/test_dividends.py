"""Total returns from a column of dividends, and what is said where there is none."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.prices.dividends import total_returns
from atft_pipeline.prices.ingest import IngestConfig, IngestResult, ingest
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.reporting.quality_page import quality_page
from tests.features.market import raw_market

WARNING = "Close holds no dividends as far as is known: ex-dividend days come on a calendar"
PRICES = ("Open", "High", "Low", "Close")


def made(frame: pl.DataFrame, folder: Path) -> IngestResult:
    path = folder / "prices.parquet"
    frame.write_parquet(path)
    return ingest(path, None, IngestConfig())


def paying(frame: pl.DataFrame, every: int = 20) -> pl.DataFrame:
    """Each code pays 1.5 % of its price every so many sessions: Dividends, and prices that fall by them."""
    number = pl.col("Code").rank("dense").cast(pl.Int64)
    paid = (pl.int_range(pl.len()).over("Code") + number) % every == every - 1
    falls = frame.with_columns(rate=pl.when(paid).then(0.015).otherwise(0.0))
    fallen = falls.with_columns(left=(1 - pl.col("rate")).cum_prod().over("Code"))
    # The price that stands before the dividend falls by 1.5 %.
    amount = pl.col("rate") * pl.col("Close").shift(1).over("Code") * pl.col("left").shift(1).over("Code")
    return fallen.with_columns(
        Dividends=amount.fill_null(0.0), **{name: pl.col(name) * pl.col("left") for name in PRICES}
    ).drop("rate", "left")


def test_returns_of_ex_dividend_days_by_hand() -> None:
    clean = pl.DataFrame(
        {
            "Date": [1, 2, 3, 4],
            "Listing": ["A"] * 4,
            "Open": [10.0, 10.0, 9.0, 9.5],
            "High": [10.0, 10.0, 9.0, 9.5],
            "Low": [10.0, 10.0, 9.0, 9.5],
            "Close": [10.0, 10.0, 9.0, 9.9],
            "Volume": [100.0, 100.0, 100.0, 100.0],
            "Dividend": [0.0, None, 0.9, 0.0],
        }
    )
    found, told = total_returns(clean, "column", "other names")
    # (9 + 0.9) / 10 - 1 on the third day, 9.9 / 9 - 1 on the fourth.
    np.testing.assert_allclose(found["Close"].pct_change().to_list()[1:], [0.0, -0.01, 0.1])
    np.testing.assert_allclose(found["Open"].to_list(), [10.0, 10.0, 9.9, 10.45])
    np.testing.assert_allclose((found["Close"] * found["Volume"]).to_list(), [1000.0, 1000.0, 900.0, 990.0])
    assert found["UnadjustedClose"].to_list() == clean["Close"].to_list()
    assert told.known
    assert told.line == "returns are total returns: 1 dividend added to Close"
    # A later dividend leaves the days before it as they are.
    assert total_returns(clean[:2], "column", "other names")[0].equals(found[:2])


@pytest.mark.parametrize("name", ["Dividends", "ex-dividend", "divCash", "dividend_amount"])
def test_raw_prices_beside_dividends_become_total_returns(name: str, tmp_path: Path) -> None:
    whole = raw_market(12, 120)
    found = made(paying(whole).rename({"Dividends": name}), tmp_path)
    one = found.prices.filter(pl.col("Code") == "C03")["Close"].pct_change().drop_nulls()
    held = whole.filter(pl.col("Code") == "C03")["Close"].pct_change().drop_nulls()
    # The planted fall is 1.5 % of the price before it, the dividend is rounded to cents.
    np.testing.assert_allclose(one, held, atol=5e-4)
    assert found.prices["TotalReturn"].all()
    assert found.report["reading"]["notes"][-1] == "returns are total returns: 72 dividends added to Close"
    assert found.report["reading"]["notes"][-1] in quality_page(found.report)
    assert not any(WARNING in remark for remark in found.report["remarks"])


def test_dividends_may_be_passed_through_as_well(tmp_path: Path) -> None:
    path = tmp_path / "prices.parquet"
    paying(raw_market(12, 120)).write_parquet(path)
    config = IngestConfig(prices=PricesConfig(passthrough=("Divid*",)))
    found = ingest(path, None, config)
    assert found.prices.filter(pl.col("Dividends") > 0).height == 72
    assert found.prices["TotalReturn"].all()


def test_dividends_beside_prices_that_hold_them_are_not_added_again(tmp_path: Path) -> None:
    """yfinance gives adjusted prices and the dividends they hold; so may others."""
    whole = raw_market(12, 120)
    columns = paying(whole).select("Dividends")
    for extra in ({"Stock Splits": 0.0}, {}):
        found = made(whole.hstack(columns).with_columns(**{k: pl.lit(v) for k, v in extra.items()}), tmp_path)
        kept = found.prices.select("Code", "Date", "Close").sort("Code", "Date")
        assert kept.equals(whole.select("Code", "Date", "Close").sort("Code", "Date"))
        assert "hold them already" in found.report["reading"]["notes"][-1]
        assert found.prices["TotalReturn"].all()


def test_an_adjusted_close_holds_them_and_a_raw_one_alone_is_told(tmp_path: Path) -> None:
    whole = raw_market(12, 90)
    both = paying(whole).with_columns(**{"Adj Close": whole["Close"]})
    found = made(both, tmp_path)
    np.testing.assert_allclose(found.prices.sort("Code", "Date")["Close"], whole.sort("Code", "Date")["Close"])
    line = "returns are total returns: the adjusted close holds the dividends"
    assert found.report["reading"]["notes"][-1] == line
    alone = made(whole, tmp_path)
    assert not alone.prices["TotalReturn"].any()
    (remark,) = [remark for remark in alone.report["remarks"] if WARNING in remark]
    assert remark in quality_page(alone.report)


def test_a_number_in_another_unit_is_left_out() -> None:
    clean = pl.DataFrame({"Date": [1, 2], "Listing": ["A"] * 2, "Close": [10.0, 10.0], "Volume": [1.0, 1.0]})
    found, told = total_returns(clean.with_columns(Dividend=pl.Series([0.0, 90.0])), "column", "other names")
    assert found["Close"].to_list() == [10.0, 10.0]
    assert "1 of half the price or more left out" in told.line

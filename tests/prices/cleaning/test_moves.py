"""Moves that no stock made, on whatever volume."""

from datetime import date

import polars as pl
import pytest

from atft_pipeline.prices.cleaning.clean import Cleaned, CleaningConfig, clean_prices
from atft_pipeline.prices.universe import UniverseConfig, add_universe
from tests.features.market import raw_market, scaled

FRAME = raw_market(6, 200)
DAYS = FRAME["Date"].unique().sort()
NONE = pl.Series([], dtype=pl.String)


def at(first: int, last: int | None = None) -> pl.Expr:
    """Rows of one code on some sessions."""
    return (pl.col("Code") == "C01") & pl.col("Date").is_between(DAYS[first], DAYS[first if last is None else last])


def clean(frame: pl.DataFrame) -> Cleaned:
    return clean_prices(frame, CleaningConfig())


def worst(cleaned: Cleaned) -> float:
    """Largest factor between two closes of a listing in the universe, over one and over five rows."""
    marked = add_universe(cleaned.prices, NONE, UniverseConfig(stocks=None))
    close = pl.col("Close").forward_fill().over("Listing")
    size = [(close / close.shift(step).over("Listing")).log().abs() for step in (1, 5)]
    return float(marked.filter("InUniverse").select(pl.max_horizontal(*size).max().exp()).item())


def note(cleaned: Cleaned) -> str:
    return next(count.note for count in cleaned.rules if count.rule == "impossible_moves")


@pytest.mark.parametrize("factor", [100.0, 1000.0, 0.01, 0.04, 25.0])
@pytest.mark.parametrize("volume", [1.0, 6.0, 500.0])
@pytest.mark.parametrize("day", [120, 199])
def test_a_print_no_stock_made_is_voided_on_any_volume(factor: float, volume: float, day: int) -> None:
    cleaned = clean(scaled(FRAME, at(day), factor, volume))
    assert cleaned.prices.filter(at(day))["Close"].item() is None
    assert "C01@2" not in cleaned.prices["Listing"].to_list()
    assert worst(cleaned) < 1.5
    assert note(cleaned).startswith("Prices of 1 code moved as no stock did: 1 day voided, 0 new listings begun; ")
    assert f"C01 on {DAYS[day]}" in note(cleaned)


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_pence_and_pounds_begin_a_new_listing_each_time(factor: float) -> None:
    """One unit for a week, a month, and alternating from day to day."""
    frame = FRAME
    for first, last in ((70, 74), (100, 140), (160, 160), (162, 162), (164, 164)):
        frame = scaled(frame, at(first, last), factor, 3.5)
    cleaned = clean(frame)
    assert worst(cleaned) < 1.5
    segments = cleaned.prices.filter(pl.col("Code") == "C01").group_by("Listing").agg(pl.col("Date").min()).sort("Date")
    # The second day of each level; single days are voided.
    assert segments["Date"].to_list() == [DAYS[0], DAYS[71], DAYS[76], DAYS[101], DAYS[142]]
    assert cleaned.prices.filter(at(160) | at(162) | at(164))["Close"].null_count() == 3


@pytest.mark.parametrize(
    ("factor", "volume"), [(0.1, 10.0), (0.2, 5.0), (1 / 3, 3.5), (5.0, 0.2), (3.0, 3.5), (10.0, 4.0), (0.07, 14.0)]
)
def test_a_split_applied_on_one_side_begins_a_new_listing(factor: float, volume: float) -> None:
    """Price and volume both jump by the ratio: that looks like an event, but no more money was traded."""
    frame = scaled(FRAME, at(120, 199), factor)
    cleaned = clean(scaled(frame, at(120), 1.0, volume))
    assert worst(cleaned) < 1.5
    assert cleaned.prices.filter(pl.col("Listing") == "C01@2")["Date"].min() == DAYS[121]


@pytest.mark.parametrize(
    ("factor", "volume"), [(3.0, 30.0), (4.0, 25.0), (5.0, 40.0), (7.3, 63.0), (0.12, 80.0), (0.19, 40.0), (0.4, 20.0)]
)
def test_true_events_are_kept(factor: float, volume: float) -> None:
    """Trial results: +200 to +630 %, or -60 to -88 %, on volume of that kind."""
    frame = scaled(scaled(FRAME, at(120, 199), factor), at(120), 1.0, volume)
    cleaned = clean(frame)
    assert cleaned.prices.drop("Listing").sort("Code", "Date").equals(frame.sort("Code", "Date"))
    assert set(cleaned.prices["Listing"]) == set(frame["Code"])


@pytest.mark.parametrize(("factor", "gap"), [(100.0, 40), (4.0, 25), (0.2, 100), (30.0, 1)])
def test_a_code_that_another_company_took_over_is_another_listing(factor: float, gap: int) -> None:
    frame = scaled(FRAME, at(60 + gap, 199), factor, 8.0).filter(~at(60, 60 + gap - 1))
    cleaned = clean(frame)
    assert worst(cleaned) < 1.5
    second = cleaned.prices.filter(pl.col("Listing") == "C01@2")
    assert second["Date"].min() in (DAYS[60 + gap], DAYS[61 + gap])


def test_suspensions_that_end_at_another_price_stay_one_listing() -> None:
    frame = scaled(FRAME, at(100, 199), 0.5, 5.0).filter(~at(60, 99))
    assert set(clean(frame).prices["Listing"]) == set(FRAME["Code"])


@pytest.mark.parametrize("last", [99, 100, 101, 102, 141, 142, 160, 161])
def test_later_days_change_nothing(last: int) -> None:
    frame = FRAME
    for first, end in ((100, 140), (160, 160)):
        frame = scaled(frame, at(first, end), 100.0, 7.0)
    day: date = DAYS[last]
    whole = clean(frame).prices.filter(pl.col("Date") <= day)
    assert whole.equals(clean(frame.filter(pl.col("Date") <= day)).prices)


@pytest.mark.parametrize(("name", "factor"), [("High", 1000.0), ("Low", 0.01), ("Open", 40.0)])
def test_a_price_far_from_the_close_of_its_day_is_voided_alone(name: str, factor: float) -> None:
    frame = FRAME.with_columns(pl.when(at(120)).then(pl.col(name) * factor).otherwise(name).alias(name))
    if name == "Open":  # inside its range, so that no other rule sees it
        frame = frame.with_columns(High=pl.when(at(120)).then(pl.max_horizontal("High", "Open")).otherwise("High"))
    cleaned = clean(frame)
    row = cleaned.prices.filter(at(120)).row(0, named=True)
    assert row[name] is None
    assert row["Close"] == FRAME.filter(at(120))["Close"].item()
    assert "1 day was off its Close by a factor of 20" in note(cleaned)

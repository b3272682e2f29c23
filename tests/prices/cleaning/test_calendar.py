"""Bars that are not daily, and markets with holidays of their own."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.prices.cleaning.calendar import check_daily
from atft_pipeline.prices.cleaning.clean import Cleaned, CleaningConfig, clean_prices
from tests.features.market import raw_market, scaled

PATH = Path("prices.csv")


def bars(frame: pl.DataFrame, count: int, step: float) -> pl.DataFrame:
    """Several bars for each row, each a step further than the one before."""
    parts = [
        frame.with_columns(
            *(pl.col(name) * (1 + step * number) for name in ("Open", "High", "Low", "Close")),
            Volume=pl.col("Volume") + number,
        )
        for number in range(count)
    ]
    return pl.concat(parts)


@pytest.mark.parametrize(("count", "step"), [(7, 0.01), (13, 0.0001), (3, 0.003), (2, 0.02)])
@pytest.mark.parametrize("codes", [2, 8])
def test_intraday_bars_are_refused(codes: int, count: int, step: float) -> None:
    frame = bars(raw_market(codes, 30), count, step)
    with pytest.raises(DataError, match=rf"prices.csv: C00 has {count} different rows on 2020-01-01, as have 100%"):
        check_daily(frame, PATH)


def test_intraday_bars_of_the_last_days_alone_are_refused() -> None:
    frame = raw_market(8, 200)
    days = frame["Date"].unique().sort()
    mixed = pl.concat(
        [frame.filter(pl.col("Date") < days[-3]), bars(frame.filter(pl.col("Date") >= days[-3]), 5, 0.01)]
    )
    with pytest.raises(DataError, match=f"different rows on {days[-3]}.*these are intraday bars"):
        check_daily(mixed, PATH)


def test_copies_are_no_intraday_bars() -> None:
    frame = raw_market(8, 60)
    check_daily(pl.concat([frame, frame, frame]), PATH)
    some = scaled(frame, pl.lit(value=True), 2.0).filter(pl.col("Date") > frame["Date"].unique().sort()[-6])
    check_daily(pl.concat([frame, some]), PATH)


def spaced(step: int, count: int, codes: int = 6, *, shift: bool = False) -> pl.DataFrame:
    """Rows a fixed number of days apart, moved by a holiday now and then; codes on other weekdays where asked."""
    frame = raw_market(codes, count)
    number = pl.col("Date").cum_count().over("Code").cast(pl.Int64) - 1
    holiday = pl.when(number % 9 == 4).then(-1).otherwise(0)
    own = pl.col("Code").rank("dense").cast(pl.Int64) % 3 if shift else pl.lit(0)
    return frame.with_columns(Date=pl.lit(date(2015, 1, 5)) + pl.duration(days=number * step + holiday + own))


@pytest.mark.parametrize("step", [7, 14, 30, 91])
@pytest.mark.parametrize("shift", [False, True])
def test_weekly_and_monthly_bars_are_refused(step: int, *, shift: bool) -> None:
    with pytest.raises(DataError, match=rf"are {step} days apart: these are no daily bars"):
        check_daily(spaced(step, 30, shift=shift), PATH)


def test_a_weekly_past_before_daily_rows_and_single_weekly_codes_are_refused() -> None:
    daily = raw_market(6, 300, first=date(2016, 1, 1))
    weekly = spaced(7, 40)
    with pytest.raises(DataError, match=r"up to 2016-01-01 \(from 2015-01-12\) are 7 days apart"):
        check_daily(pl.concat([weekly, daily]), PATH)
    others = spaced(7, 40, 2).with_columns(Code="W" + pl.col("Code"))
    with pytest.raises(DataError, match=r"the rows of 2 of 8 codes, such as WC00, are 7 days apart"):
        check_daily(pl.concat([daily.with_columns(pl.col("Date").dt.offset_by("-360d")), others]), PATH)


def test_few_codes_with_weekly_rows_are_told() -> None:
    daily = raw_market(12, 200)
    weekly = raw_market(1, 30).with_columns(
        Code=pl.lit("W"), Date=pl.lit(date(2020, 1, 3)) + pl.duration(days=7 * pl.int_range(30))
    )
    (told,) = check_daily(pl.concat([daily, weekly]), PATH)
    assert told == "The rows of 1 of 13 codes, such as W, are 7 days apart: no daily bars."
    assert check_daily(daily, PATH) == []


def test_holidays_and_listings_that_trade_seldom_are_daily() -> None:
    frame = raw_market(4, 250)
    number = pl.col("Date").rank("dense").cast(pl.Int64)
    golden_weeks = frame.filter(~(number % 60).is_between(20, 26))
    check_daily(golden_weeks, PATH)
    seldom = frame.filter((pl.struct("Date", "Code").hash(seed=1) % 5) == 0)
    check_daily(seldom, PATH)
    check_daily(frame.filter(number <= 2), PATH)


US = [f"U{letter}{other}" for letter in "ABCDEF" for other in "ABCDE"]


def ghost(cleaned: Cleaned) -> tuple[int, str]:
    count = next(count for count in cleaned.rules if count.rule == "holiday_sessions")
    return count.rows, count.note


@pytest.mark.parametrize(
    "small", [["7203.T", "6758.T", "9984.T"], ["sh.600000", "sh.600004"], ["XETR:SAP", "XETR:BMW"], ["7203", "6758"]]
)
def test_a_small_market_keeps_its_rows_on_the_holidays_of_the_large_one(small: list[str]) -> None:
    frame = raw_market([*US, *small], 60)
    days = frame["Date"].unique().sort()
    holidays = [days[25], days[41]]
    closed = pl.col("Code").is_in(US) & pl.col("Date").is_in(holidays)
    cleaned = clean_prices(frame.filter(~closed), CleaningConfig())
    assert ghost(cleaned) == (0, "")
    assert cleaned.prices.filter(pl.col("Date").is_in(holidays)).height == 2 * len(small)
    # And the other way round the market of the many stays anyway.
    other = clean_prices(
        frame.filter(~(pl.col("Code").is_in(small) & pl.col("Date").is_in(holidays))), CleaningConfig()
    )
    assert ghost(other) == (0, "")


def test_a_market_may_be_named_in_the_listings() -> None:
    small = ["VOD", "BP", "AZN"]
    frame = raw_market([*US, *small], 60)
    day = frame["Date"].unique().sort()[30]
    frame = frame.filter((pl.col("Date") != day) | pl.col("Code").is_in(small))
    assert ghost(clean_prices(frame, CleaningConfig()))[0] == 3
    listings = pl.DataFrame({"Code": [*small, *US[:5]], "market": ["LSE"] * 3 + ["NYSE"] * 5})
    assert ghost(clean_prices(frame, CleaningConfig(), listings)) == (0, "")


@pytest.mark.parametrize("codes", [["UAA", "UAB"], ["BF.A", "BF.B"]])
def test_rows_of_no_market_are_dropped_and_told(codes: list[str]) -> None:
    frame = raw_market([*US, "BF.A", "BF.B", "BH.A", "BRK.A", "HEI.A", "BRK.B", "HEI.B", "LEN.B"], 60)
    day = frame["Date"].unique().sort()[30]
    rows, note = ghost(
        clean_prices(frame.filter((pl.col("Date") != day) | pl.col("Code").is_in(codes)), CleaningConfig())
    )
    assert rows == 2
    assert note.startswith(f"2 rows of 2 codes ({codes[0]}, {codes[1]}) that traded on days on which hardly any other")


def test_a_ghost_day_without_trade_is_dropped_without_a_word() -> None:
    frame = raw_market(US, 60)
    day = frame["Date"].max() + timedelta(days=1)
    empty = frame.filter(pl.col("Date") == frame["Date"].max()).with_columns(Date=pl.lit(day), Volume=pl.lit(0.0))
    assert ghost(clean_prices(pl.concat([frame, empty]), CleaningConfig())) == (len(US), "")

"""Dates that mean one day, and those that do not."""

import datetime as dt

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.dates import is_date, parse_dates

DAYS = [dt.date(2024, 1, 31), dt.date(2024, 2, 3)]
MIDNIGHTS = [dt.datetime.combine(day, dt.time(), dt.UTC) for day in DAYS]
NEW_YORK = [int(dt.datetime(day.year, day.month, day.day, 5, tzinfo=dt.UTC).timestamp()) for day in DAYS]

FORMS: dict[str, list[object]] = {
    "dots": ["31.01.2024", "03.02.2024"],
    "day first": ["31/01/2024", "03/02/2024"],
    "month first": ["01/31/2024", "02/03/2024"],
    "dashes, day first": ["31-01-2024", "03-02-2024"],
    "month names of an exchange": ["31-JAN-2024", "03-FEB-2024"],
    "years of two digits": ["31-Jan-24", "3 Feb 24"],
    "month names in words": ["Jan 31, 2024", "February 3, 2024"],
    "weekdays": ["Wed, 31 Jan 2024", "Sat, 3 Feb 2024"],
    "characters": ["2024年1月31日", "2024年2月3日"],
    "dots, year first": ["2024.01.31", "2024.02.03"],
    "compact with a time": ["20240131 000000", "20240203 00:00:00"],
    "floats": [20240131.0, 20240203.0],
    "texts of floats": ["20240131.0", "20240203.0"],
    "seconds": [int(moment.timestamp()) for moment in MIDNIGHTS],
    "milliseconds": [int(moment.timestamp()) * 10**3 for moment in MIDNIGHTS],
    "microseconds as text": [str(int(moment.timestamp()) * 10**6) for moment in MIDNIGHTS],
    "nanoseconds": [int(moment.timestamp()) * 10**9 for moment in MIDNIGHTS],
    "day numbers of a spreadsheet": [45322, 45325],
    "with an offset": ["2024-01-31 00:00:00-05:00", "2024-02-03 00:00:00-05:00"],
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_dates(name: str) -> None:
    values = FORMS[name]
    assert parse_dates(pl.Series([*values, None]), "file", "Date", None).to_list() == [*DAYS, None]
    assert all(is_date(str(value)) for value in values)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_instants_of_a_market_need_its_zone(unit: int) -> None:
    values = pl.Series([second * unit for second in NEW_YORK])
    with pytest.raises(DataError, match=r"UTC instant \d+ \(2024-01-31 05:00.*ingest.prices.time_zone"):
        parse_dates(values, "file", "window_start", None)
    assert parse_dates(values, "file", "window_start", "America/New_York").to_list() == DAYS


@pytest.mark.parametrize(
    "values", [["03/04/2024"], ["31/01/2024", "01/31/2024"], ["2024-13-01"], [123456], ["tomorrow"]]
)
def test_what_is_no_date_is_named(values: list[object]) -> None:
    with pytest.raises(DataError, match=r"column 'Day' holds '.*' in row [12], which is no date"):
        parse_dates(pl.Series(values), "file", "Day", None)


def test_codes_are_no_dates() -> None:
    assert not any(is_date(code, numbers=False) for code in ("13010", "72030", "000001", "AAPL", "7203.T", "BF.B"))

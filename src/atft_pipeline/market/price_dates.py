"""Dates of raw prices: dates, instants, strings and whole numbers, accepted where they mean one day only."""

from pathlib import Path

import polars as pl

from atft_pipeline.errors import DataError

# 2024-01-31 or 2024/01/31 (any time of day may follow), or 20240131.
SEPARATED = r"^(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[ T].*)?$"
COMPACT = r"^(\d{4})(\d{2})(\d{2})$"
UTC_TIME = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:Z|[+]00:?00)$"


def parse_dates(dates: pl.Series, file: Path, source: str, time_zone: str | None) -> pl.Series:
    """Turn a column into dates.

    A date stays. An instant with a zone is the day in that zone; an instant in UTC that is not midnight needs
    ``time_zone``, since midnight in Tokyo is the day before in UTC. A string must begin with the year.

    Args:
        dates: the column as it was read.
        file: for the messages.
        source: name of the column in the file.
        time_zone: zone of the market.

    Raises:
        DataError: a value that is no date, or could be two.
    """
    dtype = dates.dtype
    if dtype == pl.Date:
        return dates
    if dtype == pl.Null:
        return dates.cast(pl.Date)
    if isinstance(dtype, pl.Datetime):
        return _from_instants(dates, dtype, file, source, time_zone)
    if dtype.is_integer() or dtype in (pl.Categorical, pl.Enum):
        dates = dates.cast(pl.String)
    elif dtype != pl.String:
        msg = f"{file}: column {source!r} has type {dtype}, Date needs dates; store it as dates or ISO strings"
        raise DataError(msg)
    return _from_strings(dates, file, source, time_zone)


def _from_instants(dates: pl.Series, dtype: pl.Datetime, file: Path, source: str, time_zone: str | None) -> pl.Series:
    """Take the day of an instant in its own zone, or in the market's."""
    zone = dtype.time_zone
    if zone is None:
        return dates.dt.date()
    if time_zone is not None:
        return dates.dt.convert_time_zone(time_zone).dt.replace_time_zone(None).dt.date()
    local = dates.dt.replace_time_zone(None)
    if zone in ("UTC", "Etc/UTC", "+00:00") and (local.dt.truncate("1d") != local).any():
        first = dates.filter(local.dt.truncate("1d") != local)[0]
        raise DataError(_ambiguous(file, source, str(first)))
    return local.dt.date()


def _from_strings(dates: pl.Series, file: Path, source: str, time_zone: str | None) -> pl.Series:
    """Read strings that begin with the year."""
    text = pl.col("text")
    parsed = (
        dates.rename("text")
        .str.strip_chars()
        .replace("", None)
        .to_frame()
        .with_columns(parts=pl.coalesce(_groups(text, SEPARATED), _groups(text, COMPACT)))
        .with_columns(date=pl.col("parts").str.strptime(pl.Date, "%Y-%m-%d", strict=False))
        .with_columns(clock=text.str.extract(UTC_TIME, 1))
    )
    wrong = parsed.filter(text.is_not_null() & pl.col("date").is_null())
    if wrong.height:
        msg = (
            f"{file}: column {source!r} holds {wrong['text'][0]!r}, which is no date or could be two; "
            "write dates as YYYY-MM-DD"
        )
        raise DataError(msg)
    instants = parsed.filter(pl.col("clock").is_not_null() & (pl.col("clock").str.slice(0, 5) != "00:00"))
    if instants.height and time_zone is None:
        raise DataError(_ambiguous(file, source, instants["text"][0]))
    if instants.height:
        stamp = pl.concat_str([pl.col("parts"), pl.lit(" "), pl.col("clock").str.slice(0, 5)])
        moved = stamp.str.strptime(pl.Datetime("us"), "%Y-%m-%d %H:%M").dt.replace_time_zone("UTC")
        local = moved.dt.convert_time_zone(str(time_zone)).dt.replace_time_zone(None).dt.date()
        parsed = parsed.with_columns(date=pl.when(pl.col("clock").is_not_null()).then(local).otherwise("date"))
    return parsed["date"]


def _groups(text: pl.Expr, pattern: str) -> pl.Expr:
    """Put year, month and day of a matching string as YYYY-MM-DD; null where it does not match."""
    year, month, day = (text.str.extract(pattern, group) for group in (1, 2, 3))
    return pl.concat_str([year, month.str.zfill(2), day.str.zfill(2)], separator="-")


def _ambiguous(file: Path, source: str, value: str) -> str:
    """Compose the line about an instant in UTC that may be two days."""
    return (
        f"{file}: column {source!r} holds the UTC instant {value}, whose trading day depends on the market; "
        "set ingest.prices.time_zone, such as Asia/Tokyo"
    )

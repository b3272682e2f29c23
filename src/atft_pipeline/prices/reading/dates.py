"""Dates of raw prices: dates, instants, strings and whole numbers, accepted where they mean one day only."""

import re

import polars as pl

from atft_pipeline.errors import DataError

# 2024-01-31 or 2024/01/31 or 2024.01.31 (any time of day may follow), or 20240131.
SEPARATED = r"^(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T].*)?$"
COMPACT = r"^(\d{4})(\d{2})(\d{2})(?:\.0+| 00:?00(?::?00)?)?$"
CHINESE = r"^(\d{4})年(\d{1,2})月(\d{1,2})日$"
UTC_TIME = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}[ T](\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:Z|[+]00:?00)$"
# 31.01.2024 is day first wherever it is written; 31/01/2024 and 01/31/2024 are told apart by a day beyond 12.
DOTTED = r"^(\d{1,2})\.(\d{1,2})\.(\d{4})(?: .*)?$"
EITHER = r"^(\d{1,2})[/-](\d{1,2})[/-](\d{4})(?: .*)?$"
DAY_MONTH = r"^(?:[A-Za-z]{3,9},? )?(\d{1,2})[- /]?([A-Za-z]{3})[a-z]*[-, /]+(\d{4}|\d{2})$"
MONTH_DAY = r"^(?:[A-Za-z]{3,9},? )?([A-Za-z]{3})[a-z]*\.? (\d{1,2}),? (\d{4})$"
YEAR_FIRST = (SEPARATED, COMPACT, CHINESE)
MONTHS = {
    name: f"{number:02d}"
    for number, name in enumerate(
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1
    )
}
# Digits of an instant since 1970 -> how many of its units make a second. Five digits are a day number of a spreadsheet.
EPOCHS = {9: 1, 10: 1, 12: 10**3, 13: 10**3, 15: 10**6, 16: 10**6, 18: 10**9, 19: 10**9}
SPREADSHEET = (29221, 73050)  # 1980 .. 2099
SPREADSHEET_ZERO = 25569  # day number of 1970-01-01
NULL_WORDS = ("null", "NULL", "None", "NaN", "nan", "NaT", "N/A", "#N/A")


def parse_dates(dates: pl.Series, where: object, source: str, time_zone: str | None) -> pl.Series:
    """Turn a column into dates.

    A date stays. An instant with a zone is the day in that zone; an instant in UTC that is not midnight needs
    ``time_zone``, since midnight in Tokyo is the day before in UTC. Whole numbers are YYYYMMDD, instants since 1970 in
    seconds to nanoseconds, or day numbers of a spreadsheet. Strings with the year last are read where the name of a
    month, dots or a day beyond 12 tell the day from the month.

    Args:
        dates: the column as it was read.
        where: the file, for the messages.
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
        return _from_instants(dates, dtype, where, source, time_zone)
    if dtype.is_float() and (dates.is_nan() | dates.is_null() | (dates == dates.round())).all():
        dates = dates.fill_nan(None).cast(pl.Int64).cast(pl.String)
    elif dtype.is_integer() or dtype in (pl.Categorical, pl.Enum):
        dates = dates.cast(pl.String)
    elif dtype != pl.String:
        msg = f"{where}: column {source!r} has type {dtype}, Date needs dates; store it as dates or ISO strings"
        raise DataError(msg)
    # Most files write dates as 2024-01-31, which takes a fraction of the time of looking for the other forms.
    plain = dates.cast(pl.String).str.to_date("%Y-%m-%d", strict=False)
    if plain.null_count() == dates.null_count():
        return plain
    return _from_strings(dates, where, source, time_zone)


def is_date(text: str, *, numbers: bool = True) -> bool:
    """Whether a text could be a date of an accepted form, also one that could be two.

    Args:
        text: to be judged.
        numbers: whether instants since 1970 and day numbers of a spreadsheet count.
    """
    text = text.strip()
    if numbers and text.replace(".0", "").isdigit():
        whole = text.split(".")[0]
        if len(whole) in EPOCHS or (len(whole) == 5 and SPREADSHEET[0] <= int(whole) <= SPREADSHEET[1]):
            return True
    found = next((match for form in YEAR_FIRST if (match := re.match(form, text))), None)
    if found:
        return 1 <= int(found[2]) <= 12 and 1 <= int(found[3]) <= 31
    return any(re.match(form, text) for form in (DOTTED, EITHER, DAY_MONTH, MONTH_DAY))


def _from_instants(dates: pl.Series, dtype: pl.Datetime, where: object, source: str, zone: str | None) -> pl.Series:
    """Take the day of an instant in its own zone, or in the market's."""
    own = dtype.time_zone
    if own is None:
        return dates.dt.date()
    if zone is not None:
        return dates.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.date()
    local = dates.dt.replace_time_zone(None)
    if own in ("UTC", "Etc/UTC", "+00:00") and (local.dt.truncate("1d") != local).any():
        first = dates.filter(local.dt.truncate("1d") != local)[0]
        raise DataError(_ambiguous(where, source, str(first)))
    return local.dt.date()


def _parsed(texts: pl.Series) -> pl.DataFrame:
    """Read trimmed strings: text, date (null where unknown), clock of UTC instants, epoch in seconds."""
    text = pl.col("text")
    month_names = pl.concat_str(
        [
            _full_year(pl.coalesce(text.str.extract(DAY_MONTH, 3), text.str.extract(MONTH_DAY, 3))),
            pl.coalesce(text.str.extract(DAY_MONTH, 2), text.str.extract(MONTH_DAY, 1))
            .str.to_lowercase()
            .replace_strict(MONTHS, default=None),
            pl.coalesce(text.str.extract(DAY_MONTH, 1), text.str.extract(MONTH_DAY, 2)).str.zfill(2),
        ],
        separator="-",
    )
    whole = text.str.extract(r"^(\d{4,19})(?:\.0+)?$", 1)
    number, digits = whole.cast(pl.Int64, strict=False), whole.str.len_chars()
    unit = digits.replace_strict(EPOCHS, default=None, return_dtype=pl.Int64)
    serial = pl.when((digits == 5) & number.is_between(*SPREADSHEET)).then(number - SPREADSHEET_ZERO)
    forms = [_groups(text, SEPARATED), _groups(text, COMPACT), _groups(text, CHINESE)]
    forms += [_groups(text, DOTTED, (3, 2, 1)), month_names]
    return (
        texts.rename("text")
        .to_frame()
        .with_columns(parts=pl.coalesce(forms))
        .with_columns(
            date=pl.coalesce(
                pl.col("parts").str.strptime(pl.Date, "%Y-%m-%d", strict=False), serial.cast(pl.Int32).cast(pl.Date)
            ),
            clock=text.str.extract(UTC_TIME, 1),
            epoch=number // unit,
        )
    )


def _full_year(year: pl.Expr) -> pl.Expr:
    """Years of two digits lie between 1970 and 2069."""
    century = pl.when(year.cast(pl.Int32, strict=False) < 70).then(pl.lit("20")).otherwise(pl.lit("19"))
    return pl.when(year.str.len_chars() == 2).then(pl.concat_str([century, year])).otherwise(year)


def _from_strings(dates: pl.Series, where: object, source: str, time_zone: str | None) -> pl.Series:
    """Read strings, each distinct one once."""
    texts = dates.rename("text").str.strip_chars().replace(list(NULL_WORDS), None)
    distinct = texts.unique(maintain_order=True).drop_nulls()
    parsed = _parsed(distinct.filter(distinct != ""))
    parsed = _either_order(parsed)
    text = pl.col("text")
    wrong = parsed.filter(pl.col("date").is_null() & pl.col("epoch").is_null())
    if wrong.height:
        row = int((texts == wrong["text"][0]).arg_max() or 0) + 1
        msg = (
            f"{where}: column {source!r} holds {wrong['text'][0]!r} in row {row}, which is no date or could be two; "
            "write dates as YYYY-MM-DD"
        )
        raise DataError(msg)
    stamp = pl.concat_str([pl.col("parts"), pl.lit(" "), pl.col("clock").str.slice(0, 5)])
    parsed = parsed.with_columns(
        instant=pl.coalesce(
            pl.from_epoch("epoch", time_unit="s").cast(pl.Datetime("us")),
            stamp.str.strptime(pl.Datetime("us"), "%Y-%m-%d %H:%M", strict=False),
        )
    )
    instant = pl.col("instant")
    midday = parsed.filter(instant.dt.truncate("1d") != instant)
    if midday.height and time_zone is None:
        shown = midday.select(pl.concat_str([text, pl.format(" ({})", instant)]) if midday["epoch"][0] else text)
        raise DataError(_ambiguous(where, source, shown.to_series()[0]))
    if midday.height:
        local = instant.dt.replace_time_zone("UTC").dt.convert_time_zone(str(time_zone)).dt.replace_time_zone(None)
        instant = local
    parsed = parsed.select("text", day=pl.coalesce(instant.dt.date(), "date"))
    return texts.to_frame().join(parsed, on="text", how="left", maintain_order="left")["day"]


def _either_order(parsed: pl.DataFrame) -> pl.DataFrame:
    """Read dates such as 31/01/2024 where a day beyond 12 tells the order, and all others agree with it."""
    first, second = (pl.col("text").str.extract(EITHER, place).cast(pl.Int32) for place in (1, 2))
    open_ones = parsed.filter(pl.col("date").is_null())
    days = open_ones.select(first.max().alias("first"), second.max().alias("second")).row(0)
    if None in days or (days[0] > 12) == (days[1] > 12):
        return parsed
    order = (3, 2, 1) if days[0] > 12 else (3, 1, 2)
    parts = pl.coalesce("parts", _groups(pl.col("text"), EITHER, order))
    return parsed.with_columns(
        date=pl.coalesce("date", parts.str.strptime(pl.Date, "%Y-%m-%d", strict=False)),
    )


def _groups(text: pl.Expr, pattern: str, order: tuple[int, int, int] = (1, 2, 3)) -> pl.Expr:
    """Put year, month and day of a matching string as YYYY-MM-DD; null where it does not match."""
    year, month, day = (text.str.extract(pattern, group) for group in order)
    return pl.concat_str([year, month.str.zfill(2), day.str.zfill(2)], separator="-")


def _ambiguous(where: object, source: str, value: str) -> str:
    """Compose the line about an instant in UTC that may be two days."""
    return (
        f"{where}: column {source!r} holds the UTC instant {value}, whose trading day depends on the market; "
        "set it, such as --params ingest.prices.time_zone=America/New_York (or Asia/Tokyo)"
    )

"""The rows of one table under canonical names and types."""

import fnmatch
from dataclasses import dataclass

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.codes import check_codes
from atft_pipeline.prices.reading.columns import Plan
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.dates import is_date, parse_dates
from atft_pipeline.prices.reading.files import Table, long_line, one_line
from atft_pipeline.prices.reading.names import OPTIONAL, PRESETS, PRICE_COLUMNS, REQUIRED, key
from atft_pipeline.prices.reading.numbers import is_number, read_numbers
from atft_pipeline.prices.reading.record import Notes

FOOTER = 20  # rows at the end that may be remarks of the source
# Series of the NSE that are shares; EQ counts where a symbol has several on a day.
NSE_SERIES = ("EQ", "BE", "BZ", "SM", "ST")
NUMERIC = r"^\s*[^\w\s]*\s*\d"
LOT_TOLERANCE = (0.8, 1.25)


@dataclass(frozen=True)
class Part:
    """Rows of one table.

    Attributes:
        frame: Date, Code, Open, High, Low, Close, Volume, [Vwap], [UnadjustedClose], columns passed through.
        whole_codes: its codes were stored as numbers.
    """

    frame: pl.DataFrame
    whole_codes: bool


def read_rows(table: Table, plan: Plan, settings: PricesConfig, code: str | None, notes: Notes) -> Part:
    """Read the rows of one table.

    Args:
        table: one row a day and code.
        plan: which column means what.
        settings: what to pass through, time zone.
        code: code of all its rows, where it has no column of codes.
        notes: takes what the user must know.

    Raises:
        DataError: a value is no date, number or code, or the table is damaged.
    """
    names = table.frame.collect_schema().names()
    # Dividends are used up in the prices; a user may want them as a feature too.
    taken = {source for name, source in plan.sources.items() if name != "Dividend"}
    passed = passed_columns(names, settings.passthrough, taken)
    scan = _leave_out(table, plan, names, notes)
    try:
        frame = scan.select(_canonical(table, plan, passed, code)).collect()
    except pl.exceptions.InvalidOperationError:
        frame = _read_strings(table, scan, plan, passed, code, notes)
    except (pl.exceptions.PolarsError, OSError) as error:
        what = long_line(table) or f"the file is damaged ({one_line(error)}); write it again or give another path"
        msg = f"{table}: {what}"
        raise DataError(msg) from error
    if table.text:
        frame = _without_footer(frame, frame["Close"], table, notes)
    source, zone = plan.sources["Date"], settings.time_zone or plan.time_zone
    whole = frame["Code"].dtype.is_numeric()
    frame = frame.with_columns(
        parse_dates(frame["Date"], table, source, zone).alias("Date"),
        check_codes(frame["Code"], table, plan.sources.get("Code", "Code")).alias("Code"),
    )
    if plan.preset == "nse":
        frame = _one_series(frame, notes)
    if "UnadjustedClose" in frame.columns and plan.raw_close is not None:
        lost = frame.filter(pl.col("UnadjustedClose").is_finite() & ~pl.col("Close").is_finite().fill_null(value=False))
        if lost.height:
            source = plan.sources["Close"]
            notes.add(
                f"{{}} rows have {plan.raw_close!r} and no {source!r}: they count as unpriced", table, lost.height
            )
    if table.stacked:
        frame = frame.filter(pl.any_horizontal(pl.col(PRICE_COLUMNS).is_finite()))
    lot = _lot(table, plan, names)
    if lot != 1.0:
        frame = frame.with_columns(pl.col("Volume") * lot)
        notes.add(f"Volume is in lots of {lot:g} at {plan.preset} and was multiplied to shares")
    return Part(frame, whole)


def passed_columns(names: list[str], patterns: tuple[str, ...], taken: set[str]) -> list[str]:
    """List the columns that a pattern asks for and no canonical name has taken."""
    reserved = {*REQUIRED, *OPTIONAL, *taken}
    return [name for name in names if name not in reserved and any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def _canonical(table: Table, plan: Plan, passed: list[str], code: str | None) -> list[pl.Expr]:
    """Express the canonical columns of a table in its own."""
    schema = table.frame.collect_schema()

    def number(source: str) -> pl.Expr:
        dtype = schema[source]
        if dtype in (pl.String, pl.Categorical):
            return pl.col(source).cast(pl.String).str.strip_chars().replace("", None).cast(pl.Float64)
        if not dtype.is_numeric() and dtype != pl.Null:
            msg = f"{table}: column {source!r} has type {dtype} where numbers are needed; store it as numbers"
            raise DataError(msg)
        return pl.col(source).cast(pl.Float64)

    sources = plan.sources
    factor = None
    if plan.factor is not None:
        factor = number(plan.factor)
    elif plan.raw_close is not None and plan.scaled:
        raw = number(plan.raw_close)
        factor = pl.when(raw > 0).then(number(sources["Close"]) / raw)
    columns = [pl.col(sources["Date"]).alias("Date")]
    columns.append((pl.lit(code) if "Code" not in sources else pl.col(sources["Code"])).alias("Code"))
    for name in (*PRICE_COLUMNS, "Volume", *OPTIONAL):
        if name not in sources and name in OPTIONAL:
            continue
        value = number(sources[name]) if name in sources else pl.lit(None, dtype=pl.Float64)
        if factor is not None and name in plan.scaled:
            value = value / factor if name == "Volume" else value * factor
        columns.append(value.alias(name))
    for name in passed:
        if schema[name].is_float():
            columns.append(pl.col(name))
        elif table.text or schema[name].is_numeric():
            columns.append(number(name).alias(name))
    return columns


def _read_strings(
    table: Table, scan: pl.LazyFrame, plan: Plan, passed: list[str], code: str | None, notes: Notes
) -> pl.DataFrame:
    """Read numbers that are written with commas, signs or words for nothing."""
    schema = table.frame.collect_schema()
    sources = plan.sources
    keys = [sources[name] for name in ("Date", "Code") if name in sources]
    wanted = [sources[name] for name in (*PRICE_COLUMNS, "Volume", *OPTIONAL) if name in sources]
    wanted += [name for name in (plan.raw_close, plan.factor, *passed) if name is not None]
    texts = [name for name in dict.fromkeys(wanted) if schema[name] in (pl.String, pl.Categorical)]
    frame = scan.select(list(dict.fromkeys([*keys, *wanted]))).collect().with_columns(pl.col(texts).cast(pl.String))
    words = [n for n in passed if n in texts and not frame[n].str.contains(NUMERIC).any()]
    for name in words:
        notes.add(f"column {name!r} holds no numbers and is not passed through", table)
    passed, texts = ([name for name in some if name not in words] for some in (passed, texts))
    date = sources["Date"]
    if table.text:
        again = (pl.col(date).str.strip_chars() == date) & (
            pl.col(sources["Close"]).str.strip_chars() == sources["Close"]
        )
        copies = frame.filter(again).height
        if copies:
            notes.add("{} copies of the header among the rows were left out", table, copies)
            frame = frame.filter(~again.fill_null(value=False))
        frame = _without_footer(frame, frame[sources["Close"]], table, notes, date)
    counts = frozenset({sources["Volume"]} if sources.get("Volume") in texts else ())
    commas = not table.text or table.separator == ","
    frame = read_numbers(frame, texts, table, counts, separator_is_comma=commas)
    known = Table(table.path, table.member, frame.lazy(), text=False)
    return known.frame.select(_canonical(known, plan, passed, code)).collect()


def _without_footer(
    frame: pl.DataFrame, closes: pl.Series, table: Table, notes: Notes, date: str = "Date"
) -> pl.DataFrame:
    """Leave out remarks below the last row: no date in the column of dates and no close."""
    if not frame.height or (closes[-1] is not None and closes.dtype != pl.String):
        return frame
    dates = frame[date].cast(pl.String)
    count = 0
    for index in range(frame.height - 1, max(frame.height - 1 - FOOTER, -1), -1):
        day, close = dates[index], closes[index]
        if (day and is_date(day)) or (close is not None and (closes.dtype != pl.String or is_number(close))):
            break
        count += 1
    if not count:
        return frame
    said = next((text for text in dates.tail(count).drop_nulls() if text.strip()), "")
    notes.add(f"{{}} rows below the last price were left out, such as {said[:40]!r}", table, count)
    return frame.head(frame.height - count)


def _leave_out(table: Table, plan: Plan, names: list[str], notes: Notes) -> pl.LazyFrame:
    """Leave out rows that the source itself marks as no trade of a share, and refuse bars that are not daily."""
    found = {key(name): name for name in names}

    def text(name: str) -> pl.Expr:
        return pl.col(found[name]).cast(pl.String).str.strip_chars()

    if plan.preset == "baostock" and "tradestatus" in found:
        halted = text("tradestatus").is_in(("0", "0.0"))
        count = table.frame.filter(halted).select(pl.len()).collect().item()
        if count:
            notes.add("{} rows of suspended days (tradestatus 0) were left out", None, count)
        return table.frame.filter(~halted.fill_null(value=False))
    if plan.preset == "stooq" and "per" in found:
        bars = table.frame.select(text("per").drop_nulls().unique()).collect().to_series()
        other = bars.filter(~bars.str.to_uppercase().is_in(("D", "")))
        if len(other):
            msg = f"{table}: {found['per']} is {other[0]!r}, so the bars are not daily; give the daily files of Stooq"
            raise DataError(msg)
    if plan.preset == "nse":
        series = next((name for name in ("series", "sctysrs") if name in found), None)
        if series is not None:
            kept = text(series).is_in(NSE_SERIES)
            count = table.frame.filter(~kept).select(pl.len()).collect().item()
            if count:
                notes.add(f"{{}} rows of series other than {', '.join(NSE_SERIES)} were left out", None, count)
            # EQ first, so that it is the one that stays.
            return table.frame.filter(kept).sort(text(series) != "EQ", maintain_order=True)
    return table.frame


def _one_series(frame: pl.DataFrame, notes: Notes) -> pl.DataFrame:
    """Keep one series of a symbol and day."""
    kept = frame.unique(["Date", "Code"], keep="first", maintain_order=True)
    if kept.height < frame.height:
        notes.add(
            "{} rows of a second series of the same symbol and day were left out", None, frame.height - kept.height
        )
    return kept


def _lot(table: Table, plan: Plan, names: list[str]) -> float:
    """Shares of one unit of Volume: those of the source, unless the amounts say that Volume is in shares already."""
    lot = PRESETS[plan.preset].lot
    amount = next((name for name in names if key(name) in ("amount", "成交额")), None)
    if lot == 1.0 or amount is None or "Volume" not in plan.sources:
        return lot
    unit = 1000.0 if plan.preset == "tushare" else 1.0
    tried = [pl.col(name).cast(pl.Float64, strict=False) for name in (amount, plan.sources["Volume"])]
    closes = pl.col(plan.raw_close or plan.sources["Close"]).cast(pl.Float64, strict=False)
    ratio = table.frame.head(2000).select((tried[0] * unit / (tried[1] * closes)).median()).collect().item()
    return 1.0 if ratio is not None and LOT_TOLERANCE[0] < ratio < LOT_TOLERANCE[1] else lot

"""Reading raw daily prices: files of many kinds, or folders of them, under any column names.

Every fault of the input ends in one :class:`DataError` line that names the file, the column, the value and what to do.
"""

import datetime as dt
import logging
from pathlib import Path

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.codes import name_code, normalise_codes, pad_codes, same_codes
from atft_pipeline.prices.reading.columns import (
    Plan,
    choose_columns,
    find_column,
    missing_column,
    source_zone,
    unused_adjustment,
)
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.dates import is_date, parse_dates
from atft_pipeline.prices.reading.files import (
    EmptyFileError,
    Table,
    find_files,
    one_line,
    open_tables,
    other_files,
    with_partitions,
)
from atft_pipeline.prices.reading.names import DATES, OPTIONAL, PRESETS, PRICE_COLUMNS, REQUIRED, key
from atft_pipeline.prices.reading.record import How, Notes, RawPrices, Reading
from atft_pipeline.prices.reading.rows import FOOTER, Part, passed_columns, read_rows
from atft_pipeline.prices.reading.shapes import check_wide, date_column, join_fields, stack
from atft_pipeline.progress import track

log = logging.getLogger(__name__)


# A cross-section of one code cannot be ranked, and one day has no return.
MIN_CODES = 2
MIN_DAYS = 2


def read_prices(path: Path, settings: PricesConfig) -> pl.DataFrame:
    """Read raw prices under their canonical names; :func:`read_raw_prices` tells how besides."""
    return read_raw_prices(path, settings).frame


def read_raw_prices(path: Path, settings: PricesConfig) -> RawPrices:
    """Read raw prices under their canonical names, and say how.

    Args:
        path: a file of prices, or a folder that holds such files at any depth.
        settings: column names and limits.

    Returns:
        How they were read, and Date (Date), Code (String), Open, High, Low, Close, Volume (Float64), Vwap and
        UnadjustedClose where the files have them, then the columns kept by pattern; rows in the order of the files.
        Prices are adjusted where the files hold an adjusted close, and UnadjustedClose is the raw one then.

    Raises:
        DataError: the input cannot be read or breaks its contract.
    """
    notes = Notes()
    tables = _tables(path, settings, notes)
    plans = _plans(tables, path, settings, notes)
    parts = []
    for table, (plan, code) in track(list(zip(tables, plans, strict=True)), "reading prices"):
        part = read_rows(table, plan, settings, code, notes)
        if part.frame.is_empty():
            notes.add("files without a row were left out", table)
        else:
            parts.append((table, plan, part))
    if not parts:
        msg = f"{path}: no rows; give prices with at least {MIN_DAYS} days"
        raise DataError(msg)
    _check_levels([(table, plan) for table, plan, _ in parts])
    frame = _concatenate([part for _, _, part in parts], path, settings, {plan.preset for plan, _ in plans}, notes)
    _check(frame, path)
    if twice := same_codes(frame["Code"]):
        notes.add(twice)
    first = parts[0][1]
    unknown = [name for name in ("Open", "High", "Low", "Volume") if frame[name].null_count() == frame.height]
    if unknown:
        notes.add(f"closes alone: {', '.join(unknown)} are unknown")
    if "Volume" in unknown:
        notes.add("without Volume a universe needs --params ingest.universe.min_dollar_volume=0")
    for plan in {plan.preset: plan for _, plan, _ in parts}.values():
        if PRESETS[plan.preset].note and plan.raw_close is None and plan.factor is None:
            notes.add(PRESETS[plan.preset].note)
    presets = sorted({plan.preset for _, plan, _ in parts})
    dividends = _dividends([plan for _, plan, _ in parts])
    reading = Reading(", ".join(presets), len(parts), first.close, dividends, notes.lines())
    log.info(reading.line())
    for note in reading.notes:
        log.info("prices: %s", note)
    return RawPrices(frame, reading)


def _dividends(plans: list[Plan]) -> How:
    """Say where the dividends of all files are; one file without them beside others is of a share that pays none."""
    found = {plan.dividends for plan in plans}
    return "column" if "column" in found else "in the close" if found == {"in the close"} else "unknown"


def date_range(path: Path, settings: PricesConfig) -> tuple[dt.date, dt.date]:
    """First and last date of raw prices; only the dates are read.

    Raises:
        DataError: the input cannot be read, has no date column or no date.
    """
    ends: list[dt.date] = []
    for table in _tables(path, settings, Notes()):
        dates = _dates(table, settings)
        ends += [day for day in (dates.min(), dates.max()) if isinstance(day, dt.date)]
    if not ends:
        msg = f"{path}: no row has a date; give prices with at least two days"
        raise DataError(msg)
    return min(ends), max(ends)


def _dates(table: Table, settings: PricesConfig) -> pl.Series:
    """Read the dates of a table, each once or the first and the last alone."""
    schema = table.frame.collect_schema()
    names = schema.names()
    source = find_column(names, "Date", settings, table) or date_column(table, names)
    if source is None:
        raise DataError(missing_column(table, "Date", names, settings))
    named = pl.col(source)
    wanted = named.min().append(named.max()) if schema[source] == pl.Date else named.unique(maintain_order=True)
    dates = table.frame.select(wanted).collect()[source]
    if table.text:
        # What stands below the last price, and copies of the header, are remarks here as they are for the reader.
        remarks = [text for text in dates.tail(FOOTER) if text and not is_date(text)]
        dates = dates.filter(~dates.is_in([source, *remarks]).fill_null(value=False))
    return parse_dates(dates, table, source, settings.time_zone or source_zone(names, settings))


def _tables(path: Path, settings: PricesConfig, notes: Notes) -> list[Table]:
    """Open all tables at a path and stack the wide ones; empty files of a folder are left out."""
    tables = []
    for table in _open_all(path, notes):
        if path.is_dir() and _is_prose(table):
            notes.add("texts that are no tables were left out", table)
        else:
            whole = with_partitions(table, path) if path.is_dir() else table
            tables.append(stack(whole, settings.columns or {}))
    if not tables:
        msg = f"{path}: none of its files is a table; give a folder that holds prices"
        raise DataError(msg)
    tables = join_fields(tables)
    check_wide(tables)
    for table in tables:
        for note in table.notes:
            notes.add(note, table)
    return tables


def _open_all(path: Path, notes: Notes) -> list[Table]:
    """Open the files at a path; those of a folder that cannot be read are named together."""
    tables: list[Table] = []
    empty: list[Path] = []
    faults: list[DataError] = []
    files = find_files(path)
    for file in files:
        try:
            tables += open_tables(file)
        except EmptyFileError as error:
            empty.append(file)
            notes.add("files without a row were left out", file)
            if len(empty) == len(files):
                msg = f"{path}: its {len(empty)} files are empty; give a folder that holds prices"
                raise error if path.is_file() else DataError(msg) from error
        except DataError as error:
            faults.append(error)
    if len(faults) > 1:
        others = ", ".join(str(fault).split(": ")[0] for fault in faults[1:6])
        msg = f"{faults[0]} (and {len(faults) - 1} more files that cannot be read: {others})"
        raise DataError(msg)
    if faults:
        raise faults[0]
    if path.is_dir():
        for file in other_files(path):
            notes.add("files of kinds that are not read were left out", file)
    return tables


def _is_prose(table: Table) -> bool:
    """Whether a text is a remark of one column, such as README.txt."""
    names = table.frame.collect_schema().names()
    return table.text and table.path.suffix.casefold() == ".txt" and len(names) == 1 and key(names[0]) not in DATES


def _plans(tables: list[Table], path: Path, settings: PricesConfig, notes: Notes) -> list[tuple[Plan, str | None]]:
    """Choose the columns of every table, and the code of each that is one ticker."""
    every = [table.frame.collect_schema().names() for table in tables]
    unseen = [p for p in settings.passthrough if not any(passed_columns(names, (p,), set()) for names in every)]
    if unseen:
        msg = (
            f"{tables[0]}: ingest.prices.passthrough asks for {unseen[0]!r}, which matches no column but those of the "
            f"prices; it has {', '.join(every[0][:12])}; correct the pattern or leave it out"
        )
        raise DataError(msg)
    coded = any(find_column(names, "Code", settings, one) for one, names in zip(tables, every, strict=True))
    codes = [None if coded or settings.preset == "standard" else _named(table, path) for table in tables]
    named = len({*codes} - {None}) > 1
    plans: list[tuple[Plan, str | None]] = []
    for table, columns, told in zip(tables, every, codes, strict=True):
        names = columns
        date = (settings.columns or {}).get("Date") or find_column(names, "Date", settings, table)
        date = date or date_column(table, names)
        code = told if named else None
        plan = choose_columns(table, names, settings, date, named=code is not None)
        if plan.raw_close is not None and _is_blank(table, plan.sources["Close"]):
            notes.add(f"{plan.sources['Close']!r} holds no value: raw prices are read", table)
            names = [name for name in names if name != plan.sources["Close"]]
            plan = choose_columns(table, names, settings, date, named=code is not None)
        if plan.note:
            notes.add(plan.note)
        if plan.raw_close is None and plan.factor is None and (unused := unused_adjustment(names, plan)):
            notes.add(f"{unused!r} was not used: Close is {plan.sources['Close']!r} as it stands, adjusted or not")
        plans.append((plan, None if "Code" in plan.sources else code))
    if named:
        index = next(index for index, code in enumerate(codes) if code)
        notes.add(f"codes were taken from the names of the files, such as {codes[index]} from {tables[index]}")
    return plans


def _named(table: Table, path: Path) -> str | None:
    """Code in the name of a file, else in that of its folder below the prices."""
    code = name_code(table.stem)
    if code is None and path.is_dir() and not table.member and table.path.parent != path:
        return name_code(table.path.parent.name)
    return code


def _is_blank(table: Table, name: str) -> bool:
    """Whether a column holds no number."""
    values = table.frame.select(pl.col(name).cast(pl.String).str.contains(r"\d")).collect().to_series()
    return not values.any()


def _check_levels(read: list[tuple[Table, Plan]]) -> None:
    """Refuse adjusted prices of some files beside raw ones of others."""
    levels = {plan.raw_close is not None or plan.factor is not None: table for table, plan in read}
    if len(levels) > 1:
        close = next(plan.sources["Close"] for _, plan in read if plan.raw_close is not None or plan.factor is not None)
        msg = (
            f"{levels[True]} holds adjusted prices ({close!r}) and {levels[False]} raw ones alone: they cannot be put "
            "together; give all files the adjusted close, or read all of them raw with --params "
            "ingest.prices.columns.Close=Close"
        )
        raise DataError(msg)


def _concatenate(read: list[Part], path: Path, settings: PricesConfig, presets: set[str], notes: Notes) -> pl.DataFrame:
    """Put the rows of all files together; columns passed through may be absent from some."""
    parts, padded = pad_codes([part.frame for part in read], [part.whole_codes for part in read])
    if padded:
        notes.add(padded)
    levels = {*OPTIONAL} - {"Dividend"}
    optional = {tuple(sorted(set(part.columns) & levels)) for part in parts}
    if len(optional) > 1:
        shared = set.intersection(*(set(part.columns) for part in parts))
        parts = [part.drop([name for name in levels if name in part.columns and name not in shared]) for part in parts]
    try:
        frame = pl.concat(parts, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        msg = f"{path}: the files do not fit together ({one_line(error)}); store a column in one type"
        raise DataError(msg) from error
    jquants = settings.preset == "jquants" or presets == {"jquants"}
    return frame.with_columns(normalise_codes(frame["Code"], jquants).alias("Code")) if jquants else frame


def _check(frame: pl.DataFrame, path: Path) -> None:
    """Refuse what no cleaning rule can repair."""
    unknown = {name for name in REQUIRED if frame[name].null_count() == frame.height}
    closes_alone = {"Open", "High", "Low"}
    allowed = closes_alone | {"Volume"} if unknown >= closes_alone else set()
    for name in REQUIRED:
        if name in unknown - allowed:
            msg = f"{path}: column {name!r} holds no value in all {frame.height} rows; map the column that has them"
            if name == "Volume":
                msg += (
                    ", or give Date, Code and Close alone, with --params ingest.universe.min_dollar_volume=0 since "
                    "nothing tells what was traded"
                )
            raise DataError(msg)
    for name in (*PRICE_COLUMNS, "Volume"):
        negative = frame.filter(pl.col(name) < 0)
        if negative.height:
            day, code, value = negative.select("Date", "Code", name).row(0)
            msg = (
                f"{path}: {name} is negative in {negative.height} rows, first {code} on {day}: {value}; "
                "correct these rows or map another column"
            )
            raise DataError(msg)
    _check_extent(frame, path)


def _check_extent(frame: pl.DataFrame, path: Path) -> None:
    """Refuse dates of the future, and too few codes or days."""
    today = dt.datetime.now(tz=dt.UTC).date()
    limit = today + dt.timedelta(days=1)
    future = frame.filter(pl.col("Date") > limit)
    if future.height:
        day, code = future.select("Date", "Code").row(0)
        msg = (
            f"{path}: {future.height} rows are dated after {limit}, first {code} on {day}; "
            "correct them, or this machine's clock"
        )
        raise DataError(msg)
    for name, least in (("Code", MIN_CODES), ("Date", MIN_DAYS)):
        count = frame[name].drop_nulls().n_unique()
        if count < least:
            only = frame[name].drop_nulls()[0]
            what = "code" if name == "Code" else "day"
            msg = f"{path}: only {count} {what} ({only}), at least {least} are needed; give prices of more {what}s"
            raise DataError(msg)

"""Reading raw daily prices: Parquet files, folders of them, or CSV, under any column names.

Every fault of the input ends in one :class:`DataError` line that names the file, the column, the value and what to do.
"""

import datetime as dt
import difflib
import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import polars as pl

from atft_pipeline.config import config, require
from atft_pipeline.errors import DataError
from atft_pipeline.market.price_dates import parse_dates
from atft_pipeline.market.reading import RawPrices, Reading
from atft_pipeline.progress import track

PRICE_COLUMNS = ("Open", "High", "Low", "Close")
REQUIRED = ("Date", "Code", *PRICE_COLUMNS, "Volume")
OPTIONAL = ("Vwap", "UnadjustedClose")

# Canonical name -> names tried in order. Standard names are always tried last.
PRESETS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "standard": {},
    "jquants": {
        "Open": ("AdjustmentOpen", "AdjO"),
        "High": ("AdjustmentHigh", "AdjH"),
        "Low": ("AdjustmentLow", "AdjL"),
        "Close": ("AdjustmentClose", "AdjC"),
        "Volume": ("AdjustmentVolume", "AdjVo"),
        "UnadjustedClose": ("Close", "C"),
    },
    "yfinance": {
        "Date": ("Date", "Datetime", "date"),
        "Code": ("Ticker", "Symbol", "ticker", "symbol"),
        **{name: (name, name.lower()) for name in (*PRICE_COLUMNS, "Volume")},
    },
}


@config
class PricesConfig:
    """How raw prices are read.

    Attributes:
        preset: names of the columns: ``standard`` (Date, Code, Open, ...), ``jquants`` (AdjustmentOpen, ..., codes of
            five characters) or ``yfinance`` (Ticker; a file without it is one ticker, named by the file).
        columns: canonical name -> name in the file; wins over the preset.
        passthrough: patterns (``*`` and ``?``) of further numeric columns to keep.
        time_zone: zone of the market, needed only where dates are UTC instants that are not midnight.
        latest_date: last date that is believable, ISO; null means tomorrow by this machine's clock.
        minimum_codes: fewer distinct codes than this are refused, a cross-section cannot be ranked.
        minimum_days: fewer distinct dates than this are refused.
    """

    preset: Literal["standard", "jquants", "yfinance"] = "standard"
    columns: dict[str, str] | None = None
    passthrough: tuple[str, ...] = ()
    time_zone: str | None = None
    latest_date: str | None = None
    minimum_codes: int = 2
    minimum_days: int = 2

    def __post_init__(self) -> None:
        require(self.preset in PRESETS, f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        known = {*REQUIRED, *OPTIONAL}
        unknown = sorted(set(self.columns or {}) - known)
        require(not unknown, f"columns maps unknown names {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        require(self.minimum_codes >= 1, f"minimum_codes must be at least 1, got {self.minimum_codes}")
        require(self.minimum_days >= 1, f"minimum_days must be at least 1, got {self.minimum_days}")
        if self.latest_date is not None:
            try:
                dt.date.fromisoformat(self.latest_date)
            except ValueError:
                require(
                    ok=False, message=f"latest_date must be an ISO date such as 2024-12-31, got {self.latest_date!r}"
                )


def read_prices(path: Path, settings: PricesConfig) -> pl.DataFrame:
    """Read raw prices under their canonical names; :func:`read_raw_prices` tells how besides."""
    return read_raw_prices(path, settings).frame


def read_raw_prices(path: Path, settings: PricesConfig) -> RawPrices:
    """Read raw prices under their canonical names, and say how.

    Args:
        path: a Parquet or CSV file, or a folder that holds such files at any depth.
        settings: column names and limits.

    Returns:
        How they were read, and Date (Date), Code (String), Open, High, Low, Close, Volume (Float64), Vwap and
        UnadjustedClose where the files have them, then the columns kept by pattern; rows in the order of the files.

    Raises:
        DataError: the input cannot be read or breaks its contract.
    """
    files = find_files(path)
    parts = [_read_one(file, settings) for file in track(files, "reading prices")]
    frame = _concatenate(parts, files)
    _check(frame, path, settings)
    return RawPrices(frame, Reading(preset=settings.preset, files=len(files), close="Close"))


def newest_date(path: Path, settings: PricesConfig) -> dt.date:
    """Last date of raw prices; only the dates are read.

    Args:
        path: as of :func:`read_prices`.
        settings: name of the date column, time zone.

    Raises:
        DataError: the input cannot be read, has no date column or no date.
    """
    newest: list[dt.date] = []
    for file in find_files(path):
        scan = read_table(file)
        schema = scan.collect_schema()
        source = find_column(schema.names(), "Date", settings)
        if source is None:
            raise DataError(_missing(file, "Date", schema.names(), settings))
        wanted = pl.col(source).max() if schema[source] == pl.Date else pl.col(source).unique()
        last = parse_dates(scan.select(wanted).collect()[source], file, source, settings.time_zone).max()
        newest += [last] if isinstance(last, dt.date) else []
    if not newest:
        msg = f"{path}: no row has a date; give prices with at least two days"
        raise DataError(msg)
    return max(newest)


def find_files(path: Path) -> list[Path]:
    """List the price files at a path: the file itself, or all Parquet (else CSV) files below the folder.

    Raises:
        DataError: there is no such path, or nothing readable below it.
    """
    if not path.exists():
        msg = f"{path}: no such file or folder; give the path of a Parquet or CSV file, or of a folder of them"
        raise DataError(msg)
    if path.is_file():
        return [path]
    for suffixes in ((".parquet", ".pq"), (".csv", ".csv.gz")):
        found = [
            file
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name.endswith(suffixes) and not file.name.startswith((".", "_"))
        ]
        if found:
            return found
    msg = f"{path}: the folder holds no .parquet and no .csv file; give the folder that holds the prices"
    raise DataError(msg)


def read_table(file: Path) -> pl.LazyFrame:
    """Open one Parquet or CSV file; CSV columns are all strings.

    Raises:
        DataError: the file is empty, or is neither.
    """
    if file.stat().st_size == 0:
        msg = f"{file}: the file is empty (0 bytes); give a Parquet or CSV file with prices"
        raise DataError(msg)
    text = file.name.endswith((".csv", ".csv.gz"))
    try:
        scan = pl.scan_csv(file, infer_schema=False) if text else pl.scan_parquet(file)
        scan.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        kind = "CSV" if text else "Parquet"
        msg = f"{file}: not a readable {kind} file ({_one_line(error)}); write it again or give another path"
        raise DataError(msg) from error
    return scan


def find_column(names: list[str], canonical: str, settings: PricesConfig) -> str | None:
    """Find the name that a canonical column has in a file, or ``None``."""
    mapped = (settings.columns or {}).get(canonical)
    if mapped is not None:
        return mapped if mapped in names else None
    preset = PRESETS[settings.preset].get(canonical, ())
    own = () if canonical == "UnadjustedClose" and preset else (canonical,)
    return next((name for name in (*preset, *own) if name in names), None)


def _read_one(file: Path, settings: PricesConfig) -> pl.DataFrame:
    """Read one file under canonical names and types."""
    scan = read_table(file)
    schema = scan.collect_schema()
    names = schema.names()
    chosen = {name: find_column(names, name, settings) for name in (*REQUIRED, *OPTIONAL)}
    if chosen["Close"] == chosen["UnadjustedClose"]:
        chosen["UnadjustedClose"] = None
    nameless = settings.preset == "yfinance" and chosen["Code"] is None
    for name in REQUIRED:
        if chosen[name] is None and not (nameless and name == "Code"):
            raise DataError(_missing(file, name, names, settings))
    text = file.name.endswith((".csv", ".csv.gz"))
    columns: dict[str, pl.Expr] = {}
    for name, source in chosen.items():
        if source is None:
            continue
        columns[name] = pl.col(source) if name in ("Date", "Code") else _number(file, name, source, schema, text)
    if nameless:
        columns["Code"] = pl.lit(file.name.split(".")[0])
    for source in _matching(names, settings.passthrough, set(filter(None, chosen.values()))):
        if text or schema[source].is_numeric():
            columns[source] = _number(file, source, source, schema, text)
    try:
        frame = scan.select(expression.alias(name) for name, expression in columns.items()).collect()
    except pl.exceptions.InvalidOperationError as error:
        msg = f"{file}: a value is not a number ({_one_line(error)}); correct it or leave the cell empty"
        raise DataError(msg) from error
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{file}: the file is damaged ({_one_line(error)}); write it again or give another path"
        raise DataError(msg) from error
    return frame.with_columns(
        parse_dates(frame["Date"], file, chosen["Date"] or "Date", settings.time_zone).alias("Date"),
        _codes(frame["Code"], file, settings).alias("Code"),
    )


def _number(file: Path, name: str, source: str, schema: pl.Schema, text: bool) -> pl.Expr:
    """Express a numeric column; floats keep their width where they are passed through."""
    dtype = schema[source]
    if text:
        return pl.col(source).str.strip_chars().replace("", None).cast(pl.Float64)
    if dtype == pl.Null:
        return pl.col(source).cast(pl.Float64)
    if not dtype.is_numeric():
        msg = (
            f"{file}: column {source!r} has type {dtype}, {name} needs numbers; store it as numbers or map another one"
        )
        raise DataError(msg)
    known = name in (*REQUIRED, *OPTIONAL)
    return pl.col(source) if dtype.is_float() and not known else pl.col(source).cast(pl.Float64)


def _codes(codes: pl.Series, file: Path, settings: PricesConfig) -> pl.Series:
    """Turn codes into strings; J-Quants codes of four characters get the fifth."""
    if codes.dtype.is_float() or codes.dtype.is_temporal() or codes.dtype.is_nested():
        msg = f"{file}: column {codes.name!r} has type {codes.dtype}, Code needs strings or whole numbers; store it so"
        raise DataError(msg)
    return normalise_codes(codes.cast(pl.String), settings)


def normalise_codes(codes: pl.Series, settings: PricesConfig) -> pl.Series:
    """Trim codes, and give J-Quants codes of four characters their fifth."""
    frame = codes.rename("Code").str.strip_chars().replace("", None).to_frame()
    if settings.preset == "jquants":
        four = pl.col("Code").str.len_chars() == 4
        frame = frame.with_columns(pl.when(four).then(pl.col("Code") + "0").otherwise("Code").alias("Code"))
    return frame["Code"]


def _matching(names: list[str], patterns: tuple[str, ...], taken: set[str]) -> list[str]:
    """List the columns that a pattern asks for and no canonical name has taken."""
    reserved = {*REQUIRED, *OPTIONAL, *taken}
    return [name for name in names if name not in reserved and any(fnmatch.fnmatchcase(name, p) for p in patterns)]


def _concatenate(parts: list[pl.DataFrame], files: list[Path]) -> pl.DataFrame:
    """Stack the files; columns passed through may be absent from some."""
    optional = {tuple(sorted(set(part.columns) & set(OPTIONAL))) for part in parts}
    if len(optional) > 1:
        shared = set.intersection(*(set(part.columns) for part in parts))
        parts = [
            part.drop([name for name in OPTIONAL if name in part.columns and name not in shared]) for part in parts
        ]
    try:
        return pl.concat(parts, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        msg = f"{files[0].parent}: the files do not fit together ({_one_line(error)}); store a column in one type"
        raise DataError(msg) from error


def _missing(file: Path, name: str, names: list[str], settings: PricesConfig) -> str:
    """Compose the line about a column that is not there."""
    mapped = (settings.columns or {}).get(name)
    wanted = mapped or name
    lower = {other.lower(): other for other in names}
    close = lower.get(wanted.lower()) or next(iter(difflib.get_close_matches(wanted, names, 1, 0.6)), None)
    for preset, mapping in PRESETS.items():
        if preset != settings.preset and any(other in names for other in mapping.get(name, ()) if other != name):
            advice = f"set ingest.prices.preset to {preset}"
            break
    else:
        advice = f"map it with ingest.prices.columns, such as {name}: {close or 'ITS_NAME'}"
    return f"{file}: column {wanted!r} is missing; it has {', '.join(names[:12])}; {advice}"


def _check(frame: pl.DataFrame, path: Path, settings: PricesConfig) -> None:
    """Refuse what no cleaning can mend."""
    if frame.is_empty():
        msg = f"{path}: no rows; give prices with at least {settings.minimum_days} days"
        raise DataError(msg)
    for name in REQUIRED:
        if frame[name].null_count() == frame.height:
            msg = f"{path}: column {name!r} holds no value in all {frame.height} rows; map the column that has them"
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
    _check_extent(frame, path, settings)


def _check_extent(frame: pl.DataFrame, path: Path, settings: PricesConfig) -> None:
    """Refuse dates of the future, and too few codes or days."""
    today = dt.datetime.now(tz=dt.UTC).date()
    limit = today + dt.timedelta(days=1)
    if settings.latest_date is not None:
        limit = dt.date.fromisoformat(settings.latest_date)
    future = frame.filter(pl.col("Date") > limit)
    if future.height:
        day, code = future.select("Date", "Code").row(0)
        msg = (
            f"{path}: {future.height} rows are dated after {limit}, first {code} on {day}; "
            "correct them or set ingest.prices.latest_date"
        )
        raise DataError(msg)
    for name, least in (("Code", settings.minimum_codes), ("Date", settings.minimum_days)):
        count = frame[name].drop_nulls().n_unique()
        if count < least:
            only = frame[name].drop_nulls()[0]
            what = "code" if name == "Code" else "day"
            msg = f"{path}: only {count} {what} ({only}), at least {least} are needed; give prices of more {what}s"
            raise DataError(msg)


def _one_line(error: BaseException) -> str:
    """Shorten an error to its first line."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]

"""A prepared feature table enters as it is: Code, Date, many numeric columns, forward returns; no prices.

Nothing is recomputed. Its universe is every row, or a column of its own; its graphs come from its one-session returns.
"""

import fnmatch
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.config import config, require, to_mapping
from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.codes import check_codes, normalise_codes
from atft_pipeline.prices.reading.columns import find_column
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.dates import parse_dates
from atft_pipeline.prices.reading.files import Table, find_files, open_tables
from atft_pipeline.prices.reading.names import PRICE_COLUMNS
from atft_pipeline.progress import track


@config
class PreparedConfig:
    """How a prepared table is read instead of prices.

    Attributes:
        returns: forward return columns by their horizon in sessions, as fractions, such as ``{1: target_1d}``; empty
            where the raw input is prices, not a prepared table.
        universe: Boolean column that says which rows may be held; ``null`` = all rows.
        required: patterns of columns that must be there and hold values; any other column may be empty.
        exclude: patterns of columns that are left out, such as targets of other kinds.
    """

    returns: Mapping[int, str] = field(default_factory=dict)
    universe: str | None = None
    required: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least = min(self.returns, default=1)
        require(least >= 1, f"returns: horizons must be at least 1, got {least}")


def read_prepared(path: Path, settings: PreparedConfig, prices: PricesConfig) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Read a prepared table.

    Args:
        path: Parquet or CSV file, or a folder of them.
        settings: which columns mean what.
        prices: names of the Date and Code columns, form of the codes.

    Returns:
        Date, Code, Listing, InUniverse, every other numeric column, ``return_{h}``; sorted by Listing and Date. And the
        coverage report: fraction of values of each column, and what was left out.

    Raises:
        DataError: a column is missing or empty, or a key appears twice.
    """
    tables = [table for file in find_files(path) for table in open_tables(file)]
    frame = pl.concat(
        [_read(table, settings, prices) for table in track(tables, "reading table")], how="diagonal_relaxed"
    )
    returns = {f"return_{int(h)}": name for h, name in settings.returns.items()}
    special = {*returns.values(), *filter(None, [settings.universe])}
    left_out = [
        name
        for name, dtype in frame.schema.items()
        if name not in special
        and name not in ("Date", "Code")
        and (
            not (dtype.is_numeric() or dtype == pl.Boolean)
            or name in (*PRICE_COLUMNS, "Volume")
            or _any(name, settings.exclude)
        )
    ]
    kept = [name for name in frame.columns if name not in {*left_out, *special, "Date", "Code"}]
    coverage = {name: _filled_fraction(frame[name]) for name in kept}
    _check(frame, path, settings, coverage)
    universe = (
        pl.lit(value=True)
        if settings.universe is None
        else pl.col(settings.universe).cast(pl.Boolean).fill_null(value=False)
    )
    table = frame.select(
        "Date",
        "Code",
        pl.col("Code").alias("Listing"),
        universe.alias("InUniverse"),
        *(
            pl.col(name).cast(pl.Float32) if frame.schema[name] == pl.Boolean else pl.col(name)
            for name in kept
            if coverage[name]
        ),
        *(pl.col(source).cast(pl.Float64).alias(name) for name, source in returns.items()),
    ).sort("Listing", "Date")
    return table, _report(table, path, settings, coverage, left_out)


def _report(
    table: pl.DataFrame, path: Path, settings: PreparedConfig, coverage: Mapping[str, float], left_out: list[str]
) -> dict[str, Any]:
    """Say how full each column is and what was left out."""
    return {
        "kind": "prepared",
        "source": str(path),
        "rows": table.height,
        "codes": table["Code"].n_unique(),
        "sessions": table["Date"].n_unique(),
        "first": str(table["Date"].min()),
        "last": str(table["Date"].max()),
        "coverage": coverage,
        "empty": [name for name, filled in coverage.items() if not filled],
        "left_out": left_out,
        "labels": {name: _filled_fraction(table[name]) for name in (f"return_{int(h)}" for h in settings.returns)},
        "settings": to_mapping(settings),
    }


def _read(file: Table, settings: PreparedConfig, prices: PricesConfig) -> pl.DataFrame:
    """Read one table with Date and Code under their canonical names."""
    scan = file.frame
    names = scan.collect_schema().names()
    keys: dict[str, str] = {}
    for key in ("Date", "Code"):
        # A name is the company's beside features.
        found = find_column([name for name in names if name.casefold() != "name"], key, prices, file)
        if found is None:
            msg = (
                f"{file}: column {key!r} is missing; it has {', '.join(names[:12])}; map it with ingest.prices.columns"
            )
            raise DataError(msg)
        keys[found] = key
    for name in (*settings.returns.values(), *filter(None, [settings.universe])):
        if name not in names:
            msg = f"{file}: column {name!r} is missing; it has {', '.join(names[:12])}; correct ingest.prepared"
            raise DataError(msg)
    try:
        frame = scan.collect().rename(keys)
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{file}: the file is damaged ({str(error).splitlines()[0]}); write it again or give another path"
        raise DataError(msg) from error
    if file.text:
        frame = _typed(frame)
    return frame.with_columns(
        parse_dates(frame["Date"], file, "Date", prices.time_zone).alias("Date"),
        normalise_codes(check_codes(frame["Code"], file, "Code"), prices.preset == "jquants").alias("Code"),
    )


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the columns of a text their types: numbers, or true and false, where all values are."""
    columns = []
    for text in frame.drop("Date", "Code").iter_columns():
        if text.str.to_lowercase().is_in(["true", "false"]).all() and text.count():
            columns.append(text.str.to_lowercase() == "true")
            continue
        number = text.str.strip_chars().replace("", None).cast(pl.Float64, strict=False)
        if number.null_count() == text.str.strip_chars().replace("", None).null_count():
            columns.append(number)
    return frame.with_columns(columns)


def _check(frame: pl.DataFrame, path: Path, settings: PreparedConfig, coverage: Mapping[str, float]) -> None:
    if frame.is_empty():
        msg = f"{path}: no rows; give a table with at least two days"
        raise DataError(msg)
    if not any(coverage.values()):
        msg = f"{path}: no numeric column holds a value; give a table with features"
        raise DataError(msg)
    for pattern in settings.required:
        found = [name for name in coverage if fnmatch.fnmatchcase(name, pattern)]
        lacking = [name for name in found if not coverage[name]]
        if not found or lacking:
            what = f"column {lacking[0]!r} is empty" if lacking else f"no column matches {pattern!r}"
            msg = f"{path}: {what}, but ingest.prepared.required asks for it; correct the table or the parameter"
            raise DataError(msg)
    twice = frame.group_by("Code", "Date").len().filter(pl.col("len") > 1).sort("Code", "Date")
    if twice.height:
        code, day, count = twice.row(0)
        msg = f"{path}: {twice.height} keys appear more than once, first {code} on {day} ({count} times); keep one"
        raise DataError(msg)


def _filled_fraction(column: pl.Series) -> float:
    return column.count() / max(len(column), 1)


def _any(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def summarise_prepared(table: pl.DataFrame, listings: pl.DataFrame) -> pl.DataFrame:
    """One row a listing: Listing, Code, sector, market, first, last, fund (never known here)."""
    return (
        table.group_by("Listing", maintain_order=True)
        .agg(
            pl.col("Code").first(),
            first=pl.col("Date").first(),
            last=pl.col("Date").last(),
            fund=pl.lit(value=False).first(),
        )
        .join(listings, on="Code", how="left", maintain_order="left")
        .select("Listing", "Code", "sector", "market", "first", "last", "fund")
    )

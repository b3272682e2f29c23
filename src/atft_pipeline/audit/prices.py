"""Clean prices against the raw rows they were made from."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from atft_pipeline.audit.finding import Finding

# Which raw columns a clean one may take its value from: cleaning exchanges or widens ranges, and fills nothing.
SOURCES = {
    "Open": ("Open",),
    "High": ("Open", "High", "Low", "Close"),
    "Low": ("Open", "High", "Low", "Close"),
    "Close": ("Close",),
    "Volume": ("Volume",),
}
KEYS = ["Code", "Date"]


def check_prices(raw: pl.DataFrame, clean: pl.DataFrame) -> Iterator[Finding]:
    """Every clean value stands in the raw row of the same code and day, or is missing.

    A value that was filled from another day, backward or forward, does not.

    Args:
        raw: prices under canonical names; of rows with one key any may be the source.
        clean: clean prices.
    """
    names = [name for name in SOURCES if name in clean.columns and name in raw.columns]
    sources = raw.select(*KEYS, *(pl.col(name).cast(pl.Float64).alias(f"raw {name}") for name in names), found=True)
    rows = clean.select(*KEYS, "Listing", *names).with_row_index("row").join(sources, on=KEYS, how="left")
    held = rows.select(
        "row",
        pl.col("found").fill_null(value=False).alias("rows"),
        *(_held(name, [source for source in SOURCES[name] if source in names]).alias(name) for name in names),
    )
    if held.height > clean.height:
        held = held.group_by("row").agg(pl.all().any())
    held = held.sort("row")
    for name in ("rows", *names):
        wrong = ~held[name]
        first = clean.filter(wrong).select("Date", "Listing") if wrong.any() else None
        where = "" if first is None else "{} {} has no such raw value".format(*first.row(0))
        yield Finding("prices", name, "all", clean.height, int(wrong.sum()), where, not wrong.any())


def check_reading(path: Path, raw: pl.DataFrame) -> Iterator[Finding]:
    """A close that is missing in the files is missing in what was read of them, and no row was added.

    Args:
        path: a Parquet file or a folder of them with the columns Date, Code and Close; of others nothing is found.
        raw: what was read.
    """
    files = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    if not files or any(not _is_plain(file) for file in files):
        return
    rows = sum(pl.scan_parquet(file).select(pl.len()).collect().item() for file in files)
    scans = [pl.scan_parquet(file).select(*KEYS, pl.col("Close").cast(pl.Float64)) for file in files]
    table = pl.concat(scans).filter(pl.col("Date").is_not_null() & pl.col("Code").is_not_null())
    known = pl.col("Close").is_not_null() & pl.col("Close").is_not_nan()
    missing = table.filter(~known).join(table.filter(known), on=KEYS, how="anti").select(KEYS).collect()
    filled = raw.join(missing, on=KEYS, how="semi").filter(pl.col("Close").is_not_null() & pl.col("Close").is_not_nan())
    added = max(0, raw.height - rows)
    where = ""
    if filled.height:
        where = "{} {} has no close in the files".format(*filled.select("Date", "Code").row(0))
    elif added:
        where = f"{raw.height:,} rows were read of {rows:,}"
    wrong = filled.height + added
    yield Finding("prices", "reading", "all", missing.height + rows, wrong, where, not wrong)


def _is_plain(file: Path) -> bool:
    """A Parquet file whose Close is the close that is read: nothing beside it is adjusted."""
    if file.suffix != ".parquet":
        return False
    schema = pl.read_parquet_schema(file)
    named = schema.get("Date") == pl.Date and schema.get("Code") == pl.String and "Close" in schema
    return named and schema["Close"].is_numeric() and not any("adj" in name.casefold() for name in schema)


def _held(name: str, sources: list[str]) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    near = [(value - pl.col(f"raw {one}")).abs() <= 1e-9 * value.abs() for one in sources]
    return value.is_null() | pl.any_horizontal(*near).fill_null(value=False)

"""Clean prices against the raw rows they were made from."""

from collections.abc import Iterator

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


def _held(name: str, sources: list[str]) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    near = [(value - pl.col(f"raw {one}")).abs() <= 1e-9 * value.abs() for one in sources]
    return value.is_null() | pl.any_horizontal(*near).fill_null(value=False)

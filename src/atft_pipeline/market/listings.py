"""The table of listings: what is known about a code besides its prices."""

from pathlib import Path

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.market.prices import PricesConfig, find_files, normalise_codes, read_table
from atft_pipeline.market.reading import Matching

NAMES = {
    "Code": ("Code", "code", "Ticker", "Symbol"),
    "sector": ("sector", "Sector", "Sector33CodeName", "S33Nm", "sector33", "Sector33Code", "S33", "industry"),
    "market": ("market", "Market", "MarketCodeName", "MktNm", "MarketCode", "Mkt", "Exchange", "exchange"),
}


def read_listings(path: Path | None, settings: PricesConfig) -> pl.DataFrame:
    """Read the listings table, one row a code; the last row of a code wins.

    Args:
        path: Parquet or CSV file or folder, or ``None`` for an empty table.
        settings: preset of the prices, for the form of the codes.

    Returns:
        Code, sector, market (String; null where unknown).

    Raises:
        DataError: the file cannot be read or has no code.
    """
    schema = {"Code": pl.String, "sector": pl.String, "market": pl.String}
    if path is None:
        return pl.DataFrame(schema=schema)
    parts = []
    for file in find_files(path):
        scan = read_table(file)
        names = scan.collect_schema().names()
        found = {name: next((one for one in choices if one in names), None) for name, choices in NAMES.items()}
        if found["Code"] is None:
            msg = f"{file}: the listings have no column 'Code'; they have {', '.join(names[:12])}; rename it"
            raise DataError(msg)
        columns = [
            (pl.lit(None) if source is None else pl.col(source)).cast(pl.String).alias(name)
            for name, source in found.items()
        ]
        try:
            parts.append(scan.select(columns).collect())
        except (pl.exceptions.PolarsError, OSError) as error:
            msg = f"{file}: the listings cannot be read ({str(error).splitlines()[0]}); write the file again"
            raise DataError(msg) from error
    table = pl.concat(parts)
    table = table.with_columns(normalise_codes(table["Code"], settings).alias("Code"))
    return table.drop_nulls("Code").unique("Code", keep="last", maintain_order=True).sort("Code")


def match_listings(table: pl.DataFrame, codes: pl.Series) -> tuple[pl.DataFrame, Matching]:
    """Give the rows of a listings table the codes that the prices use.

    Args:
        table: as of :func:`read_listings`.
        codes: codes of the prices.

    Returns:
        The table, and how many codes have a row.
    """
    known = codes.drop_nulls().unique()
    return table, Matching(codes=len(known), matched=len(set(known) & set(table["Code"])))


def name_funds(table: pl.DataFrame, pattern: str) -> pl.Series:
    """List the codes whose sector or market says that they are funds."""
    says = [pl.col(name).str.contains(pattern).fill_null(value=False) for name in ("sector", "market")]
    return table.filter(pl.any_horizontal(*says))["Code"]


def summarise_listings(marked: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Give one row a listing segment: Listing, Code, sector, market, first, last, fund (as of its last row)."""
    return (
        marked.group_by("Listing", maintain_order=True)
        .agg(
            pl.col("Code").first(),
            pl.col("Date").first().alias("first"),
            pl.col("Date").last().alias("last"),
            pl.col("_fund").last().alias("fund"),
        )
        .join(table, on="Code", how="left", maintain_order="left")
        .select("Listing", "Code", "sector", "market", "first", "last", "fund")
    )

"""The table of listings: what is known about a code besides its prices."""

from pathlib import Path

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.codes import check_codes, code_keys, normalise_codes
from atft_pipeline.prices.reading.columns import find_column
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.dates import parse_dates
from atft_pipeline.prices.reading.files import Table, find_files, one_line, open_tables
from atft_pipeline.prices.reading.names import key
from atft_pipeline.prices.reading.record import Matching, counted
from atft_pipeline.prices.stocks import STOCK_REASONS

# What calls itself a fund in its sector or market, and what a type of listing other than a stock is called.
FUNDS = r"(?i)\b(ETF|ETN|ETP|funds?|exchange.traded)\b|ファンド"
TYPES = (
    r"(?i)\b(ETFs?|ETNs?|ETPs?|ETVs?|ETS|ETC|ETMF|CEF|mutual ?fund|funds?|exchange.traded|closed.end|index|basket"
    r"|pref|preferred|preference|PFD|ADRP|warrants?|WRT|ADRW|units?|rights?|ADRR|notes?|bonds?|debentures?|SP"
    r"|structured.product|certificates?|currency|crypto\w*|futures?|options?)\b|ファンド"
)
# Best first; compared by letters and digits alone.
LISTING_NAMES = {
    "sector": (
        *("sector", "gicssector", "sector33codename", "s33nm", "sector33", "sector33code", "s33", "sectorname"),
        *("icbsector", "economicsector", "industrysector", "industry", "gicsindustry", "icbindustry", "33業種区分"),
        *("gicsindustrygroup", "sicdescription", "行业", "所属行业", "业种", "gicssubindustry"),
    ),
    "market": (
        *("market", "marketcodename", "mktnm", "marketcode", "mkt", "exchange", "listingexchange", "primaryexchange"),
        *("exchangename", "marketsegment", "市場・商品区分", "市場商品区分", "市场"),
    ),
    "type": (
        *("type", "assettype", "securitytype", "instrumenttype", "quotetype", "listingtype", "issuetype", "sectype"),
        *("stocktype", "category"),
    ),
}
# Columns that say of each row whether it is a fund.
FLAGS = ("etf", "isetf", "isfund")
TRUE = ("y", "yes", "true", "t", "1", "1.0")
# Columns that say from which day on a row was known.
KNOWN = ("date", "asof", "asofdate", "effectivedate", "effectivefrom", "applicabledate", "validfrom", "knownfrom")
LOOSE = ("plain", "bare")


def read_listings(path: Path | None, settings: PricesConfig) -> pl.DataFrame:
    """Read the listings table, one row a code; the last row of a code wins.

    Args:
        path: a table or a folder of them, or ``None`` for an empty table.
        settings: preset of the prices, for the form of the codes.

    Returns:
        Code, sector, market, type (String; null where unknown).

    Raises:
        DataError: the file cannot be read or has no code.
    """
    if path is None:
        return pl.DataFrame(schema=dict.fromkeys(("Code", *LISTING_NAMES), pl.String))
    table = read_dated_listings(path, settings).drop("Known")
    return table.unique("Code", keep="last", maintain_order=True).sort("Code")


def read_dated_listings(path: Path, settings: PricesConfig) -> pl.DataFrame:
    """Read all rows of the listings table.

    Args: as :func:`read_listings`.

    Returns:
        Code, sector, market, type and Known, the day from which the table says that a row was known; null where it says
        none.
    """
    parts = [_read_one(table, settings) for file in find_files(path) for table in open_tables(file)]
    return pl.concat(parts).drop_nulls("Code")


def _read_one(table: Table, settings: PricesConfig) -> pl.DataFrame:
    """Read one table of listings."""
    names = table.frame.collect_schema().names()
    code = find_column([name for name in names if key(name) != "name"], "Code", settings, table)
    code = code or next((name for name in names if key(name) in ("ticker", "symbol", "tickersymbol")), None)
    if code is None:
        msg = (
            f"{table}: the listings have no column 'Code'; they have {', '.join(names[:12])}; rename the column of "
            "tickers to Code"
        )
        raise DataError(msg)
    found: dict[str, str | None] = {}
    for name, choices in LISTING_NAMES.items():
        by_key = {key(other): other for other in reversed(names)}
        found[name] = next((by_key[choice] for choice in choices if choice in by_key), None)
    columns = [
        (pl.lit(None) if source is None else pl.col(source))
        .cast(pl.String)
        .str.strip_chars()
        .replace("", None)
        .alias(name)
        for name, source in found.items()
    ]
    try:
        dated = next((name for name in names if key(name) in KNOWN), None)
        flags = [pl.col(name).cast(pl.String).str.to_lowercase().is_in(TRUE) for name in names if key(name) in FLAGS]
        if flags:
            columns[-1] = pl.when(pl.any_horizontal(flags)).then(pl.lit("ETF")).otherwise(columns[-1]).alias("type")
        day = pl.lit(None, dtype=pl.Date) if dated is None else pl.col(dated)
        frame = table.frame.select(pl.col(code).alias("Code"), *columns, day.alias("Known")).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{table}: the listings cannot be read ({one_line(error)}); write the file again"
        raise DataError(msg) from error
    codes = normalise_codes(check_codes(frame["Code"], table, code), settings.preset == "jquants")
    return frame.with_columns(codes.alias("Code"), _days(frame["Known"], table, dated or "", settings).alias("Known"))


def _days(column: pl.Series, table: Table, name: str, settings: PricesConfig) -> pl.Series:
    """Dates of a column that only the audit needs: one that cannot be read as dates says nothing."""
    try:
        return parse_dates(column, table, name, settings.time_zone)
    except DataError:
        return pl.Series("Known", [None] * len(column), dtype=pl.Date)


def match_listings(table: pl.DataFrame, codes: pl.Series) -> tuple[pl.DataFrame, Matching]:
    """Give the rows of a listings table the codes that the prices use.

    Equal text matches first. What is left matches where upper and lower case, leading zeros, ``1.0`` in place of ``1``,
    ``BRK-B`` in place of ``BRK.B``, or the market before or behind the code make the difference, as long as one code of
    the prices and one row could be meant, and no other.

    Args:
        table: as of :func:`read_listings`.
        codes: codes of the prices.

    Returns:
        The table, and how many codes have a row.
    """
    known = codes.drop_nulls().unique().sort()
    same = set(known) & set(table["Code"])
    prices, rows = code_keys(known.filter(~known.is_in(list(same)))), code_keys(table["Code"])
    renamed: dict[str, str] = {}
    notes = []
    for form in LOOSE:
        # A key that several codes or rows share says nothing, and a row that has its code is taken.
        one = prices.filter(pl.len().over(form) == 1)
        other = rows.filter(pl.len().over(form) == 1).filter(~pl.col("Code").is_in([*same, *renamed]))
        pairs = one.join(other, on=form, suffix="_row").select("Code", "Code_row").rows()
        renamed |= {row: code for code, row in pairs}
        prices = prices.filter(~pl.col("Code").is_in([code for code, _ in pairs]))
        if pairs:
            what = "but for case, zeros or punctuation" if form == "plain" else "but for the market"
            matching = counted(len(pairs), "code matches", "codes match")
            notes.append(f"{matching} {what}, such as {pairs[0][0]} and {pairs[0][1]}")
    if prices.height and table.height:
        shown = ", ".join(prices["Code"].head(3))
        without = counted(prices.height, "code has no row", "codes have no row")
        notes.append(f"{without}, such as {shown}; sector and market are unknown there")
    empty = [name for name in ("sector", "market") if table.height and table[name].null_count() == table.height]
    notes += [f"no {name} is known: the listings have no column of it" for name in empty]
    matched = table.with_columns(pl.col("Code").replace(renamed))
    count = len(known) - prices.height
    return matched.sort("Code"), Matching(codes=len(known), matched=count, notes=tuple(notes))


def name_others(table: pl.DataFrame) -> pl.Series:
    """List the codes whose type, sector or market says that they are no common stock."""
    words = {"sector": FUNDS, "market": FUNDS, "type": TYPES}
    says = [pl.col(name).str.contains(pattern).fill_null(value=False) for name, pattern in words.items()]
    # "Common Units" and "Common Stock, Rights attached" are stocks.
    common = pl.col("type").str.contains(r"(?i)\b(common|ordinary)\b").fill_null(value=False)
    return table.filter(says[0] | says[1] | (says[2] & ~common))["Code"]


def summarise_listings(marked: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Give one row a listing segment: Listing, Code, sector, market, first, last, fund (is none as of its last row)."""
    return (
        marked.group_by("Listing", maintain_order=True)
        .agg(
            pl.col("Code").first(),
            pl.col("Date").first().alias("first"),
            pl.col("Date").last().alias("last"),
            pl.any_horizontal(*STOCK_REASONS).last().alias("fund"),
        )
        .join(table, on="Code", how="left", maintain_order="left")
        .select("Listing", "Code", "sector", "market", "first", "last", "fund")
    )

"""Codes of the exchanges of the United States that name no common stock: preferreds, warrants, units and rights."""

import polars as pl

from atft_pipeline.prices.reading.codes import MARKET_BEFORE, MARKET_BEHIND

# What stands behind the mark, marks left out: BAC-PL, BAC.PR.L, BAC-P-L, WRB-WS, ABC.U, ABC-RT.
TAILS = r"^(p|pr|pfd|pref|pr?[a-z]|ws?|wts?|ws[a-z]|wt[a-z]|un?|r|rts?|ri)$"
# Nasdaq's own table writes BAC^L and BAC$L, Stooq BAC_L, Polygon BACpL.
ALWAYS = r"^[A-Z]{1,5}([\^$+=]|_[A-Z]$|p[A-Z]?$)"
CLASS = r"^[A-Z]{1,5}\.[A-C]$"
LETTER = r"^[A-Z]{1,5}-[A-Z]$"
# Nasdaq's fifth letters: bonds, preferreds, rights, units, warrants. A, B, C, K and L are classes of stock.
FIFTH = r"^[A-Z]{4}[GHIMNOPRUW]$"


def no_common_stock(rows: pl.DataFrame) -> pl.Series:
    """Tell by its code whether a row is no common stock.

    A market before the code (``NYSE_``) and ``.US`` behind it are left out, and a code of digits or of another market
    (``7203.T``, ``VOLV-B.ST``) is a stock. So is a class behind a dot (``BRK.B``). A single letter behind a hyphen is a
    class too (``BRK-B``), until the market has a class behind a dot: then the hyphen marks a preferred (``BAC-L``). A
    fifth letter counts once its four-letter root is listed (``AGNCP`` beside ``AGNC``). Where more than half of a day's
    codes would be out, they have a form that is not known here, and none is.

    Args:
        rows: Date and Code.

    Returns:
        Boolean; a row is judged by the codes up to its day.
    """
    codes = rows.group_by("Code").agg(pl.col("Date").min().alias("first")).with_columns(_bare().alias("bare"))
    bare, first = pl.col("bare"), pl.col("first")
    tail = bare.str.extract(r"^[A-Z]{1,5}([-. /].*)$").str.replace_all(r"[-. /]", "").str.to_lowercase()
    with_class = first.filter(bare.str.contains(CLASS)).min()
    roots = codes.select(bare.alias("root"), first.alias("listed")).group_by("root").agg(pl.col("listed").min())
    codes = codes.with_columns(bare.str.slice(0, 4).alias("root")).join(roots, on="root", how="left")
    since = (
        pl.when(bare.str.contains(ALWAYS) | tail.str.contains(TAILS))
        .then(first)
        .when(bare.str.contains(LETTER))
        .then(with_class)
        .when(bare.str.contains(FIFTH))
        .then("listed")
    )
    dated = rows.select("Date", "Code").join(
        codes.select("Code", since.alias("since")), on="Code", how="left", maintain_order="left"
    )
    named = (pl.col("Date") >= pl.col("since")).fill_null(value=False)
    return dated.select((named & (named.mean().over("Date") <= 0.5)).alias("named"))["named"]


def _bare() -> pl.Expr:
    """The code without its market; null where that is none of the United States."""
    code = pl.col("Code").str.replace(f"(?i){MARKET_BEFORE.pattern}", "").str.replace(r"(?i)[.:]us$", "")
    return pl.when(~code.str.contains(f"(?i){MARKET_BEHIND.pattern}")).then(code)

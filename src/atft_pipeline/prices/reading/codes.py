"""Codes of listings: as columns hold them, as file names hold them, and when two of them are the same."""

import re

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.dates import is_date

# Words around a code in the name of a file.
WORDS = frozenset(
    [
        "1d",
        "adjusted",
        "bars",
        "d",
        "data",
        "daily",
        "day",
        "eod",
        "historical",
        "history",
        "hist",
        "max",
        "ohlc",
        "ohlcv",
        "price",
        "prices",
        "quote",
        "quotes",
        "stock",
        "stocks",
        "table",
        "timeseries",
    ]
)
STOOQ = re.compile(r"^(?P<symbol>.+)_(?P<market>[a-z]{2})_d$", re.IGNORECASE)
STOOQ_BULK = re.compile(r"^[a-z0-9-]+\.(us|uk|de|jp|hk|hu|pl)$")
PART = re.compile(r"^(part|chunk|data|file|prices|archive|export|all)?[-_ ]?\d*$", re.IGNORECASE)
# Markets that stand behind a code after a dot, or before it.
SUFFIXES = (
    "us|uk|l|de|f|pa|mc|mi|as|br|ls|sw|st|co|he|ol|vi|wa|to|v|ne|cn|t|jp|hk|ss|sz|sh|bj|ks|kq|tw|two|si|bk|jk|kl|"
    "ax|nz|ns|bo|sa|mx|ba|sn|ta|is|jo|me"
)
MARKET_BEHIND = re.compile(rf"[.:]({SUFFIXES})$")
MARKET_BEFORE = re.compile(r"^(sh|sz|bj|nasdaq|nyse|nysearca|nysemkt|nyseamerican|amex|lse|tse|hkex|nse|bse)[._:]")


def name_code(stem: str) -> str | None:
    """Take the code out of the name of a file of one ticker; a name that is a date or a part holds none.

    ``qaa_us_d`` of Stooq is ``QAA.US``; words such as ``daily`` and years around a code are left out.
    """
    stooq = STOOQ.match(stem)
    if STOOQ_BULK.match(stem):
        return stem.upper()
    if stooq:
        return f"{stooq['symbol']}.{stooq['market']}".upper()
    if is_date(stem) or (PART.match(stem) and not stem.isdigit()) or re.match(r"^(19|20)\d\d([-_]?\d\d)?$", stem):
        return None
    words = [word for word in re.split(r"[_ ,]+", stem) if word]
    kept = [word for word in words if word.casefold() not in WORDS and not re.match(r"^(19|20)\d\d|^\d{8}$", word)]
    return "_".join(kept) if kept and len(words) > 1 else stem


def check_codes(codes: pl.Series, where: object, source: str) -> pl.Series:
    """Turn a column into codes: strings without blanks; whole numbers that a table stored as floats are whole again.

    Raises:
        DataError: the column holds prices or another type.
    """
    advice = "Code needs the tickers; name their column, such as --params ingest.prices.columns.Code=Ticker"
    if codes.dtype.is_float():
        known = codes.fill_nan(None).drop_nulls()
        if (known != known.round()).any():
            value = known.filter(known != known.round())[0]
            msg = f"{where}: column {source!r} holds {value}: these are prices and no codes; {advice}"
            raise DataError(msg)
        return codes.fill_nan(None).cast(pl.Int64).cast(pl.String)
    if codes.dtype.is_temporal() or codes.dtype.is_nested() or codes.dtype in (pl.Boolean, pl.Binary):
        msg = f"{where}: column {source!r} has type {codes.dtype}; {advice}"
        raise DataError(msg)
    if codes.dtype.is_integer():
        return codes.cast(pl.String)
    codes = codes.cast(pl.String).str.strip_chars().replace("", None)
    first = codes.head(1000).drop_nulls()
    if len(first) and first.str.contains(r"^\d*[.,]\d+$").all():
        return _whole(codes, where, source, advice)
    return codes


def _whole(codes: pl.Series, where: object, source: str, advice: str) -> pl.Series:
    """Codes such as ``1.0``, which a spreadsheet or pandas made of whole numbers."""
    fraction = codes.drop_nulls().filter(~codes.drop_nulls().str.contains(r"^\d+\.0+$"))
    if len(fraction):
        msg = f"{where}: column {source!r} holds {fraction[0]!r}: these are prices and no codes; {advice}"
        raise DataError(msg)
    return codes.str.replace(r"\.0+$", "")


def normalise_codes(codes: pl.Series, jquants: bool) -> pl.Series:
    """Trim codes, and give J-Quants codes of four characters their fifth."""
    frame = codes.rename("Code").str.strip_chars().replace("", None).to_frame()
    if jquants:
        four = pl.col("Code").str.len_chars() == 4
        frame = frame.with_columns(pl.when(four).then(pl.col("Code") + "0").otherwise("Code").alias("Code"))
    return frame["Code"]


def pad_codes(parts: list[pl.DataFrame], whole: list[bool]) -> tuple[list[pl.DataFrame], str | None]:
    """Give codes that one file holds as whole numbers the zeros that another file writes before them.

    Args:
        parts: frames with Code.
        whole: which of them came as whole numbers.

    Returns:
        The frames, and what was done.
    """
    if len(set(whole)) < 2:
        return parts, None
    texts = [part["Code"] for part, number in zip(parts, whole, strict=True) if not number]
    known = pl.concat([text.unique() for text in texts]).drop_nulls()
    widths = known.str.len_chars().unique()
    if len(widths) != 1 or not known.str.contains(r"^\d+$").all() or not known.str.starts_with("0").any():
        return parts, None
    width = int(widths[0])
    padded = [
        part.with_columns(pl.col("Code").str.zfill(width)) if number else part
        for part, number in zip(parts, whole, strict=True)
    ]
    return padded, f"codes that are numbers in some files were given {width} digits, as in the other files"


def same_codes(codes: pl.Series) -> str | None:
    """Tell of codes that differ by case or marks alone, such as BRK-B and brk.b; each is a listing of its own."""
    known = codes.unique().drop_nulls().sort().rename("Code").to_frame()
    form = pl.col("Code").str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", ".")
    groups = known.group_by(form.alias("form"), maintain_order=True).agg("Code").filter(pl.col("Code").list.len() > 1)
    if groups.is_empty():
        return None
    count, such = groups["Code"].list.len().sum(), " and ".join(groups["Code"][0].head(2))
    return f"{count} codes differ from another by case or marks alone, such as {such}: each counts as a listing"


def code_keys(codes: pl.Series) -> pl.DataFrame:
    """Forms under which two codes may be the same listing, from strict to loose: Code, plain, bare."""
    plain = (
        codes.rename("Code")
        .to_frame()
        .with_columns(plain=pl.col("Code").str.to_lowercase().str.replace(r"^(\d+)\.0+$", "${1}"))
        .with_columns(plain=pl.col("plain").str.replace(r"^0+(\d+)$", "${1}").str.replace_all(r"[-/ ]", "."))
    )
    bare = [_bare(code) for code in plain["plain"]]
    return plain.with_columns(pl.Series("bare", bare, dtype=pl.String))


def _bare(code: str | None) -> str | None:
    """Leave the market out, and the fifth character of a J-Quants code."""
    if code is None:
        return None
    left = MARKET_BEFORE.sub("", MARKET_BEHIND.sub("", code))
    left = left[:4] if re.match(r"^\d[\da-z]{3}0$", left) else left
    return left.lstrip("0") or left if left.isdigit() else left

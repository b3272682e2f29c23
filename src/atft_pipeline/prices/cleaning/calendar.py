"""Which days are trading days, and whether the rows are daily bars at all."""

from pathlib import Path

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.prices.cleaning.copies import judge_copies
from atft_pipeline.prices.cleaning.rules import Touched, drop
from atft_pipeline.prices.reading.names import PRICE_COLUMNS

# A day is no session where fewer codes traded than this fraction of the median of so many sessions.
HOLIDAY_FRACTION = 0.2
HOLIDAY_WINDOW = 20
# Fraction of the days of all codes that may hold rows which contradict each other before the table is no daily table.
CONFLICTS = 0.2
# Rows of a code on a day from which they are bars of that day, not copies.
BARS = 3
# A calendar gap from which rows are further apart than any row of holidays, and how many such gaps in a row tell.
WEEK, WEEKS, MONTH, MONTHS = 5, 8, 20, 4
REGULAR = 0.8
# A market that trades on the holiday of the others: so many codes, and so much of its usual number.
MARKET_CODES, MARKET_SHARE = 2, 0.5


def check_daily(raw: pl.DataFrame, path: Path) -> list[str]:
    """Refuse intraday, weekly and monthly bars.

    Args:
        raw: Date, Code, prices and Volume in any order of rows.
        path: of the prices, for the message.

    Returns:
        A sentence on the codes whose rows are a week or more apart, where they are few.

    Raises:
        DataError: naming a code, the days and what to give instead.
    """
    frame = raw.filter(pl.col("Date").is_not_null() & pl.col("Code").is_not_null())
    frame = frame.sort("Code", "Date", maintain_order=True)
    _check_copies(frame, path)
    return _check_spacing(frame, path)


def _check_copies(frame: pl.DataFrame, path: Path) -> None:
    """Refuse a table in which codes usually have several rows a day that contradict each other."""
    judged = judge_copies(frame)
    if judged is None:
        return
    sizes = (pl.len().alias("rows"), pl.col("_differ", "_conflict").any())
    keys = judged.filter("_full").group_by("Code", "Date").agg(sizes).sort("Date", "Code")
    days = frame.group_by("Date").agg(pl.col("Code").n_unique().alias("codes"))
    every = int(days["codes"].sum())
    clash = pl.col("_conflict") & (pl.col("rows") >= BARS)
    busy = keys.filter(clash).group_by("Date").len("barred").join(days, on="Date")
    many = keys.filter(pl.col("_differ") | ((pl.col("rows") >= BARS) & _distinct(frame, keys)))
    if many.height < CONFLICTS * every and busy.filter(pl.col("barred") >= pl.col("codes") / 2).is_empty():
        return
    bars = many.filter(pl.col("rows") >= BARS)
    told, what = (
        (bars, "intraday bars") if bars.height >= many.height / 2 else (many, "several sources or parts of a day")
    )
    code, day, rows = told.select("Code", "Date", "rows").row(0)
    msg = (
        f"{path}: {code} has {rows} different rows on {day}, as have {many.height / every:.0%} of all codes and days; "
        f"these are {what}: give one row a code and day (first Open, highest High, lowest Low, last Close, all Volume)"
    )
    raise DataError(msg)


def _distinct(frame: pl.DataFrame, keys: pl.DataFrame) -> pl.Series:
    """Whether the rows of each key are mostly distinct, not the same row several times."""
    bar = pl.struct(*PRICE_COLUMNS, "Volume").n_unique().alias("distinct")
    found = frame.join(keys.select("Code", "Date"), on=["Code", "Date"]).group_by("Code", "Date").agg(bar)
    counted = keys.join(found, on=["Code", "Date"], how="left", maintain_order="left")
    return counted["distinct"] >= BARS


def _check_spacing(frame: pl.DataFrame, path: Path) -> list[str]:
    """Refuse rows that are a week or a month apart, throughout or over a longer stretch; name the codes where few."""
    same = pl.col("Code") == pl.col("Code").shift(1)
    gap = pl.when(same).then(pl.col("Date").diff().dt.total_days())
    gaps = frame.select("Code", "Date", gap.alias("gap")).filter(pl.col("gap") > 0)
    usual = gaps.group_by("Date").agg(pl.col("gap").median(), pl.col("gap").min().alias("least")).sort("Date")
    wide = usual.with_columns((pl.col("gap") >= WEEK).rle_id().alias("run")).filter(pl.col("gap") >= WEEK)
    runs = wide.group_by("run", maintain_order=True).agg(
        pl.len().alias("count"),
        pl.col("gap").median().alias("apart"),
        ((pl.col("gap") - pl.col("gap").median()).abs() <= 0.3 * pl.col("gap").median()).mean().alias("regular"),
        pl.col("Date").min().alias("first"),
        pl.col("Date").max().alias("last"),
    )
    long = (pl.col("count") >= WEEKS) | ((pl.col("apart") >= MONTH) & (pl.col("count") >= MONTHS))
    whole = (pl.col("count") == usual.height) & (pl.col("count") >= MONTHS - 1)
    found = runs.filter((long | whole) & (pl.col("regular") >= REGULAR))
    if not found.is_empty():
        _, count, apart, _, first, last = found.row(0)
        raise DataError(_apart(f"{path}: the rows of {count + 1} dates up to {last} (from {first})", apart))
    codes = gaps.group_by("Code").agg(
        pl.len().alias("count"),
        pl.col("gap").median().alias("apart"),
        ((pl.col("gap") >= WEEK) & ((pl.col("gap") - pl.col("gap").median()).abs() <= 2)).mean().alias("regular"),
    )
    sparse = codes.filter((pl.col("count") >= WEEKS) & (pl.col("apart") >= WEEK) & (pl.col("regular") >= REGULAR))
    if sparse.is_empty():
        return []
    code, _, apart, _ = sparse.sort("Code").row(0)
    if sparse.height >= CONFLICTS * codes.height:
        raise DataError(_apart(f"{path}: the rows of {sparse.height} of {codes.height} codes, such as {code},", apart))
    return [
        f"The rows of {sparse.height} of {codes.height} codes, such as {code}, are {apart:g} days apart: no daily bars."
    ]


def _apart(what: str, days: float) -> str:
    return f"{what} are {days:g} days apart: these are no daily bars; give one row a code and trading day"


def holiday_sessions(frame: pl.DataFrame, listings: pl.DataFrame | None = None) -> Touched:
    """Drop days on which hardly any code traded: fewer than a fifth of the median of the sessions up to that day.

    A code traded where it has a Close and a Volume above zero. A day without any trade is no session either, unless no
    volume at all was known up to it. The rows of a market that does trade on such a day (codes of one market of the
    listings, or of the same exchange suffix, prefix or form, half of which usually trade) stay.
    """
    traded = (pl.col("Close").is_not_null() & (pl.col("Volume") > 0)).sum().alias("traded")
    days = frame.group_by("Date").agg(traded, pl.col("Volume").count().alias("known")).sort("Date")
    usual = pl.col("traded").rolling_median(HOLIDAY_WINDOW, min_samples=1)
    empty = (pl.col("traded") < HOLIDAY_FRACTION * usual) | ((pl.col("traded") == 0) & (pl.col("known").cum_sum() > 0))
    ghosts = days.filter(empty)["Date"]
    if ghosts.is_empty():
        return Touched(frame, frame.select("Code", "Date").clear())
    ghost = pl.col("Date").is_in(ghosts.implode())
    markets = _markets(frame, listings)
    open_markets = _open_markets(frame, markets, ghosts)
    if open_markets.is_empty():
        touched = drop(frame, ghost)
    else:
        keys = frame.select("Code", "Date").join(markets, on="Code", how="left", maintain_order="left")
        keys = keys.join(open_markets, on=["Date", "_market"], how="left", maintain_order="left")
        touched = drop(frame.with_columns(keys["_open"].fill_null(value=False)), ghost & ~pl.col("_open"))
        touched = Touched(touched.frame.drop("_open"), touched.rows)
    return Touched(touched.frame, touched.rows, _told(frame, touched))


def _told(frame: pl.DataFrame, touched: Touched) -> str:
    """Say that rows which did trade were dropped."""
    lost = frame.filter((pl.col("Close") > 0) & (pl.col("Volume") > 0)).join(touched.rows, on=["Code", "Date"])
    if lost.is_empty():
        return ""
    codes = lost["Code"].unique().sort()
    return (
        f"{lost.height:,} rows of {len(codes):,} codes ({', '.join(codes.head(3))}) that traded on days on which "
        "hardly any other code did were dropped; if they are of another market, name it in the listings or "
        "by a suffix of its codes (7203.T), or add holiday_sessions to ingest.cleaning.skip."
    )


def _markets(frame: pl.DataFrame, listings: pl.DataFrame | None) -> pl.DataFrame:
    """Give Code and ``_market``: its market in the listings, and the form of the code.

    The form is the prefix (``sh.``, ``NYSE:``), the suffix (``.T``) and the number of digits.
    """
    codes = frame.select(pl.col("Code").unique())
    if listings is None:
        codes = codes.with_columns(pl.lit("").alias("market"))
    else:
        known = listings.select("Code", "market").unique("Code", keep="last", maintain_order=True)
        codes = codes.join(known, on="Code", how="left")
    code = pl.col("Code")
    prefix = code.str.extract(r"^([A-Za-z]{2,}[:_]|[a-z]{2}\.)").fill_null("")
    suffix = code.str.extract(r"(\.[A-Za-z]{1,4})$").fill_null("")
    digits = code.str.extract(r"^(?:[A-Za-z]+[.:_])?(\d+)(?:\.[A-Za-z]+)?$").str.len_chars().cast(pl.String)
    name = pl.concat_str([pl.col("market").fill_null(""), prefix, suffix, digits.fill_null("")], separator="|")
    return codes.select("Code", name.alias("_market"))


def _open_markets(frame: pl.DataFrame, markets: pl.DataFrame, ghosts: pl.Series) -> pl.DataFrame:
    """Give Date and market of the markets that trade as usual on days that are no session of the others."""
    named = frame.select("Code", "Date", (pl.col("Close").is_not_null() & (pl.col("Volume") > 0)).alias("on"))
    days = (
        named.filter("on")
        .join(markets, on="Code")
        .group_by("_market", "Date")
        .len("traded")
        .sort("_market", "Date")
        .with_columns(pl.col("traded").rolling_median(HOLIDAY_WINDOW, min_samples=1).over("_market").alias("usual"))
    )
    trades = (pl.col("traded") >= MARKET_CODES) & (pl.col("traded") >= MARKET_SHARE * pl.col("usual"))
    open_days = days.filter(pl.col("Date").is_in(ghosts.implode()) & trades)
    return open_days.select("Date", "_market", pl.lit(value=True).alias("_open"))

"""What a reader must know about the prices before trusting anything built on them, as plain JSON types."""

import math
from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.config import to_mapping
from atft_pipeline.market.cleaning import Cleaned
from atft_pipeline.market.tails import SIZES, one_day_returns, tail_counts

REASONS = {
    "_unpriced": "no close",
    "_young": "history too short",
    "_cheap": "price too low",
    "_thin": "dollar volume too low",
    "_fund": "moves like a fund",
}
LONG_WEEKEND = 4
THIN_SHARE = 0.8
SHOWN = 200


def quality_report(
    raw: pl.DataFrame, cleaned: Cleaned, marked: pl.DataFrame, source: Path, settings: Any
) -> dict[str, Any]:
    """Summarise the input, the work of the rules and the clean rows.

    Args:
        raw: the rows as they were read.
        cleaned: what the rules did.
        marked: clean rows with InUniverse and its reasons, sorted by Listing and Date.
        source: where the raw prices lie.
        settings: parameters of the stage.

    Returns:
        Plain JSON types without NaN.
    """
    sessions = marked.group_by("Date").agg(pl.len().alias("rows"), pl.col("InUniverse").sum()).sort("Date")
    report = {
        "source": str(source),
        "input": _extent(raw, "Code"),
        "output": {
            **_extent(marked, "Code"),
            "listings": marked["Listing"].n_unique(),
            "sessions": sessions.height,
            "universe_rows": int(marked["InUniverse"].sum()),
            "universe_listings": marked.filter("InUniverse")["Listing"].n_unique(),
        },
        "rules": [rule.as_json() for rule in cleaned.rules],
        "years": _years(raw, marked),
        "coverage": _coverage(marked, sessions),
        "exclusions": _exclusions(marked),
        "returns": _returns(cleaned, marked),
        "calendar": _calendar(sessions),
        "settings": to_mapping(settings),
    }
    return {**plain(report), "remarks": _remarks(report)}


def plain(value: Any) -> Any:
    """Turn dates into ISO strings and numbers that are not finite into ``None``, all the way down."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _extent(frame: pl.DataFrame, key: str) -> dict[str, Any]:
    """Give rows, codes, first and last date."""
    return {
        "rows": frame.height,
        "codes": frame[key].drop_nulls().n_unique(),
        "first": frame["Date"].min(),
        "last": frame["Date"].max(),
    }


def _years(raw: pl.DataFrame, marked: pl.DataFrame) -> list[dict[str, Any]]:
    """Give rows and codes a year, before and after."""
    year = pl.col("Date").dt.year().alias("year")
    before = raw.drop_nulls("Date").group_by(year).agg(raw_rows=pl.len(), raw_codes=pl.col("Code").n_unique())
    after = marked.group_by(year).agg(
        rows=pl.len(),
        codes=pl.col("Code").n_unique(),
        sessions=pl.col("Date").n_unique(),
        universe_rows=pl.col("InUniverse").sum(),
    )
    return before.join(after, on="year", how="left").fill_null(0).sort("year").to_dicts()


def _coverage(marked: pl.DataFrame, sessions: pl.DataFrame) -> dict[str, Any]:
    """Give listings a month, the share of sessions that a listing has in its life, and nulls a column."""
    months = (
        sessions.group_by(pl.col("Date").dt.strftime("%Y-%m").alias("month"))
        .agg(listed=pl.col("rows").mean(), universe=pl.col("InUniverse").mean(), sessions=pl.len())
        .sort("month")
    )
    days = sessions.select("Date").with_row_index("session")
    lives = (
        marked.group_by("Listing")
        .agg(pl.len().alias("rows"), pl.col("Date").min().alias("first"), pl.col("Date").max().alias("last"))
        .join(days.rename({"Date": "first", "session": "begin"}), on="first")
        .join(days.rename({"Date": "last", "session": "end"}), on="last")
        .with_columns(life=pl.col("end").cast(pl.Int64) - pl.col("begin").cast(pl.Int64) + 1)
        .with_columns(share=pl.col("rows") / pl.col("life"))
    )
    bins = lives.group_by((pl.col("share") * 20).floor().clip(0, 20).cast(pl.Int64).alias("bin")).len()
    counts = dict(bins.iter_rows())
    worst = lives.filter(pl.col("life") >= 60).sort("share", "Listing").head(10)
    columns = [name for name, dtype in marked.schema.items() if dtype.is_numeric() and not name.startswith("_")]
    return {
        "months": months.to_dicts(),
        "share_bins": [{"from": step / 20, "listings": counts.get(step, 0)} for step in range(21)],
        "sparsest": worst.select("Listing", "rows", "life", "share").to_dicts(),
        "null_share": {name: marked[name].null_count() / max(marked.height, 1) for name in columns},
    }


def _exclusions(marked: pl.DataFrame) -> list[dict[str, Any]]:
    """Give the rows that each reason keeps out of the universe, a year; a row may have several reasons."""
    year = pl.col("Date").dt.year().alias("year")
    table = marked.group_by(year).agg(pl.len().alias("rows"), *(pl.col(name).sum() for name in REASONS)).sort("year")
    return table.rename(REASONS).to_dicts()


def _returns(cleaned: Cleaned, marked: pl.DataFrame) -> dict[str, Any]:
    """Give the tails of one-day returns, and the largest ones left in the universe."""
    moves = marked.select("Listing", "Date", "InUniverse", one_day_returns("Listing").alias("move"))
    held = moves.filter(pl.col("InUniverse") & pl.col("move").is_not_null())
    extreme = held.sort((1 + pl.col("move")).log().abs(), descending=True).head(15)
    quantiles = (0.0001, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 0.9999)
    return {
        "sizes": list(SIZES),
        "raw": cleaned.raw_tails,
        "clean": tail_counts(moves["move"]),
        "universe": tail_counts(held["move"]),
        "universe_quantiles": [{"q": q, "return": held["move"].quantile(q)} for q in quantiles],
        "largest_in_universe": extreme.select("Listing", "Date", "move").to_dicts(),
    }


def _calendar(sessions: pl.DataFrame) -> dict[str, Any]:
    """Find gaps between sessions, sessions at weekends, and sessions that miss a part of the market."""
    dated = sessions.with_columns(
        days=pl.col("Date").diff().dt.total_days(),
        before=pl.col("Date").shift(1),
        usual=pl.col("rows").rolling_median(20, min_samples=5).shift(1),
        weekday=pl.col("Date").dt.weekday(),
    )
    holes = dated.filter(pl.col("days") > LONG_WEEKEND).select("before", pl.col("Date").alias("after"), "days")
    thin = dated.filter(pl.col("rows") < THIN_SHARE * pl.col("usual")).select("Date", "rows", "usual")
    weekdays = dict(dated.group_by("weekday").len().iter_rows())
    return {
        "holes": holes.head(SHOWN).to_dicts(),
        "hole_count": holes.height,
        "thin_sessions": thin.head(SHOWN).to_dicts(),
        "thin_count": thin.height,
        "gaps": dated.drop_nulls("days").group_by("days").len().sort("days").to_dicts(),
        "weekdays": [weekdays.get(day, 0) for day in range(1, 8)],
        "sessions": {"date": sessions["Date"].to_list(), "rows": sessions["rows"].to_list()},
    }


def _remarks(report: dict[str, Any]) -> list[str]:
    """Say in words what deserves a look."""
    remarks = []
    output, rows = report["output"], max(report["input"]["rows"], 1)
    share = output["universe_rows"] / max(output["rows"], 1)
    if share < 0.2:
        remarks.append(f"Only {share:.1%} of the clean rows are in the universe; see what keeps the others out.")
    remarks += [
        f"Rule {rule['rule']} touched {rule['rows'] / rows:.1%} of the rows; look at its examples."
        for rule in report["rules"]
        if rule["rows"] > 0.05 * rows
    ]
    remarks += [
        f"Rule {rule['rule']} is on and needs later days: the clean rows are not causal."
        for rule in report["rules"]
        if rule["enabled"] and not rule["causal"]
    ]
    for name, empty in report["coverage"]["null_share"].items():
        if empty > 0.05:
            remarks.append(f"{name} is unknown in {empty:.1%} of the clean rows.")
    calendar = report["calendar"]
    if calendar["hole_count"]:
        remarks.append(f"The calendar has {calendar['hole_count']} gaps longer than {LONG_WEEKEND} days.")
    if calendar["thin_count"]:
        remarks.append(f"{calendar['thin_count']} sessions have less than {THIN_SHARE:.0%} of the usual rows.")
    if sum(calendar["weekdays"][5:]):
        remarks.append(f"{sum(calendar['weekdays'][5:])} sessions fall on a weekend.")
    return remarks

"""What a reader must know about the prices before trusting anything built on them, as plain JSON types."""

import math
from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.config import to_mapping
from atft_pipeline.prices.cleaning.clean import Cleaned
from atft_pipeline.prices.reading.record import counted
from atft_pipeline.prices.tails import SIZES, one_day_returns, tail_counts
from atft_pipeline.prices.universe import DOLLAR_VOLUME_WINDOW, REASONS

LONG_WEEKEND = 4
THIN_SHARE = 0.8
SHOWN = 200
FEW = 20
LARGE = 4.0
EXTREMES = 15


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
            "usual_listings": sessions.filter(pl.col("InUniverse") > 0)["InUniverse"].median() or 0.0,
            "last_listings": int(sessions["InUniverse"].tail(1).sum()),
        },
        "seen": _seen(marked),
        "rules": [rule.as_json() for rule in cleaned.rules],
        "years": _years(raw, marked),
        "coverage": _coverage(marked, sessions),
        "exclusions": _exclusions(marked),
        "excluded": _excluded(marked),
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


def _seen(marked: pl.DataFrame) -> dict[str, float | None]:
    """Give what the limits of the universe are compared with, at its best."""
    close, volume = pl.col("Close"), pl.col("Volume")
    turnover = (close * volume).rolling_median(DOLLAR_VOLUME_WINDOW, min_samples=1).over("Listing")
    price = "UnadjustedClose" if "UnadjustedClose" in marked.columns else "Close"
    return marked.select(
        price=pl.coalesce(price, "Close").max(),
        turnover=turnover.max(),
        history=close.is_not_null().sum().over("Listing").max().cast(pl.Float64),
        priced=close.is_not_null().mean(),
        traded=(~pl.col("_idle")).mean(),
        volumes=(volume > 0).fill_null(value=False).mean(),
        moves=(one_day_returns("Listing") != 0).mean(),
    ).row(0, named=True)


def _years(raw: pl.DataFrame, marked: pl.DataFrame) -> list[dict[str, Any]]:
    """Give rows and codes a year, before and after."""
    year = pl.col("Date").dt.year().alias("year")
    before = raw.drop_nulls("Date").group_by(year).agg(raw_rows=pl.len(), raw_codes=pl.col("Code").n_unique())
    after = marked.group_by(year).agg(
        rows=pl.len(),
        codes=pl.col("Code").n_unique(),
        sessions=pl.col("Date").n_unique(),
        universe_rows=pl.col("InUniverse").sum(),
        universe_codes=pl.col("Code").filter("InUniverse").n_unique(),
    )
    return before.join(after, on="year", how="left").fill_null(0).sort("year").to_dicts()


def _coverage(marked: pl.DataFrame, sessions: pl.DataFrame) -> dict[str, Any]:
    """Give listings a month, the fraction of sessions on which a listing is present in its life, and nulls a column."""
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
        .with_columns(present=pl.col("rows") / pl.col("life"))
    )
    bins = lives.group_by((pl.col("present") * 20).floor().clip(0, 20).cast(pl.Int64).alias("bin")).len()
    counts = dict(bins.iter_rows())
    worst = lives.filter(pl.col("life") >= 60).sort("present", "Listing").head(10)
    columns = [name for name, dtype in marked.schema.items() if dtype.is_numeric() and not name.startswith("_")]
    return {
        "months": months.to_dicts(),
        "presence_bins": [{"from": step / 20, "listings": counts.get(step, 0)} for step in range(21)],
        "sparsest": worst.select("Listing", "rows", "life", "present").to_dicts(),
        "null_fraction": {name: marked[name].null_count() / max(marked.height, 1) for name in columns},
    }


def _exclusions(marked: pl.DataFrame) -> list[dict[str, Any]]:
    """Give the rows that each reason keeps out of the universe, a year; a row may have several reasons."""
    year = pl.col("Date").dt.year().alias("year")
    table = marked.group_by(year).agg(pl.len().alias("rows"), *(pl.col(name).sum() for name in REASONS)).sort("year")
    return table.rename(REASONS).to_dicts()


def _excluded(marked: pl.DataFrame) -> list[dict[str, Any]]:
    """Give rows, rows without another reason, codes and the most traded codes of each reason, the largest first."""
    reasons = marked.select(
        "Code", *REASONS, count=pl.sum_horizontal(*REASONS), traded=pl.col("Close") * pl.col("Volume")
    )
    found = []
    for name, reason in REASONS.items():
        rows = reasons.filter(name)
        codes = rows.group_by("Code").agg(pl.col("traded").sum()).sort(-pl.col("traded"), "Code")["Code"]
        alone = int((rows["count"] == 1).sum())
        told = {"reason": reason, "rows": rows.height, "alone": alone, "codes": len(codes)}
        found.append({**told, "examples": codes.head(3).to_list()})
    return sorted(found, key=lambda one: -one["rows"])


def _returns(cleaned: Cleaned, marked: pl.DataFrame) -> dict[str, Any]:
    """Give the tails of one-day returns, and the largest ones left in the universe."""
    moves = marked.select("Listing", "Date", "InUniverse", one_day_returns("Listing").alias("move"))
    held = moves.filter(pl.col("InUniverse") & pl.col("move").is_not_null())
    extreme = held.sort((1 + pl.col("move")).log().abs(), descending=True).head(EXTREMES)
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
    sparse = dated.filter(pl.col("rows") < THIN_SHARE * pl.col("usual")).select("Date", "rows", "usual")
    weekdays = dict(dated.group_by("weekday").len().iter_rows())
    return {
        "holes": holes.head(SHOWN).to_dicts(),
        "hole_count": holes.height,
        "sparse_sessions": sparse.head(SHOWN).to_dicts(),
        "thin_count": sparse.height,
        "last": dated.tail(1).select("rows", "usual").to_dicts(),
        "gaps": dated.drop_nulls("days").group_by("days").len().sort("days").to_dicts(),
        "weekdays": [weekdays.get(day, 0) for day in range(1, 8)],
        "sessions": {"date": sessions["Date"].to_list(), "rows": sessions["rows"].to_list()},
    }


def _at_least(large: list[Any]) -> str:
    """Say how many moves, of a list that is cut off."""
    return f"{len(large)} or more moves" if len(large) == EXTREMES else counted(len(large), "move", "moves")


def _remarks(report: dict[str, Any]) -> list[str]:
    """Say in words what deserves a look."""
    remarks = []
    output, rows = report["output"], max(report["input"]["rows"], 1)
    remarks += [rule["note"] for rule in report["rules"] if rule["note"]]
    fraction = output["universe_rows"] / max(output["rows"], 1)
    if fraction < 0.2:
        remarks.append(f"Only {fraction:.1%} of the clean rows are in the universe; see what keeps the others out.")
    if output["universe_rows"] and output["usual_listings"] < FEW:
        remarks.append(
            f"A usual session has {output['usual_listings']:.0f} listings in the universe: training leaves out days "
            "with fewer than batches.min_listings (10 unless set), evaluation days with fewer than "
            f"evaluation.min_listings ({FEW} unless set); give prices of more listings."
        )
    if output["universe_rows"] and not output["last_listings"]:
        remarks.append(f"No listing is in the universe on {output['last']}, the last session.")
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
    for name, empty in report["coverage"]["null_fraction"].items():
        if empty > 0.05:
            remarks.append(f"{name} is unknown in {empty:.1%} of the clean rows.")
    large = [found for found in report["returns"]["largest_in_universe"] if not 1 / LARGE < 1 + found["move"] < LARGE]
    if large:
        told = ", ".join(f"{found['Listing']} on {found['Date']} ({found['move']:+.0%})" for found in large[:3])
        remarks.append(f"The universe keeps {_at_least(large)} by a factor of {LARGE:g} on large volume: {told}.")
    calendar = report["calendar"]
    if calendar["hole_count"]:
        holes = counted(calendar["hole_count"], "gap", "gaps")
        remarks.append(f"The calendar has {holes} longer than {LONG_WEEKEND} days.")
    for last in calendar["last"]:
        if last["usual"] is not None and last["rows"] < report["settings"]["min_delivered"] * last["usual"]:
            remarks.append(
                f"{output['last']}, the last session, has {last['rows']:,} rows, usually there are "
                f"{last['usual']:,.0f}: its prices look unfinished; ingest again when they are complete."
            )
    if calendar["thin_count"]:
        thin = counted(calendar["thin_count"], "session has", "sessions have")
        remarks.append(f"{thin} less than {THIN_SHARE:.0%} of the usual rows.")
    if sum(calendar["weekdays"][5:]):
        remarks.append(f"{counted(sum(calendar['weekdays'][5:]), 'session falls', 'sessions fall')} on a weekend.")
    return remarks

"""What must have been known when it was used: days of training, sectors, features that rank like their own label."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.stats import rankdata

from atft_pipeline.audit.finding import Finding
from atft_pipeline.audit.stored import Stored
from atft_pipeline.lineage import hash_json
from atft_pipeline.prices.listings import match_listings, read_dated_listings
from atft_pipeline.prices.reading.config import PricesConfig

Days = npt.NDArray[np.int64]
# Mean daily RankIC of one feature, over a tenth of the days, that no market gives.
BELIEF = 0.5
TENTHS = 10
LEAST_LISTINGS = 10
LEAST_DAYS = 3
# Labels that overlap are one observation: a month's move of the market ranks by beta. A tenth must hold some of them.
LEAST_PERIODS = 5
ERRORS = 5.5


def check_parts(stored: Stored) -> Iterator[Finding]:
    """Measure the sessions between the parts of a training, as the model's card names them.

    Args:
        stored: panel and card; nothing is found without a card that names its days.
    """
    origin = origin_of(stored.card)
    if origin is None:
        return
    meta = stored.panel.meta
    span = max(meta.horizons) + (1 if meta.label == "open_to_open" else 0)
    parts = {
        name: _sessions(stored, origin.get(name, ()))
        for name in ("train", "validation", "test", "read_train", "read_validation")
    }
    need = span + int(origin.get("embargo", 0))
    for first, second in (
        ("train", "validation"),
        ("train", "test"),
        ("validation", "test"),
        ("read_train", "read_validation"),
        ("read_train", "test"),
        ("read_validation", "test"),
    ):
        near = _distance(parts[first], parts[second]) <= need
        where = ""
        if near.any():
            day = int(parts[first][np.argmax(near)])
            apart = int(_distance(parts[first], parts[second]).min())
            where = f"{stored.panel.dates[day]}: {apart} sessions apart at least, need more than {need}"
        size = len(parts[first]) + len(parts[second])
        yield Finding("parts", f"{first} to {second}", "all", size, int(near.sum()), where, not near.any())
    for name in ("train", "validation"):
        beyond = np.setdiff1d(parts[f"read_{name}"], parts[name])
        where = f"{stored.panel.dates[beyond[0]]}" if beyond.size else ""
        size = len(parts[f"read_{name}"])
        yield Finding("parts", f"{name} reads its own days", "all", size, int(beyond.size), where, not beyond.size)


def origin_of(card: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The days that a card names, ``None`` where it names none."""
    found = None if card is None else card.get("origin")
    return found if isinstance(found, Mapping) else None


def _sessions(stored: Stored, spans: Any) -> Days:
    """Day indices of spans (first and last date of sessions that follow one another)."""
    dates = stored.panel.dates
    ranges = [
        np.arange(
            np.searchsorted(dates, np.datetime64(first)), np.searchsorted(dates, np.datetime64(last), side="right")
        )
        for first, last in spans
    ]
    return np.concatenate(ranges).astype(np.int64) if ranges else np.empty(0, dtype=np.int64)


def _distance(days: Days, others: Days) -> Days:
    """Sessions from each day to the nearest other one."""
    if not days.size or not others.size:
        return np.full(len(days), np.iinfo(np.int64).max)
    ordered = np.sort(others)
    place = np.searchsorted(ordered, days)
    after, before = ordered[np.minimum(place, len(ordered) - 1)], ordered[np.maximum(place - 1, 0)]
    nearest: Days = np.minimum(np.abs(after - days), np.abs(days - before))
    return nearest


def check_listings(path: Path, stored: Stored, prices: PricesConfig) -> tuple[list[Finding], dict[str, str]]:
    """Compare the sectors and markets in use with the days from which the listings table knows them.

    Args:
        path: the listings table.
        stored: its listings and clean prices.
        prices: form of the codes.

    Returns:
        Findings, none where the table is not dated; the hash of the rows known by each date, ``undated`` for one
        without dates.
    """
    table = read_dated_listings(path, prices).sort("Known", "Code", nulls_last=True)
    if table["Known"].null_count() == table.height:
        return [], {"undated": hash_json(table.drop("Known").rows())}
    days = table["Known"].drop_nulls().unique().sort().to_list()
    hashes = {str(day): hash_json(table.filter(pl.col("Known") <= day).drop("Known").rows()) for day in days}
    rows = table.select("Code").unique().with_columns(row=pl.col("Code"))
    rows = rows.with_columns(sector=pl.lit("known"), market=pl.lit("known"))
    named = match_listings(rows, stored.clean["Code"])[0].select("row", "Code")
    table = table.rename({"Code": "row"}).join(named, on="row", how="left")
    return [_known_in_time(name, table, stored) for name in ("sector", "market")], hashes


def _known_in_time(name: str, table: pl.DataFrame, stored: Stored) -> Finding:
    """A value in use must be dated no later than the first day of its code."""
    used = stored.listings.select("Code", name).drop_nulls().unique()
    first = stored.clean.group_by("Code").agg(first=pl.col("Date").min())
    since = table.select("Code", name, "Known").drop_nulls().group_by("Code", name).agg(pl.col("Known").min())
    rows = used.join(first, on="Code").join(since, on=["Code", name], how="left").sort("Code")
    late = rows.filter(pl.col("Known").is_null() | (pl.col("Known") > pl.col("first")))
    where = ""
    if late.height:
        row = late.row(0, named=True)
        where = f"{row['Code']}: {row[name]} is known from {row['Known']}, used from {row['first']}"
    return Finding("listings", name, "all", rows.height, late.height, where, not late.height)


def check_belief(stored: Stored, count: int) -> Iterator[Finding]:
    """No feature of the panel ranks a return, over any tenth of the days, as only the return itself would.

    Args:
        stored: the panel.
        count: days of each tenth that are looked at, evenly spread.
    """
    panel = stored.panel
    names, horizons = panel.meta.feature_names, panel.meta.horizons
    edges = np.linspace(0, len(panel.dates), TENTHS + 1).astype(int)
    for low, high in pairwise(edges.tolist()):
        days: list[int] = np.unique(np.linspace(low, high - 1, min(count, high - low)).astype(int)).tolist()
        daily = [found for found in (_rank_ics(stored, day) for day in days) if found is not None]
        if len(daily) < LEAST_DAYS:
            continue
        stacked = np.stack(daily)
        seen = np.isfinite(stacked).sum(axis=0)
        periods = np.minimum((high - low) / np.array(horizons), len(daily))
        listings = float(np.median([panel.day(day).universe.sum() for day in days]))
        limit = np.maximum(BELIEF, ERRORS / np.sqrt(max(listings - 1, 1) * periods))
        judged = (seen >= LEAST_DAYS) & (periods >= LEAST_PERIODS)
        mean = np.where(judged, np.nansum(stacked, axis=0) / np.maximum(seen, 1), 0.0)
        wrong = np.abs(mean) > limit
        where = ""
        if wrong.any():
            feature, horizon = np.unravel_index(int((np.abs(mean) - limit).argmax()), mean.shape)
            where = f"{names[feature]} has RankIC {mean[feature, horizon]:+.2f} with return_{horizons[horizon]}"
        item = f"{panel.dates[low]} to {panel.dates[high - 1]}"
        yield Finding("belief", item, "all", int(seen[judged].sum()), int(wrong.sum()), where, not wrong.any())


def _rank_ics(stored: Stored, day: int) -> npt.NDArray[np.float64] | None:
    """RankIC [F, Q] of one day over the universe; ``None`` where it holds too few listings."""
    view = stored.panel.day(day)
    rows = view.universe
    if rows.sum() < LEAST_LISTINGS:
        return None
    features = rankdata(view.features[rows].astype(np.float32), axis=0)
    out = np.full((features.shape[1], view.returns.shape[1]), np.nan)
    for place in range(view.returns.shape[1]):
        known = np.isfinite(view.returns[rows, place])
        if known.sum() < LEAST_LISTINGS:
            continue
        left = features[known] - features[known].mean(axis=0)
        right = rankdata(view.returns[rows, place][known])
        right = right - right.mean()
        scale = np.sqrt((left**2).sum(axis=0) * (right**2).sum())
        out[:, place] = np.where(scale > 0, left.T @ right / np.maximum(scale, 1e-12), np.nan)
    return out

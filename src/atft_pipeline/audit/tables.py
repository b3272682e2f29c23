"""The stored features under another future, and the panel against the features."""

import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from scipy.special import ndtr

from atft_pipeline.audit.chain import Steps
from atft_pipeline.audit.finding import PANEL_ITEMS, Finding, Tally
from atft_pipeline.audit.scramble import scramble_future
from atft_pipeline.audit.stored import Stored
from atft_pipeline.features.extras import HISTORY, SCALE_WINDOW
from atft_pipeline.progress import track

# Days up to each drawn one that are compared.
DAYS = 3
# Sessions before a drawn day from which its values are rebuilt bit for bit: those of a listing, scaled by the market's.
MEMORY = HISTORY + SCALE_WINDOW + DAYS
KEYS = ["Date", "Listing"]


def check_features(stored: Stored, steps: Steps, places: list[int], after: int, seed: int) -> Iterator[Finding]:
    """Rebuild the newest days before each drawn one with another future, for every listing, and compare the bits.

    Args:
        stored: clean prices and the feature table made from them.
        steps: the chain.
        places: drawn days, as indices of the panel's days.
        after: sessions after each, whose contents are replaced.
        seed: of the other future.
    """
    for place in track(places, "audit features"):
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            yield from _check_day(stored, steps, place, after, seed, Path(folder) / "features")


def _check_day(stored: Stored, steps: Steps, place: int, after: int, seed: int, folder: Path) -> Iterator[Finding]:
    dates = stored.panel.index.dates
    start, first = max(0, place - MEMORY), max(0, place - DAYS + 1)
    ends = [dt.date.fromisoformat(dates[one]) for one in (start, first, place, min(place + after, len(dates) - 1))]
    window = stored.clean.filter(pl.col("Date").is_between(ends[0], ends[3]))
    steps.features(scramble_future(window, ends[2], seed), stored.listings, folder, ends[1])
    compared = pl.col("Date").is_between(ends[1], ends[2])
    other = _read(folder, ends[1], ends[2])
    true = _read(stored.features, ends[1], ends[2])
    shift = 0.0
    if start:
        whole = _with_history(stored.clean, window, ends[0], ends[1])
        shift = _shift(true, whole)
        true, other = (table.join(whole, on="Listing", how="semi") for table in (true, other))
    other, true = (table.filter(compared).sort(KEYS) for table in (other, true))
    date = dates[place]
    if not true.select(KEYS).equals(other.select(KEYS)):
        lost = pl.concat(
            [true.join(other, on=KEYS, how="anti").select(KEYS), other.join(true, on=KEYS, how="anti").select(KEYS)]
        )
        where = "{} {}".format(*lost.sort(KEYS).row(0))
        yield Finding("stored features", "rows", date, true.height, lost.height, where, passed=False)
        return
    labels = {f"{kind}_{h}" for kind in ("return", "target") for h in stored.labels.horizons}
    for name in true.columns:
        if name in labels or name in KEYS:
            continue
        if name not in other.columns:
            yield Finding("stored features", name, date, true.height, true.height, "cannot be rebuilt", passed=False)
            continue
        wrong = ~true[name].eq_missing(other[name])
        if shift and wrong.any():
            wrong &= (_share(true[name], stored) - _share(other[name], stored)).abs() > shift
        where = "{} {}".format(*true.filter(wrong).select(KEYS).row(0)) if wrong.any() else ""
        yield Finding("stored features", name, date, true.height, int(wrong.sum()), where, not wrong.any())


def _shift(rows: pl.DataFrame, whole: pl.DataFrame) -> float:
    """How far the listings whose own history is cut can move the ranks of the others, as a share of a day."""
    cut = ~pl.col("Listing").is_in(whole["Listing"].implode())
    days = rows.group_by("Date").agg(cut=cut.sum(), kept=(pl.col("InUniverse") & ~cut).sum())
    moved = days.filter(pl.col("cut") > 0)
    return float(moved.select(((pl.col("cut") + 1) / pl.col("kept").clip(1)).max()).item() or 0.0)


def _share(values: pl.Series, stored: Stored) -> pl.Series:
    """Normalised values as shares of the listings below them; values that are not normalised stay."""
    if stored.labels.normalisation == "none" or not values.dtype.is_float():
        return values.cast(pl.Float64)
    return pl.Series(ndtr(values.cast(pl.Float64).to_numpy()))


def _read(folder: Path, first: dt.date, last: dt.date) -> pl.DataFrame:
    months = [path for path in sorted(folder.glob("*.parquet")) if f"{first:%Y-%m}" <= path.stem <= f"{last:%Y-%m}"]
    return pl.concat(
        [pl.scan_parquet(month).filter(pl.col("Date").is_between(first, last)).collect() for month in months]
    )


def _with_history(clean: pl.DataFrame, window: pl.DataFrame, start: dt.date, first: dt.date) -> pl.DataFrame:
    """Listings whose features reach no further back than the window."""
    rows = window.filter(pl.col("Date") < first).group_by("Listing").len().filter(pl.col("len") >= HISTORY)
    born = clean.group_by("Listing").agg(pl.col("Date").min()).filter(pl.col("Date") >= start)
    return pl.concat([rows.select("Listing"), born.select("Listing")]).unique()


def check_panel(stored: Stored, places: list[int]) -> Iterator[Finding]:
    """Compare the panel's rows of drawn days with those of the feature table, by the names of the listings."""
    panel = stored.panel
    names = panel.meta.feature_names
    tally = Tally(*PANEL_ITEMS)
    for place in places:
        day = panel.day(place)
        date = dt.date.fromisoformat(panel.index.dates[place])
        table = _read(stored.features, date, date)
        listing = [panel.listings[row] for row in day.listing]
        position = {name: row for row, name in enumerate(table["Listing"].to_list())}
        rows = np.array([position.get(name, -1) for name in listing])
        wrong = {"listings": len(listing) != table.height or bool((rows < 0).any())}
        table = table[np.maximum(rows, 0)]
        features = table.select(names).to_numpy().astype(day.features.dtype)
        same = (features == day.features) | (np.isnan(features) & np.isnan(day.features))
        labels = np.stack(
            [
                table[f"{kind}_{h}"].cast(pl.Float32).fill_null(np.nan).to_numpy()
                for kind in ("target", "return")
                for h in panel.meta.horizons
            ],
            axis=1,
        )
        given = np.concatenate([day.targets, day.returns], axis=1)
        found = {
            "listings": int(wrong["listings"]),
            "features": int((~same).sum()),
            "universe": int((table["InUniverse"].to_numpy() != day.universe).sum()),
            "labels": int((~((labels == given) | (np.isnan(labels) & np.isnan(given)))).sum()),
        }
        sizes = {"listings": len(listing), "features": same.size, "universe": len(listing), "labels": given.size}
        for item, count in found.items():
            tally.add(item, sizes[item], count, str(date))
    yield from tally.findings("stored panel", "all")

"""The daily update of a feature table: what stays is linked, what new days change is built."""

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from atft_pipeline.errors import ArtifactError, DataError
from atft_pipeline.features.build import build_features, features_fingerprint
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.features.labels import label_rows
from atft_pipeline.features.manifest import MANIFEST, month_files, read_manifest, write_manifest

# Sessions whose number of traded listings is the usual one.
USUAL = 20


def update_features(
    previous: Path, clean: pl.DataFrame, listings: pl.DataFrame | None, config: FeaturesConfig, out_dir: Path
) -> date:
    """Continue a feature table with the days after its last; the folder is bit-equal to a full build.

    Months whose rows stay are linked (copied where the file system has no links); from the month on in which labels are
    completed by the new days, all is built.

    Args:
        previous: the earlier table, built with the same parameters from the same prices up to its last day.
        clean: as of :func:`build_features`, with later days.
        listings: likewise.
        config: likewise.
        out_dir: folder to fill; made where it does not exist.

    Returns:
        First day that was built; the last day of the earlier table where there is no later one, and all is linked.

    Raises:
        ArtifactError: the earlier table was built from other prices, sectors or parameters.
    """
    earlier = read_manifest(previous)
    files = month_files(previous, earlier)
    last = last_day(previous)
    if history_fingerprint(clean, listings, config, last) != earlier.fingerprint:
        msg = f"{changed_history(previous, last)}; rebuild with: kedro run --pipeline=data"
        raise ArtifactError(msg)
    first = clean.filter(pl.col("Date") > last)["Date"].min()
    if first is None:
        out_dir.mkdir(parents=True, exist_ok=True)
        for path in (*files, previous / MANIFEST):
            link(path, out_dir / path.name)
        return last
    assert isinstance(first, date)
    # A month is one file: where one of its days changes, the whole month is built.
    start = update_start(clean, first, config).replace(day=1)
    built = build_features(clean, listings, config, out_dir, since=start)
    kept = [path for path in files if path.stem < f"{start:%Y-%m}"]
    for path in kept:
        link(path, out_dir / path.name)
    whole = replace(
        built,
        months=(*(path.stem for path in kept), *built.months),
        rows=clean.height,
        fingerprint=features_fingerprint(clean, listings, config),
    )
    write_manifest(whole, out_dir)
    return start


def history_fingerprint(clean: pl.DataFrame, listings: pl.DataFrame | None, config: FeaturesConfig, last: date) -> str:
    """Fingerprint that the features of these prices up to a day would have.

    Raises:
        DataError: there is no row up to that day.
    """
    before = clean.filter(pl.col("Date") <= last)
    known = None if listings is None else listings.filter(pl.col("Listing").is_in(before["Listing"].unique().implode()))
    return features_fingerprint(before, known, config)


def changed_history(built: Path, last: date) -> str:
    """Say that an artifact was built from another history."""
    return (
        f"up to {last} the prices, sectors, parameters or formulas are not those that {built} was built from (a day "
        "that was delivered in full later changes it, and so does a source that adjusts the past after a split)"
    )


def check_delivered(clean: pl.DataFrame, min_delivered: float, prices: Path) -> None:
    """Refuse prices whose last day has not arrived in full.

    Args:
        clean: clean prices.
        min_delivered: least fraction of the usual number of traded listings (median of the sessions before) on the
            last day.
        prices: where they were read, for the message.

    Raises:
        DataError: with the day, its listings, the usual number and the parameter that lets it pass.
    """
    traded = pl.col("Listing").is_not_null()
    if {"Close", "Volume"} <= set(clean.columns):
        traded = pl.col("Close").is_not_null() & (pl.col("Volume") > 0).fill_null(value=True)
    days = clean.group_by("Date").agg(traded.sum().alias("traded")).sort("Date")
    usual = days[-USUAL - 1 : -1]["traded"].median()
    day, found = days.row(-1)
    if not isinstance(usual, float) or found >= min_delivered * usual:
        return
    msg = (
        f"{day} has {found} traded listings, usually there are {usual:.0f}: its prices look unfinished, nothing was "
        "updated; run the update again when they are complete, or take the day as it is with: kedro run "
        f"--pipeline=update --params prices={prices},ingest.min_delivered={int(100 * found / usual) / 100:g}"
    )
    raise DataError(msg)


def last_day(folder: Path) -> date:
    """Last day of a feature table."""
    dates = pl.read_parquet(folder / f"{read_manifest(folder).months[-1]}.parquet", columns=["Date"])["Date"]
    last = dates.max()
    assert isinstance(last, date)
    return last


def link(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system has none. Artifacts are never changed in place."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def update_start(clean: pl.DataFrame, day: date, config: FeaturesConfig) -> date:
    """First day whose rows change when the days from ``day`` on are added: labels that they complete reach back."""
    rows = label_rows(max(config.horizons), config.label)
    grown = clean.filter(pl.col("Date") >= day)["Listing"].unique()
    before = clean.filter((pl.col("Date") < day) & pl.col("Listing").is_in(grown.implode()))
    first = before.sort("Date").group_by("Listing").tail(rows)["Date"].min()
    return first if isinstance(first, date) else day

"""The daily update of a feature table: what stays is linked, what new days change is built."""

import json
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.errors import ArtifactError
from atft_pipeline.market.columns import FeaturesConfig
from atft_pipeline.market.features import (
    MANIFEST,
    FeatureManifest,
    build_features,
    features_fingerprint,
    write_manifest,
)
from atft_pipeline.market.labels import label_rows


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
        First day that was built.

    Raises:
        ArtifactError: the earlier table was built from other prices, sectors or parameters; or there is no later day.
    """
    earlier = read_manifest(previous)
    last = _last_day(previous, earlier)
    later = clean.filter(pl.col("Date") > last)
    if later.is_empty():
        msg = f"the clean prices hold no day after {last}, the last one of the features; there is nothing to update"
        raise ArtifactError(msg)
    before = clean.filter(pl.col("Date") <= last)
    known = None if listings is None else listings.filter(pl.col("Listing").is_in(before["Listing"].unique().implode()))
    if features_fingerprint(before, known, config) != earlier.fingerprint:
        msg = (
            f"up to {last} the prices, sectors, parameters or formulas are not those that {previous} was built from "
            "(a source that adjusts the past after a split changes it); rebuild with: kedro run --pipeline=data"
        )
        raise ArtifactError(msg)
    first = later["Date"].min()
    assert isinstance(first, date)
    start = update_start(clean, first, config).replace(day=1)
    built = build_features(clean, listings, config, out_dir, since=start)
    kept = [month for month in earlier.months if month < f"{start:%Y-%m}"]
    for month in kept:
        _link(previous / f"{month}.parquet", out_dir / f"{month}.parquet")
    whole = replace(
        built,
        months=(*kept, *built.months),
        rows=clean.height,
        fingerprint=features_fingerprint(clean, listings, config),
    )
    write_manifest(whole, out_dir)
    return start


def read_manifest(folder: Path) -> FeatureManifest:
    """Read ``features.json``.

    Raises:
        ArtifactError: it is not there or is no manifest.
    """
    path = folder / MANIFEST
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        listed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
        return FeatureManifest(**listed)
    except (OSError, ValueError, TypeError) as error:
        msg = f"{path} is missing or damaged ({type(error).__name__}); rebuild with: kedro run --pipeline=features"
        raise ArtifactError(msg) from error


def _last_day(folder: Path, manifest: FeatureManifest) -> date:
    dates = pl.read_parquet(folder / f"{manifest.months[-1]}.parquet", columns=["Date"])["Date"]
    last = dates.max()
    assert isinstance(last, date)
    return last


def _link(source: Path, target: Path) -> None:
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

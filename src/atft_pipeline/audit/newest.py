"""The newest day by update against the same day built from nothing."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from atft_pipeline.audit.chain import Steps
from atft_pipeline.audit.finding import Finding, Tally
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.features.update import update_features, update_start
from atft_pipeline.panel.build import append_days
from atft_pipeline.panel.panel import Panel


def check_update(
    prices: pl.DataFrame, listings: Path | None, steps: Steps, how: FeaturesConfig, folder: Path
) -> Iterator[Finding]:
    """Build all days but the last, update with the last, and compare the panel with one of all days.

    Args:
        prices: raw prices, few sessions.
        listings: listings table, or ``None``.
        steps: the chain.
        how: parameters of the features.
        folder: to work in.
    """
    newest = prices["Date"].max()
    before, whole = folder / "before", folder / "whole"
    for path, rows in ((before, prices.filter(pl.col("Date") < newest)), (whole, prices)):
        path.mkdir()
        rows.write_parquet(path / "prices.parquet")
    earlier, result = (
        steps.ingest(before / "prices.parquet", listings),
        steps.ingest(whole / "prices.parquet", listings),
    )
    steps.features(earlier.prices, earlier.listings, before / "features", None)
    steps.panel(before / "features", earlier.listings, before / "panel.arrow")
    steps.features(result.prices, result.listings, whole / "features", None)
    steps.panel(whole / "features", result.listings, whole / "panel.arrow")
    update_features(before / "features", result.prices, result.listings, how, folder / "features")
    days = result.prices["Date"].unique().sort()
    since = str(update_start(result.prices, days[-1], how))
    table = result.listings.to_arrow()
    append_days(Panel.open(before / "panel.arrow"), folder / "features", table, folder / "panel.arrow", since)
    yield from _compare(Panel.open(folder / "panel.arrow"), Panel.open(whole / "panel.arrow"))


def _compare(updated: Panel, built: Panel) -> Iterator[Finding]:
    """Compare the last days of both, as far back as a label reaches."""
    days = range(max(0, len(built.dates) - built.meta.label_span - 1), len(built.dates))
    tally = Tally("features", "labels")
    for day in days if updated.index.dates == built.index.dates else ():
        left, right = updated.day(day), built.day(day)
        names = [[panel.listings[row] for row in view.listing] for panel, view in ((updated, left), (built, right))]
        for item, pairs in (
            ("features", (left.features, right.features)),
            ("labels", (np.hstack([left.targets, left.returns]), np.hstack([right.targets, right.returns]))),
        ):
            same = names[0] == names[1] and np.array_equal(pairs[0], pairs[1], equal_nan=True)
            tally.add(item, pairs[1].size, int(not same), built.index.dates[day])
    if updated.index.dates != built.index.dates:
        tally.add("features", 0, 1, f"the update ends {updated.index.dates[-1]}")
    yield from tally.findings("update", built.index.dates[-1])

"""Nodes of the stage ``update``: each result equals that of the stage that builds everything."""

from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.datasets.artifacts import Write
from atft_pipeline.errors import ArtifactError
from atft_pipeline.market.columns import FeaturesConfig
from atft_pipeline.market.ingest import IngestConfig
from atft_pipeline.market.prices import newest_date
from atft_pipeline.market.updates import read_manifest, update_features, update_start
from atft_pipeline.panel.build import append_days
from atft_pipeline.panel.panel import Panel
from atft_pipeline.pipelines.ingest.nodes import ingest_prices
from atft_pipeline.pipelines.parameters import Params


def update_prices(
    prices: Path, listings: Path | None, previous_panel: Panel, config: Params[IngestConfig]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any], str]:
    """Read and clean the prices, once they go beyond the panel.

    Raises:
        ArtifactError: they do not.
    """
    newest, last = newest_date(prices, config.root.prices), previous_panel.index.dates[-1]
    if str(newest) <= last:
        msg = f"{prices} goes to {newest}, the panel to {last}: there is nothing to update; pass newer --params prices="
        raise ArtifactError(msg)
    return ingest_prices(prices, listings, config)


def continue_features(
    clean_prices: pl.DataFrame, listings: pl.DataFrame, previous: Path, config: Params[FeaturesConfig]
) -> Write:
    """Return the function that writes the feature table; months that stay are linked."""
    return partial(update_features, previous, clean_prices, listings, config.root)


def continue_panel(
    features: Path,
    previous_features: Path,
    previous_panel: Panel,
    clean_prices: pl.DataFrame,
    listings: pl.DataFrame,
    config: Params[FeaturesConfig],
) -> Write:
    """Return the function that writes the panel; the days whose rows stay are copied byte for byte.

    Raises:
        ArtifactError: the panel was not built from the features that were continued.
    """
    built_from = previous_panel.meta.lineage.get("features")
    if built_from != read_manifest(previous_features).fingerprint:
        msg = f"{previous_panel.path} was built from other features; rebuild it with: kedro run --pipeline=panel"
        raise ArtifactError(msg)
    days = clean_prices["Date"].unique().sort()
    first = days.filter(days > previous_panel.dates[-1].astype(object))[0]
    return partial(
        _append,
        panel=previous_panel,
        features=features,
        listings=listings,
        since=str(update_start(clean_prices, first, config.root)),
    )


def _append(path: Path, *, panel: Panel, features: Path, listings: pl.DataFrame, since: str) -> None:
    manifest = read_manifest(features)
    lineage = {"features": manifest.fingerprint, "parameters": manifest.parameters}
    append_days(panel, features, listings.to_arrow(), path, lineage, since)

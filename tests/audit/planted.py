"""A tiny market, its artifacts, and leaks planted into its chain."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.audit.artifacts import check_stored
from atft_pipeline.audit.chain import Steps, build_world, real_steps
from atft_pipeline.audit.finding import Finding
from atft_pipeline.audit.stored import Stored
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.features.manifest import read_manifest, write_manifest
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.panel.config import BatchConfig, PanelConfig
from atft_pipeline.prices.ingest import IngestConfig
from atft_pipeline.synthetic.market import SampleMarket
from atft_pipeline.training.config import RuntimeConfig

FEATURES = FeaturesConfig(groups=("listing", "market"))
GRAPHS = GraphConfig()
CLOSE = pl.col("Close")
NEXT = CLOSE.shift(-1).over("Listing") / CLOSE - 1


def honest_steps(features: FeaturesConfig = FEATURES) -> Steps:
    return real_steps(IngestConfig(), features, PanelConfig(), GRAPHS, None, RuntimeConfig())


def build_stored(
    market: SampleMarket,
    steps: Steps,
    folder: Path,
    features: FeaturesConfig = FEATURES,
    card: Mapping[str, Any] | None = None,
) -> Stored:
    """The artifacts that a chain makes from a market."""
    world = build_world(
        market.prices, market.listings, replace(steps, score=None), folder / "w", 1, np.datetime64("2099")
    )
    listings = steps.ingest(folder / "w" / "prices.parquet", folder / "w" / "listings.parquet").listings
    return Stored(
        world.clean,
        listings,
        folder / "w" / "features",
        world.panel,
        world.graphs,
        features,
        GRAPHS,
        BatchConfig(),
        card,
    )


def failing(market: SampleMarket, steps: Steps, stored: Stored, cuts: int = 4) -> dict[str, list[Finding]]:
    """What fails among the artifacts in use, by part."""
    found, _ = check_stored(stored, market.prices, steps, cuts, 20, 0)
    failed: dict[str, list[Finding]] = {}
    for finding in found:
        if not finding.passed:
            failed.setdefault(finding.artifact, []).append(finding)
    return failed


def with_feature(chain: Steps, feature: pl.Expr, name: str = "PLANTED") -> Steps:
    """Add a feature that is computed from clean prices and written beside the others."""

    def write(clean: pl.DataFrame, listings: pl.DataFrame, folder: Path, since: dt.date | None) -> None:
        chain.features(clean, listings, folder, since)
        planted = clean.select("Date", "Listing", feature.fill_null(0.0).cast(pl.Float32).alias(name))
        for path in sorted(folder.glob("*.parquet")):
            table = pl.read_parquet(path)
            table.join(planted, on=["Date", "Listing"], how="left", maintain_order="left").write_parquet(path)
        manifest = read_manifest(folder)
        names = (manifest.features[0], name, *manifest.features[1:])
        write_manifest(replace(manifest, features=names), folder)

    return replace(chain, features=write)


def with_columns(chain: Steps, **columns: pl.Expr) -> Steps:
    """Change columns of the feature table, such as labels; the expressions see whole listings in order."""

    def write(clean: pl.DataFrame, listings: pl.DataFrame, folder: Path, since: dt.date | None) -> None:
        chain.features(clean, listings, folder, since)
        paths = sorted(folder.glob("*.parquet"))
        whole = pl.concat([pl.read_parquet(path).with_columns(file=pl.lit(path.name)) for path in paths])
        changed = whole.sort("Listing", "Date").with_columns(**columns).sort("Date", "Listing")
        for path in paths:
            changed.filter(pl.col("file") == path.name).drop("file").write_parquet(path)

    return replace(chain, features=write)

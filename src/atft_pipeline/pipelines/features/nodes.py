"""Node of the stage ``features``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atft_pipeline.blocks import ClusterConfig
from atft_pipeline.datasets.artifacts import draft
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.pipelines.parameters import configured

if TYPE_CHECKING:
    import polars as pl


@configured
def compute_features(
    clean_prices: pl.DataFrame,
    listings: pl.DataFrame,
    config: FeaturesConfig,
    workspace: Path,
    cluster: ClusterConfig = ClusterConfig(),  # noqa: B008  frozen
) -> Path:
    """Write the feature table into the working folder; return its path."""
    from atft_pipeline.features.build import build_features

    with draft(workspace, "features") as folder:
        build_features(clean_prices, listings, config, folder.absolute(), cluster=cluster)
    return folder

"""Node of the stage ``features``."""

from pathlib import Path

import polars as pl

from atft_pipeline.datasets.artifacts import draft
from atft_pipeline.features.build import build_features
from atft_pipeline.features.columns import FeaturesConfig
from atft_pipeline.pipelines.parameters import configured


@configured
def compute_features(
    clean_prices: pl.DataFrame, listings: pl.DataFrame, config: FeaturesConfig, workspace: Path
) -> Path:
    """Write the feature table into the working folder; return its path."""
    with draft(workspace, "features") as folder:
        build_features(clean_prices, listings, config, folder)
    return folder

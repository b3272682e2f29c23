"""Node of the stage ``features``."""

from functools import partial

import polars as pl

from atft_pipeline.datasets.artifacts import Write
from atft_pipeline.features.build import build_features
from atft_pipeline.features.columns import FeaturesConfig
from atft_pipeline.pipelines.parameters import Params


def compute_features(clean_prices: pl.DataFrame, listings: pl.DataFrame, config: Params[FeaturesConfig]) -> Write:
    """Return the function that writes the feature table."""
    return partial(build_features, clean_prices, listings, config.root)

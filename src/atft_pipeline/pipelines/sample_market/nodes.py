"""Node of the stage ``sample_market``."""

import polars as pl

from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.synthetic.market import SampleMarketConfig, generate


def generate_market(config: Params[SampleMarketConfig]) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Generate prices, listings and the oracle's scores."""
    market = generate(config.root)
    return market.prices, market.listings, market.oracle

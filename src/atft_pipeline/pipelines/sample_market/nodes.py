"""Node of the stage ``sample_market``."""

import polars as pl

from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.synthetic.market import SampleMarketConfig, generate


@configured
def generate_market(config: SampleMarketConfig) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Generate prices, listings and the oracle's scores."""
    market = generate(config)
    return market.prices, market.listings, market.oracle

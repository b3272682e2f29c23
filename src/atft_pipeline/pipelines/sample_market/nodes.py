"""Node of the stage ``sample_market``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.synthetic.market import SampleMarketConfig, generate

if TYPE_CHECKING:
    import polars as pl


@configured
def generate_market(config: SampleMarketConfig) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Generate prices, listings and the oracle's scores."""
    market = generate(config)
    return market.prices, market.listings, market.oracle

"""Pipeline of the stage ``sample_market``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.sample_market.nodes import generate_market


def create_pipeline() -> Pipeline:
    """Parameters -> prices, listings, oracle."""
    return Pipeline(
        [
            Node(
                generate_market,
                inputs="params:sample_market",
                outputs=["sample_prices", "sample_listings", "sample_oracle"],
                name="sample_market",
            ),
        ]
    )

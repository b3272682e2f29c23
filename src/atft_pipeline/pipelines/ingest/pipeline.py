"""Pipeline of the stage ``ingest``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.ingest.nodes import ingest_prices


def create_pipeline() -> Pipeline:
    """Raw prices (+ listings) -> clean prices, listings, data-quality report."""
    return Pipeline(
        [
            Node(
                ingest_prices,
                inputs=["raw_prices", "raw_listings", "params:ingest"],
                outputs=["clean_prices", "listings", "data_quality", "data_quality_page"],
                name="ingest",
            ),
        ]
    )

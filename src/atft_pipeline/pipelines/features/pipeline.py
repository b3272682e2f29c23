"""Pipeline of the stage ``features``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.features.nodes import compute_features


def create_pipeline() -> Pipeline:
    """Clean prices (+ listings) -> features and labels."""
    return Pipeline(
        [
            Node(
                compute_features,
                inputs=["clean_prices", "listings", "params:features", "workspace", "params:cluster"],
                outputs="features",
                name="features",
            ),
        ]
    )

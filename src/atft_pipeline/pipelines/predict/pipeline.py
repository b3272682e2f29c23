"""Pipeline of the stage ``predict``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.predict.nodes import score_newest


def create_pipeline() -> Pipeline:
    """Model, panel, graphs -> scores and ranks of the newest days."""
    return Pipeline(
        [
            Node(
                score_newest,
                inputs=["model", "panel", "graphs", "params:predict", "params:runtime"],
                outputs="newest_scores",
                name="predict",
            ),
        ]
    )

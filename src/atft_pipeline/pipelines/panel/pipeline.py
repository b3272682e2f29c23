"""Pipeline of the stage ``panel``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.panel.nodes import pack_panel


def create_pipeline() -> Pipeline:
    """Features (+ listings) -> the memory-mapped panel."""
    return Pipeline(
        [
            Node(
                pack_panel, inputs=["features", "listings", "params:panel", "workspace"], outputs="panel", name="panel"
            ),
        ]
    )

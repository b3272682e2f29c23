"""Pipeline of the stage ``update``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.graphs.nodes import connect_listings, report_graphs
from atft_pipeline.pipelines.update.nodes import continue_features, continue_panel, update_prices


def create_pipeline() -> Pipeline:
    """Newer prices, the artifacts as they are -> the same artifacts with the new days."""
    return Pipeline(
        [
            Node(
                update_prices,
                inputs=[
                    "raw_prices",
                    "raw_listings",
                    "previous_features",
                    "previous_panel",
                    "previous_graphs",
                    "params:ingest",
                    "params:features",
                ],
                outputs=["clean_prices", "listings", "data_quality", "data_quality_page"],
                name="update_prices",
            ),
            Node(
                continue_features,
                inputs=["clean_prices", "listings", "previous_features", "params:features", "workspace"],
                outputs="features",
                name="update_features",
            ),
            Node(
                continue_panel,
                inputs=[
                    "features",
                    "previous_features",
                    "previous_panel",
                    "clean_prices",
                    "listings",
                    "params:features",
                    "workspace",
                ],
                outputs="panel",
                name="update_panel",
            ),
            Node(
                connect_listings,
                inputs=["clean_prices", "panel", "params:graphs", "workspace", "params:cluster", "previous_graphs"],
                outputs="graphs",
                name="update_graphs",
            ),
            Node(
                report_graphs,
                inputs="graphs",
                outputs=["graphs_report", "graph_stability_figure"],
                name="update_graphs_report",
            ),
        ]
    )

"""Pipeline of the stage ``graphs``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.graphs.nodes import connect_listings, report_graphs


def create_pipeline() -> Pipeline:
    """Clean prices, the panel's index -> one k-NN correlation graph a month."""
    return Pipeline(
        [
            Node(
                connect_listings,
                inputs=["clean_prices", "panel", "params:graphs", "workspace", "params:cluster"],
                outputs="graphs",
                name="graphs",
            ),
            Node(
                report_graphs,
                inputs="graphs",
                outputs=["graphs_report", "graph_stability_figure"],
                name="graphs_report",
            ),
        ]
    )

"""Pipeline of the stage ``audit``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.audit.nodes import audit_chain, judge


def create_pipeline() -> Pipeline:
    """Raw prices (+ listings, + a trained model) -> leak audit."""
    return Pipeline(
        [
            Node(
                audit_chain,
                inputs={
                    "prices": "raw_prices",
                    "listings": "raw_listings",
                    "model": "trained_model",
                    "ingest": "params:ingest",
                    "features": "params:features",
                    "panel": "params:panel",
                    "graphs": "params:graphs",
                    "runtime": "params:runtime",
                    "config": "params:audit",
                },
                outputs="audit",
                name="audit",
            ),
            Node(judge, inputs="audit", outputs=None, name="judge"),
        ]
    )

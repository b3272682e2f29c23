"""Pipeline of the stage ``audit``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.audit.nodes import audit_chain, collect_stored, judge


def create_pipeline() -> Pipeline:
    """Raw prices (+ listings, + a trained model) and the artifacts made from them -> leak audit."""
    return Pipeline(
        [
            Node(
                collect_stored,
                inputs={
                    "clean_prices": "clean_prices",
                    "listings": "listings",
                    "feature_table": "features",
                    "panel": "panel",
                    "graphs": "graphs",
                    "model": "trained_model",
                    "features": "params:features",
                    "linked": "params:graphs",
                    "batches": "params:batches",
                },
                outputs="audited_artifacts",
                name="artifacts",
            ),
            Node(
                audit_chain,
                inputs={
                    "prices": "raw_prices",
                    "listings": "raw_listings",
                    "model": "trained_model",
                    "stored": "audited_artifacts",
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

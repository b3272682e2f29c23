"""Pipeline of the stage ``walk_forward``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.parameters import EXPERIMENT
from atft_pipeline.pipelines.walk_forward.nodes import evaluate_folds, train_folds


def create_pipeline() -> Pipeline:
    """Panel, graphs -> folds trained and scored one after the other, stitched predictions, metrics."""
    return Pipeline(
        [
            Node(
                train_folds,
                inputs={
                    "panel": "panel",
                    "graphs": "graphs",
                    "folder": "fold_store",
                    "oracle": "raw_oracle",
                    "walk_forward": "params:walk_forward",
                    "split": "params:split",
                    **EXPERIMENT,
                    "evaluation": "params:evaluation",
                },
                outputs=["walk_forward_predictions", "walk_forward_folds"],
                name="train_folds",
            ),
            Node(
                evaluate_folds,
                inputs=["walk_forward_predictions", "walk_forward_folds", "clean_prices", "panel", "params:evaluation"],
                outputs="walk_forward_metrics",
                name="evaluate_folds",
            ),
        ]
    )

"""Pipeline of the stage ``train``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.parameters import EXPERIMENT
from atft_pipeline.pipelines.train.nodes import train_model


def create_pipeline() -> Pipeline:
    """Panel, graphs -> trained model, history, run card."""
    return Pipeline(
        [
            Node(
                train_model,
                inputs={
                    "panel": "panel",
                    "graphs": "graphs",
                    "checkpoints": "checkpoints",
                    "split": "params:split",
                    **EXPERIMENT,
                    "tuned": "tuned_parameters",
                },
                outputs=["model", "training_history", "run_card", "run_card_page", "training_curves_figure"],
                name="train",
            ),
        ]
    )

"""Pipeline of the stage ``evaluate``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.evaluate.nodes import collect_scores, evaluate_scores, score_baselines, score_test


def create_pipeline() -> Pipeline:
    """Model, panel, graphs -> predictions of the test days beside their baselines, metrics, figures."""
    return Pipeline(
        [
            Node(
                score_test,
                inputs=["model", "panel", "graphs", "params:split", "params:residency", "params:runtime"],
                outputs="model_scores",
                name="score_test",
            ),
            Node(
                score_baselines,
                inputs=["panel", "params:split", "params:batches", "params:residency", "params:evaluation"],
                outputs="baseline_scores",
                name="score_baselines",
            ),
            Node(
                collect_scores,
                inputs=["model_scores", "baseline_scores", "panel", "raw_oracle"],
                outputs="predictions",
                name="collect_scores",
            ),
            Node(
                evaluate_scores,
                inputs=["predictions", "params:evaluation"],
                outputs=["metrics", "cumulative_rank_ic", "decile_returns"],
                name="evaluate",
            ),
        ]
    )

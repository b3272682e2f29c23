"""Pipeline of the stage ``evaluate``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.evaluate.nodes import (
    SHOWN,
    collect_scores,
    evaluate_scores,
    explain_model,
    publish,
    score_baselines,
    score_test,
)


def create_pipeline() -> Pipeline:
    """Model, panel, graphs -> predictions of the test days beside their baselines, metrics, report, figures."""
    return Pipeline(
        [
            Node(
                score_test,
                inputs=[
                    "model",
                    "panel",
                    "graphs",
                    "clean_prices",
                    "params:split",
                    "params:residency",
                    "params:runtime",
                ],
                outputs=["model_scores", "reference_scores", "other_scores"],
                name="score_test",
            ),
            Node(
                explain_model,
                inputs=["model", "panel", "graphs", "params:split", "params:runtime"],
                outputs=["explanation", "feature_weights_figure", "lag_weights_figure"],
                name="explain",
            ),
            Node(
                score_baselines,
                inputs=["panel", "params:split", "params:batches", "params:targets", "params:evaluation"],
                outputs=["baseline_scores", "baseline_card", "fitted_baselines"],
                name="baselines",
            ),
            Node(
                collect_scores,
                inputs=["model_scores", "baseline_scores", "panel", "raw_oracle"],
                outputs="predictions",
                name="collect",
            ),
            Node(
                evaluate_scores,
                inputs=[
                    "predictions",
                    "clean_prices",
                    "reference_scores",
                    "other_scores",
                    "baseline_card",
                    "panel",
                    "model",
                    "newest_trial_returns",
                    "params:evaluation",
                ],
                outputs=["metrics", "evaluation_figures"],
                name="evaluate",
            ),
            Node(
                publish,
                inputs=["metrics", "evaluation_figures", "explanation"],
                outputs={"page": "evaluation_page", **{name: f"{name}_figure" for name in SHOWN}},
                name="publish",
            ),
        ]
    )

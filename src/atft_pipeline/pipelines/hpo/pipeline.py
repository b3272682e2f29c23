"""Pipeline of the stage ``hpo``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.hpo.nodes import report_study, search

SHARED = {
    "panel": "panel",
    "graphs": "graphs",
    "checkpoints": "checkpoints",
    "storage": "study_storage",
    "split": "params:split",
    "runtime": "params:runtime",
    "hpo": "params:hpo",
}
FIGURES = ["hpo_history", "hpo_importance", "hpo_slices", "hpo_parallel", "hpo_timeline"]


def create_pipeline() -> Pipeline:
    """Panel, graphs -> study -> trial table, best parameters, report, figures."""
    return Pipeline(
        [
            Node(
                search,
                inputs={
                    **SHARED,
                    "batches": "params:batches",
                    "residency": "params:residency",
                    "model": "params:model",
                    "loss": "params:loss",
                    "training": "params:training",
                },
                outputs="finished_study",
                name="search",
            ),
            Node(
                report_study,
                inputs={"finished": "finished_study", **SHARED},
                outputs=["trial_table", "study_returns", "best_parameters", "hpo_report", *FIGURES],
                name="report_study",
            ),
        ]
    )

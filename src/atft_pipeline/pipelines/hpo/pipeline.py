"""Pipeline of the stage ``hpo``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.hpo.nodes import report_study, search, tabulate_study
from atft_pipeline.pipelines.parameters import EXPERIMENT

STUDY = {"storage": "study_storage", "hpo": "params:hpo"}
MARKET = {"panel": "panel", "graphs": "graphs", "split": "params:split"}
FIGURES = ["hpo_history", "hpo_importance", "hpo_slices", "hpo_parallel", "hpo_timeline"]


def create_pipeline() -> Pipeline:
    """Panel, graphs -> study -> trial table, best parameters, report, figures."""
    return Pipeline(
        [
            Node(
                search,
                inputs={
                    **STUDY,
                    **MARKET,
                    "checkpoints": "checkpoints",
                    **EXPERIMENT,
                },
                outputs="finished_study",
                name="search",
            ),
            Node(
                tabulate_study,
                inputs={"finished": "finished_study", **STUDY},
                outputs=["trial_table", "study_returns"],
                name="tabulate_study",
            ),
            Node(
                report_study,
                inputs={
                    "finished": "finished_study",
                    "table": "trial_table",
                    **STUDY,
                    **MARKET,
                    "runtime": "params:runtime",
                },
                outputs=["best_parameters", "hpo_report", *FIGURES],
                name="report_study",
            ),
        ]
    )

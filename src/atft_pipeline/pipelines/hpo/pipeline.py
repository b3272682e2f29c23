"""Pipeline of the stage ``hpo``."""

from kedro.pipeline import Node, Pipeline

from atft_pipeline.pipelines.hpo.nodes import report_study, search, tabulate_study
from atft_pipeline.pipelines.parameters import EXPERIMENT
from atft_pipeline.reporting.study_figures import FIGURES

STUDY = {"storage": "study_storage", "hpo": "params:hpo"}
MARKET = {"panel": "panel", "graphs": "graphs", "split": "params:split"}


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
                outputs=["trial_table", "trial_returns"],
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
                outputs={
                    "parameters": "best_parameters",
                    "report": "hpo_report",
                    **{name: f"{name}_figure" for name in FIGURES},
                },
                name="report_study",
            ),
        ]
    )

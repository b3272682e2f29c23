"""MLflow sees every trial as a run of its own below the run of the search."""

from collections.abc import Mapping
from typing import Any

import mlflow
import plotly.graph_objects as go

from atft_pipeline.pipelines.tracking import tracked
from atft_pipeline.pipelines.train.tracking import flatten, grouped, log_flat, numbers
from atft_pipeline.tuning.callbacks import TrialOutcome, TrialStart

STATUS = {"COMPLETE": "FINISHED", "PRUNED": "FINISHED", "FAILED": "FAILED"}


class MlflowTrials:
    """Logs each trial as a nested run; without a parent run it does nothing."""

    def __init__(self) -> None:
        self._open = False

    @tracked
    def on_trial(self, trial: TrialStart) -> None:
        """Open the trial's run and log all of its parameters."""
        self.close("KILLED")
        mlflow.start_run(run_name=f"trial {trial.number}", nested=True)
        self._open = True
        mlflow.set_tags({"trial": trial.number, "slot": trial.slot, "retry": trial.retry})
        groups = [flatten(name, group) for name, group in trial.parameters.items()]
        log_flat({key: value for group in groups for key, value in group.items()})

    @tracked
    def on_epoch(self, _trial: TrialStart, record: Mapping[str, Any], /) -> None:
        """Log one epoch's numbers."""
        if self._open:
            found = {grouped(name): value for name, value in numbers(record).items()}
            mlflow.log_metrics(found, step=int(record["epoch"]))

    @tracked
    def on_outcome(self, _trial: TrialStart, outcome: TrialOutcome, /) -> None:
        """Log how the trial ended, and its run card."""
        if not self._open:
            return
        mlflow.set_tags({"state": outcome.state, "reason": outcome.reason})
        if outcome.values:
            mlflow.log_metric("value", outcome.values[0])
        if outcome.run_card:
            mlflow.log_dict(dict(outcome.run_card), "run_card.json")
        self.close(STATUS[outcome.state])

    @tracked
    def close(self, status: str) -> None:
        """End the trial's run, if one is open."""
        if self._open:
            self._open = False
            mlflow.end_run(status)


@tracked
def log_study(report: Mapping[str, Any], parameters: str, figures: Mapping[str, go.Figure]) -> None:
    """Log what the study left to the run of the search; without a run do nothing."""
    mlflow.log_metrics(numbers({"best_val_rank_ic": report["winner"]["val_rank_ic"], **report["epochs"]}))
    mlflow.log_dict(dict(report), "hpo_report.json")
    mlflow.log_text(parameters, "best_parameters.yml")
    for name, drawn in figures.items():
        mlflow.log_figure(drawn, f"{name}.html")

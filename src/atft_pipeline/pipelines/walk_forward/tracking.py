"""MLflow sees each fold of a walk-forward."""

import mlflow

from atft_pipeline.pipelines.tracking import tracked
from atft_pipeline.pipelines.train.tracking import numbers
from atft_pipeline.scoring.fold_store import FoldRecord


class MlflowFolds:
    """Logs each fold's RankIC at the step of its number to the active MLflow run; without a run it does nothing."""

    @tracked
    def on_fold(self, record: FoldRecord) -> None:
        """Log one fold."""
        found = {
            f"fold_rank_ic_{horizon}/{name}": value["mean"]
            for horizon, scores in record.rank_ic.items()
            for name, value in scores.items()
        }
        mlflow.log_metrics(numbers(found), step=record.fold)

"""MLflow sees the headline numbers, the page and the figures of an evaluation."""

import json
import uuid
from typing import Any

import mlflow
import plotly.graph_objects as go
from plotly.io import to_json

from atft_pipeline.pipelines.tracking import name_run, tracked
from atft_pipeline.pipelines.train.tracking import numbers


def run_id() -> str:
    """Identity of this run: MLflow's where there is one, else a new one."""
    active = mlflow.active_run()
    return str(active.info.run_id) if active is not None else uuid.uuid4().hex


def headline(metrics: dict[str, Any]) -> dict[str, float]:
    """Numbers of every horizon by name: RankIC with its error and by timing, paired differences, net Sharpe."""
    found: dict[str, float | None] = {}
    for horizon, report in metrics["horizons"].items():
        for name, score in report["scores"].items():
            found |= {
                f"test_rank_ic_{horizon}/{name}": score["rank_ic"]["mean"],
                f"test_rank_ic_se_{horizon}/{name}": score["rank_ic"]["se"],
            }
        for timing, known in report["timings"].items():
            if timing != "close_to_close" and "all" in known:
                scores = known["all"]["scores"]
                found |= {f"test_rank_ic_{timing}_{horizon}/{name}": row["mean"] for name, row in scores.items()}
        for name, paired in report["paired"].items():
            found |= {f"paired_t_{horizon}/{name}": paired["t"]}
        portfolio = report["portfolios"].get("long_short", {}).get("model")
        if portfolio is not None and portfolio["plausible"]:
            found |= {
                f"net_sharpe/{horizon}": portfolio["net"]["sharpe"]["value"],
                f"net_sharpe_se/{horizon}": portfolio["net"]["sharpe"]["se"],
            }
    return numbers(found)


@tracked
def log_evaluation(metrics: dict[str, Any], figures: dict[str, go.Figure], page: str) -> None:
    """Log to the active MLflow run; without a run do nothing."""
    mlflow.log_metrics(headline(metrics))
    horizon = str(metrics["headline"])
    found = metrics["horizons"][horizon]["scores"]["model"]["rank_ic"]
    name_run(f"test RankIC {found['mean']:+.4f}±{found['se']:.4f} at {horizon} sessions")
    mlflow.set_tag("mlflow.note.content", "The report is among the artifacts: evaluation/report.html")
    mlflow.log_dict(metrics, "evaluation/metrics.json")
    mlflow.log_text(page, "evaluation/report.html")
    for name, drawn in figures.items():
        mlflow.log_dict(json.loads(to_json(drawn)), f"evaluation/figures/{name}.json")

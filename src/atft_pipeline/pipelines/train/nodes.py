"""Node of the stage ``train``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.config import require
from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.splits.split import SplitConfig
from atft_pipeline.training.experiment import Experiment, MarketData

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


log = logging.getLogger(__name__)


@configured
def train_model(
    panel: Panel,
    graphs: MonthlyGraphs,
    checkpoints: Path,
    split: SplitConfig,
    experiment: Experiment,
    tuned: Path | None,
) -> tuple[Path, pl.DataFrame, dict[str, Any], str, go.Figure]:
    """Train; return the best checkpoint's folder, the history, the run card, its page and the curves.

    ``tuned`` is the file of a winner whose parameters are among the others already; as an input it is in the lineage.

    Raises:
        ConfigError: ``training.from_study`` was not given on the command line.
        OutOfMemoryError: the memory does not suffice.
    """
    import polars as pl

    from atft_pipeline.pipelines.tracking import name_run
    from atft_pipeline.pipelines.train.registry import log_market, register_model
    from atft_pipeline.pipelines.train.tracking import MlflowCallback
    from atft_pipeline.reporting.run_card_page import card_page
    from atft_pipeline.reporting.training_figures import training_curves
    from atft_pipeline.splits.split import single_split
    from atft_pipeline.training.ensemble import fit_ensemble
    from atft_pipeline.training.optim.schedules import planned_rates

    require(
        experiment.training.from_study is None or tuned is not None,
        "training.from_study: give it on the command line, as in kedro run --params training.from_study=best",
    )
    callback = MlflowCallback(experiment.training.seed)
    days = single_split(panel.dates, split, panel.meta.label_span)
    result = fit_ensemble(experiment, MarketData(panel, graphs), days, checkpoints, callback=callback)
    for text in result.run_card["warnings"]:
        log.warning("run card: %s", text)
    page = card_page(result.run_card, result.history)
    callback.on_page(page)
    log_market(panel, graphs)
    register_model(result.checkpoint, panel, graphs)
    found = result.run_card["model"]["parameters"], result.run_card["result"]["val_rank_ic"]
    name_run(f"{found[0]:,} parameters", f"validation RankIC {found[1]:+.4f}")
    rates = planned_rates(experiment.training, result.run_card["optimizer"]["epoch_ends"])
    history = pl.DataFrame(result.history, infer_schema_length=None)
    return result.checkpoint, history, result.run_card, page, training_curves(result.history, rates)

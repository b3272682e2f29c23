"""Node of the stage ``predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.pipelines.parameters import configured
from atft_pipeline.prices.ingest import IngestConfig
from atft_pipeline.scoring.config import PredictConfig
from atft_pipeline.training.config import RuntimeConfig

if TYPE_CHECKING:
    import polars as pl

    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


@configured
def predict_newest(
    model: Path,
    panel: Panel,
    graphs: MonthlyGraphs,
    quality: dict[str, Any],
    baselines: Path | None,
    prices: Path | None,
    predict: PredictConfig,
    ingest: IngestConfig,
    runtime: RuntimeConfig,
) -> pl.DataFrame:
    """Refuse stale inputs, then score and rank the newest days; see :func:`score_newest`."""
    import json

    from atft_pipeline.baselines.saved import from_document
    from atft_pipeline.scoring.newest import check_prices, score_newest

    check_prices(panel, quality, prices, ingest.prices)
    fitted = None if baselines is None else from_document(json.loads(baselines.read_text(encoding="utf-8")))
    return score_newest(model, panel, graphs, predict, runtime, fitted)

"""Node of the stage ``graphs``."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atft_pipeline.blocks import ClusterConfig
from atft_pipeline.datasets.artifacts import draft
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.pipelines.parameters import configured

if TYPE_CHECKING:
    import plotly.graph_objects as go
    import polars as pl

    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


@configured
def connect_listings(
    clean_prices: pl.DataFrame,
    panel: Panel,
    config: GraphConfig,
    workspace: Path,
    cluster: ClusterConfig = ClusterConfig(),  # noqa: B008  frozen
    previous: MonthlyGraphs | None = None,
) -> Path:
    """Write the graphs of all months into the working folder, those that earlier graphs have as copies.

    Returns:
        The path of what was written.
    """
    from atft_pipeline.graphs.build import build_graphs
    from atft_pipeline.prices.returns import daily_returns

    with draft(workspace, "graphs") as path:
        build_graphs(
            daily_returns(clean_prices, panel.dates, panel.listings),
            panel.dates,
            panel.listings,
            panel.sector,
            panel.market,
            config,
            panel.meta.index_fingerprint,
            path,
            lineage={"panel": panel.meta.fingerprint},
            previous=previous.path if previous is not None else None,
            cluster=cluster,
        )
    return path


@configured
def report_graphs(graphs: MonthlyGraphs) -> tuple[list[dict[str, Any]], go.Figure]:
    """Stability of the graphs by month, as JSON rows and as a figure."""
    from atft_pipeline.graphs.report import report_months
    from atft_pipeline.reporting.graph_figures import graph_stability

    rows = report_months(graphs)
    plain = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(row).items()}
        for row in rows
    ]
    return plain, graph_stability(rows)

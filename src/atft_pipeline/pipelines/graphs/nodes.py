"""Node of the stage ``graphs``."""

import math
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
import polars as pl

from atft_pipeline.datasets.artifacts import Write
from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.graphs.report import report_months
from atft_pipeline.panel.panel import Panel
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.prices.returns import daily_returns
from atft_pipeline.reporting.graph_figures import graph_stability


def connect_listings(
    clean_prices: pl.DataFrame, panel: Panel, config: Params[GraphConfig], previous: MonthlyGraphs | None = None
) -> Write:
    """Return the function that writes the graphs of all months; those that earlier graphs have are copied."""
    return partial(
        _write,
        returns=daily_returns(clean_prices, panel.dates, panel.listings),
        panel=panel,
        config=config.root,
        previous=previous.path if previous is not None else None,
    )


def report_graphs(graphs: MonthlyGraphs) -> tuple[list[dict[str, Any]], go.Figure]:
    """Stability of the graphs by month, as JSON rows and as a figure."""
    rows = report_months(graphs)
    plain = [
        {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(row).items()}
        for row in rows
    ]
    return plain, graph_stability(rows)


def _write(
    path: Path, *, returns: npt.NDArray[np.float32], panel: Panel, config: GraphConfig, previous: Path | None
) -> None:
    build_graphs(
        returns,
        panel.dates,
        panel.listings,
        panel.sector,
        panel.market,
        config,
        panel.meta.index_fingerprint,
        path,
        lineage={"panel": panel.meta.fingerprint},
        previous=previous,
    )

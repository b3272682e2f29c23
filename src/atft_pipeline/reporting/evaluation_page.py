"""The page of an evaluation: conclusions first, then the evidence."""

from typing import Any

import plotly.graph_objects as go

from atft_pipeline.evaluation.portfolio.report import PARTICIPATION
from atft_pipeline.reporting.conclusions import PORTFOLIO_NAMES, conclusions
from atft_pipeline.reporting.evaluation_figures import SLICES, edge_attention, importance, lag_attention
from atft_pipeline.reporting.evaluation_table import names_of, timing_cells
from atft_pipeline.reporting.page import render
from atft_pipeline.reporting.tradable import ENTRIES, TIMING_NAMES
from atft_pipeline.reporting.verdict import NAMES


def report_page(
    metrics: dict[str, Any], figures: dict[str, go.Figure], explanation: dict[str, Any] | None = None
) -> str:
    """Compose the page.

    Args:
        metrics: of an evaluation; ``run`` in it says which run and model they belong to.
        figures: of the same evaluation.
        explanation: ``features`` {name: weight} and ``lags`` [oldest ... newest] of the model, where they are known.

    Returns:
        A complete HTML document with its scripts and styles inside.
    """
    horizon = str(metrics["headline"])
    looks = _looks(explanation or {})
    return render(
        "evaluation",
        figures | looks,
        metrics=metrics,
        part=metrics["horizons"][horizon],
        horizon=horizon,
        conclusions=conclusions(metrics),
        portfolios=PORTFOLIO_NAMES,
        participation=PARTICIPATION,
        kinds=SLICES,
        names=NAMES,
        timings=TIMING_NAMES,
        entries=ENTRIES,
        timing_names=names_of,
        timing_cells=timing_cells,
        looks=list(looks),
    )


def _looks(found: dict[str, Any]) -> dict[str, go.Figure]:
    """Figures of what the model looks at, where it is known."""
    drawn = {}
    if found.get("features"):
        drawn["features"] = importance(found["features"], found.get("features_sd"))
    if found.get("lags"):
        drawn["lags"] = lag_attention(found["lags"], found.get("lags_sd"))
    if found.get("edges"):
        drawn["edges"] = edge_attention(found["edges"], found["gate"], found.get("edges_sd"))
    return drawn

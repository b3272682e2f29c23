"""Figures of the monthly graphs."""

from collections.abc import Sequence

import plotly.graph_objects as go

from atft_pipeline.graphs.report import MonthReport
from atft_pipeline.reporting.theme import panels


def graph_stability(rows: Sequence[MonthReport]) -> go.Figure:
    """How many neighbours listings have, how many edges are new each month, and whom the edges join.

    Args:
        rows: one a month, in order.
    """
    months = [row.month for row in rows]
    shown = (
        ("neighbours of a listing", {"mean": [row.mean_degree for row in rows]}),
        (
            "share of listings or edges",
            {
                "new edges": [row.turnover for row in rows],
                "isolated listings": [row.isolated_fraction for row in rows],
                "within one sector": [row.sector_homophily for row in rows],
                "within one market": [row.market_homophily for row in rows],
                "negative": [row.negative_fraction for row in rows],
            },
        ),
        ("absolute correlation of edges", {"mean strength": [row.mean_strength for row in rows]}),
    )
    drawn = panels("Graphs by month", rows=len(shown), cols=1, shared_xaxes=True, vertical_spacing=0.06, height=820)
    for place, (title, lines) in enumerate(shown, start=1):
        for name, values in lines.items():
            drawn.add_scatter(x=months, y=values, mode="lines+markers", name=name, row=place, col=1)
        drawn.update_yaxes(title_text=title, rangemode="tozero", row=place, col=1)
    return drawn

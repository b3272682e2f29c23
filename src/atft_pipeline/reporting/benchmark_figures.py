"""Figures of the benchmark of switches."""

from typing import Any

import plotly.graph_objects as go

from atft_pipeline.reporting.theme import COLOURS, panels


def variants_figure(found: dict[str, Any]) -> go.Figure:
    """Samples a second of every variant that could be measured, and where a step's time goes.

    Args:
        found: of :func:`atft_pipeline.benchmark.report.run_benchmark`.
    """
    rows = [row for row in found["variants"] if not row["error"]][::-1]
    names = [row["name"] for row in rows]
    machine = found["machine"]
    drawn = panels(
        f"Training by switch: {found['scale']}, {machine['device']}, torch {machine['torch']}",
        height=200 + 28 * len(rows),
        rows=1,
        cols=2,
        shared_yaxes=True,
        column_titles=["samples a second", "share of a step"],
        horizontal_spacing=0.03,
    )
    drawn.add_bar(
        x=[row["samples_per_second"] for row in rows],
        y=names,
        orientation="h",
        marker_color=COLOURS["model"],
        text=[f"{row['samples_per_second']:,.0f}" for row in rows],
        showlegend=False,
        row=1,
        col=1,
    )
    for part in sorted({part for row in rows for part in row["parts"]}):
        shares = [row["parts"].get(part, 0.0) for row in rows]
        drawn.add_bar(x=shares, y=names, orientation="h", name=part, row=1, col=2)
    return drawn.update_layout(barmode="stack", legend_traceorder="normal")

"""Figures of a training: what it optimised, what it reached, and at which learning rate."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from atft_pipeline.reporting.theme import COLOURS, PALETTE, panels


def training_curves(history: Sequence[Mapping[str, Any]], rates: Sequence[float]) -> go.Figure:
    """Weighted loss terms and validation RankIC by epoch, the planned learning rate by step.

    Args:
        history: one record an epoch.
        rates: learning rate of each step of the whole plan.
    """
    titles = ("loss terms, weighted", "validation RankIC ± one error", "learning rate")
    drawn = panels("Training", rows=3, cols=1, vertical_spacing=0.13, subplot_titles=titles, height=900)
    epochs = [record["epoch"] for record in history]
    for (name, values), shade in zip(_terms(history).items(), cycle(PALETTE), strict=False):
        drawn.add_scatter(x=epochs, y=values, mode="lines+markers", name=name, line_color=shade, row=1, col=1)
    for horizon, shade in zip(_horizons(history), cycle(PALETTE), strict=False):
        values = [record[f"val_rank_ic_{horizon}"] for record in history]
        errors = {"array": [record[f"val_rank_ic_{horizon}_se"] for record in history], "thickness": 1}
        line = {"color": shade, "dash": "dot"}
        name = f"RankIC {horizon}"
        drawn.add_scatter(x=epochs, y=values, error_y=errors, mode="lines+markers", name=name, line=line, row=2, col=1)
    line = {"color": COLOURS["oracle"]}
    steps = list(range(len(rates)))
    drawn.add_scatter(x=steps, y=list(rates), mode="lines", name="planned", showlegend=False, line=line, row=3, col=1)
    drawn.update_xaxes(title_text="epoch", dtick=max(1, len(epochs) // 10), row=2, col=1)
    drawn.update_xaxes(dtick=max(1, len(epochs) // 10), row=1, col=1)
    drawn.update_xaxes(title_text="step", row=3, col=1)
    drawn.update_yaxes(rangemode="tozero", row=3, col=1)
    # Each panel has its own legend beside it.
    drawn.update_traces(legend="legend2", row=2, col=1)
    legend = {"orientation": "v", "x": 1.02, "xanchor": "left", "yref": "paper", "yanchor": "top"}
    layout = {"legend": legend | {"y": 1.0}, "legend2": legend | {"y": 0.62}}
    return drawn.update_layout(margin_t=84, **layout)


def _terms(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for record in history for name in record if name.endswith("_weighted"))
    shown = {name: name.removeprefix("loss_").removesuffix("_weighted") for name in names}
    return {shown[name]: [record.get(name) for record in history] for name in names}


def _horizons(history: Sequence[Mapping[str, Any]]) -> list[str]:
    found = (name.removeprefix("val_rank_ic_") for name in (history[0] if history else {}) if "val_rank_ic_" in name)
    return [name for name in found if name.isdigit()]

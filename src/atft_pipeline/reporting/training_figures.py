"""Figures of a training: what it optimised, what it reached, and at which learning rate."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import plotly.graph_objects as go

from atft_pipeline.reporting.theme import COLOURS, PALETTE, panels


def training_curves(history: Sequence[Mapping[str, Any]], rates: Sequence[float]) -> go.Figure:
    """Weighted loss terms and validation RankIC by epoch, the planned learning rate by step.

    Args:
        history: one record an epoch; the models of an ensemble have the same colours.
        rates: learning rate of each step of the whole plan.
    """
    titles = ("loss terms, weighted", "validation RankIC ± one error", "learning rate")
    drawn = panels("Training", rows=3, cols=1, vertical_spacing=0.13, subplot_titles=titles, height=900)
    epochs = max((record["epoch"] for record in history), default=0)
    for place, seed in enumerate(dict.fromkeys(record.get("seed") for record in history)):
        _draw(drawn, [record for record in history if record.get("seed") == seed], first=place == 0)
    line = {"color": COLOURS["oracle"]}
    steps = list(range(len(rates)))
    drawn.add_scatter(x=steps, y=list(rates), mode="lines", name="planned", showlegend=False, line=line, row=3, col=1)
    drawn.update_xaxes(title_text="epoch", dtick=max(1, epochs // 10), row=2, col=1)
    drawn.update_xaxes(dtick=max(1, epochs // 10), row=1, col=1)
    drawn.update_xaxes(title_text="step", row=3, col=1)
    drawn.update_yaxes(rangemode="tozero", row=3, col=1)
    # Each panel has its own legend beside it.
    drawn.update_traces(legend="legend2", row=2, col=1)
    legend = {"orientation": "v", "x": 1.02, "xanchor": "left", "yref": "paper", "yanchor": "top"}
    layout = {"legend": legend | {"y": 1.0}, "legend2": legend | {"y": 0.62}}
    return drawn.update_layout(margin_t=84, **layout)


def _draw(drawn: go.Figure, history: Sequence[Mapping[str, Any]], *, first: bool) -> None:
    """Draw the epochs of one model; only the first one's lines are in the legend."""
    epochs = [record["epoch"] for record in history]
    common: dict[str, Any] = {"x": epochs, "mode": "lines+markers", "showlegend": first}
    for (name, values), shade in zip(_terms(history).items(), cycle(PALETTE), strict=False):
        drawn.add_scatter(y=values, name=name, legendgroup=name, line_color=shade, row=1, col=1, **common)
    for horizon, shade in zip(_horizons(history), cycle(PALETTE), strict=False):
        values = [record[f"val_rank_ic_{horizon}"] for record in history]
        errors = {"array": [record[f"val_rank_ic_{horizon}_se"] for record in history], "thickness": 1}
        line, name = {"color": shade, "dash": "dot"}, f"RankIC {horizon}"
        drawn.add_scatter(y=values, error_y=errors, name=name, legendgroup=name, line=line, row=2, col=1, **common)


def _terms(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for record in history for name in record if name.endswith("_weighted"))
    shown = {name: name.removeprefix("loss_").removesuffix("_weighted") for name in names}
    return {shown[name]: [record.get(name) for record in history] for name in names}


def _horizons(history: Sequence[Mapping[str, Any]]) -> list[str]:
    found = (name.removeprefix("val_rank_ic_") for name in (history[0] if history else {}) if "val_rank_ic_" in name)
    return [name for name in found if name.isdigit()]

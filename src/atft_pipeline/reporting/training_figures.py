"""Figures of a training: what it optimised, what it reached, and at which learning rate."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from atft_pipeline.reporting.theme import COLOURS, SPARE_COLOURS, TEMPLATE

PALETTE = (COLOURS["model"], COLOURS["ridge"], COLOURS["lightgbm"], *SPARE_COLOURS)


def training_curves(history: Sequence[Mapping[str, Any]], rates: Sequence[float]) -> go.Figure:
    """Weighted loss terms and validation RankIC by epoch, the planned learning rate by step.

    Args:
        history: one record an epoch.
        rates: learning rate of each step of the whole plan.
    """
    titles = ("loss terms, weighted", "validation RankIC ± one error", "learning rate")
    drawn = make_subplots(rows=3, cols=1, vertical_spacing=0.13, subplot_titles=titles)
    epochs = [record["epoch"] for record in history]
    for place, (name, values) in enumerate(_terms(history).items()):
        line = {"color": PALETTE[place % len(PALETTE)]}
        drawn.add_scatter(x=epochs, y=values, mode="lines+markers", name=name, line=line, row=1, col=1)
    for place, horizon in enumerate(_horizons(history)):
        values = [record[f"val_rank_ic_{horizon}"] for record in history]
        errors = {"array": [record[f"val_rank_ic_{horizon}_se"] for record in history], "thickness": 1}
        line = {"color": PALETTE[place % len(PALETTE)], "dash": "dot"}
        name = f"RankIC {horizon}"
        drawn.add_scatter(x=epochs, y=values, error_y=errors, mode="lines+markers", name=name, line=line, row=2, col=1)
    line = {"color": COLOURS["oracle"]}
    drawn.add_scatter(x=list(range(len(rates))), y=list(rates), mode="lines", name="planned", line=line, row=3, col=1)
    drawn.update_xaxes(title_text="epoch", dtick=max(1, len(epochs) // 10), row=2, col=1)
    drawn.update_xaxes(dtick=max(1, len(epochs) // 10), row=1, col=1)
    drawn.update_xaxes(title_text="step", row=3, col=1)
    drawn.update_yaxes(rangemode="tozero", row=3, col=1)
    # Titles of the panels stand where the legend usually does.
    layout = {"legend": {"orientation": "v", "x": 1.02, "y": 1.0, "xanchor": "left", "yanchor": "top"}}
    return drawn.update_layout(template=TEMPLATE, title_text="Training", height=900, **layout)


def _terms(history: Sequence[Mapping[str, Any]]) -> dict[str, list[float | None]]:
    names = dict.fromkeys(name for record in history for name in record if name.endswith("_weighted"))
    shown = {name: name.removeprefix("loss_").removesuffix("_weighted") for name in names}
    return {shown[name]: [record.get(name) for record in history] for name in names}


def _horizons(history: Sequence[Mapping[str, Any]]) -> list[str]:
    found = (name.removeprefix("val_rank_ic_") for name in (history[0] if history else {}) if "val_rank_ic_" in name)
    return [name for name in found if name.isdigit()]

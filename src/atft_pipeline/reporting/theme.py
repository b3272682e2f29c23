"""Figures of the evaluation; one template, each answers one question."""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from atft_pipeline.stats.significance import estimate

INK, MUTED, GRID_LINE = "#1f2933", "#616e7c", "#e4e7eb"
COLOURS = {"model": "#2563eb", "ridge": "#d97706", "lightgbm": "#0f9d76", "oracle": "#1f2933", "random": "#9aa5b1"}
DRAWN = ("model", "lightgbm", "ridge", "random", "oracle")
SPARE_COLOURS = ("#a8213b", "#7c3aed", "#0891b2", "#9a6b1f", "#be185d", "#4d7c0f")

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": INK},
        "title": {"font": {"size": 16}, "x": 0, "xref": "paper", "xanchor": "left", "yanchor": "top", "y": 0.97},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 72, "r": 24, "t": 84, "b": 64},
        "hoverlabel": {"bgcolor": "white", "font": {"color": INK}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        "xaxis": {
            "gridcolor": GRID_LINE,
            "linecolor": GRID_LINE,
            "zeroline": False,
            "title": {"font": {"color": MUTED}},
        },
        "yaxis": {"gridcolor": GRID_LINE, "zerolinecolor": MUTED, "title": {"font": {"color": MUTED}}},
    }
)


def colour(name: str, position: int = 0) -> str:
    """Colour of a score, the same in all figures."""
    return COLOURS.get(name, SPARE_COLOURS[position % len(SPARE_COLOURS)])


def transparent(hex_colour: str, opacity: float) -> str:
    """A ``#rrggbb`` colour with an opacity, for bands."""
    red, green, blue = (int(hex_colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def figure(title: str, x: str, y: str) -> go.Figure:
    """An empty figure in the style of the report."""
    drawn = go.Figure().update_layout(template=TEMPLATE, title_text=title, xaxis_title=x, yaxis_title=y, height=420)
    return drawn.update_xaxes(automargin=True).update_yaxes(automargin=True)


def cumulative_rank_ic(daily: pl.DataFrame, horizon: int) -> go.Figure:
    """Running sum of the daily RankIC of the main scores; the band is the model's own 95 % uncertainty of that sum.

    Args:
        daily: table of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
        horizon: which horizon to draw.
    """
    drawn = figure(f"Cumulative RankIC, {horizon}-session horizon", "", "sum of daily RankIC")
    rows = daily.filter((pl.col("horizon") == horizon) & pl.col("score").is_in(DRAWN))
    for position, (name, group) in enumerate(rows.group_by("score", maintain_order=True)):
        days = group.drop_nulls("rank_ic")
        values = days["rank_ic"].to_numpy()
        total, dates = np.cumsum(values), days["Date"].to_list()
        shade = colour(str(name[0]), position)
        if name[0] == "model" and values.size > 1:
            # The sum of n days has the error n * se(mean of n days) = se(all days) * sqrt(n * all).
            band = 1.96 * estimate(values, horizon).se * np.sqrt(np.arange(1, values.size + 1) * values.size)
            drawn.add_scatter(
                x=dates + dates[::-1],
                y=np.concatenate([total + band, (total - band)[::-1]]),
                fill="toself",
                fillcolor=transparent(shade, 0.12),
                line_width=0,
                hoverinfo="skip",
                name="model, 95 % band",
            )
        drawn.add_scatter(
            x=dates,
            y=total,
            mode="lines",
            name=str(name[0]),
            line={
                "color": shade,
                "width": 2.6 if name[0] == "model" else 1.6,
                "dash": "dot" if name[0] == "oracle" else "solid",
            },
            hovertemplate="%{x|%Y-%m-%d}: %{y:.2f}<extra>" + str(name[0]) + "</extra>",
        )
    return drawn


def decile_returns(metrics: dict[str, Any], horizon: int) -> go.Figure:
    """Mean return of each score decile with its 95 % interval, model beside ridge where there is one.

    Args:
        metrics: of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
        horizon: which horizon to draw.
    """
    title = f"Mean {horizon}-session return by score decile"
    drawn = figure(title, "decile of the score (1 = lowest)", "mean return, bp").update_layout(bargap=0.25)
    scores = metrics["horizons"][str(horizon)]["scores"]
    for name in [name for name in ("model", "lightgbm", "ridge") if name in scores]:
        buckets = scores[name]["decile_returns"]
        drawn.add_bar(
            x=list(range(1, len(buckets) + 1)),
            y=[in_bp(bucket["mean"]) for bucket in buckets],
            error_y={
                "array": [1.96 * (in_bp(bucket["se"]) or 0.0) for bucket in buckets],
                "color": MUTED,
                "thickness": 1.2,
                "width": 3,
            },
            marker_color=colour(name),
            name=name,
            hovertemplate="decile %{x}: %{y:.1f} bp<extra>" + name + "</extra>",
        )
    return drawn.update_xaxes(dtick=1)


def in_bp(value: float | None) -> float | None:
    """A fraction in basis points."""
    return None if value is None else 1e4 * value

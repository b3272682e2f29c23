"""The look of every figure: one template in a light and a dark form, and one colour for one thing."""

from typing import Any

import plotly.graph_objects as go
import plotly.io
from plotly.subplots import make_subplots

# All of them can be read on a light and on a dark ground.
MUTED, GOOD, BAD = "#7b8794", "#0f9d76", "#d1435b"
COLOURS = {"model": "#3b7bf2", "ridge": "#d97706", "lightgbm": GOOD, "oracle": "#8b5cf6", "random": "#9aa5b1"}
SPARE_COLOURS = (BAD, "#0891b2", "#9a6b1f", "#be185d", "#4d7c0f", "#7b8794")
"""Of what has no colour of its own."""
PALETTE = (COLOURS["model"], COLOURS["ridge"], COLOURS["lightgbm"], COLOURS["oracle"], *SPARE_COLOURS)
"""Colours of traces for which none is set, in order."""
PRICES = {"raw": MUTED, "clean": COLOURS["model"], "universe": GOOD}
"""Rows of prices: as they came, after cleaning, in the universe of their day."""


def _template(ink: str, muted: str, ground: str, grid: str) -> go.layout.Template:
    axis = {"gridcolor": grid, "linecolor": grid, "zeroline": False, "automargin": True, "ticklabelstandoff": 5}
    error = {"thickness": 1.3, "width": 3}
    # Those of a line have its own colour.
    bar, line = ({"error_x": look, "error_y": look} for look in (error | {"color": muted}, error))
    return go.layout.Template(
        data={"bar": [bar], "scatter": [line]},
        layout={
            "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": ink},
            "title": {"font": {"size": 16}, "x": 0, "xref": "paper", "xanchor": "left", "yanchor": "top", "y": 0.97},
            "paper_bgcolor": ground,
            "plot_bgcolor": ground,
            "colorway": PALETTE,
            "margin": {"l": 72, "r": 24, "t": 84, "b": 40},
            "bargap": 0.25,
            "hoverlabel": {"bgcolor": ground, "font": {"color": ink}},
            "legend": {"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
            "xaxis": axis | {"title": {"font": {"color": muted}, "standoff": 10}},
            "yaxis": axis | {"title": {"font": {"color": muted}}, "zerolinecolor": muted},
        },
    )


LIGHT = _template("#1f2933", "#616e7c", "#ffffff", "#e4e7eb")
DARK = _template("#e4e7eb", "#9aa5b1", "#181f27", "#323f4b")
THEME = "atft"
plotly.io.templates[THEME] = LIGHT


def colour(name: str, position: int = 0) -> str:
    """Colour of a score, the same in all figures."""
    return COLOURS.get(name, SPARE_COLOURS[position % len(SPARE_COLOURS)])


def transparent(hex_colour: str, opacity: float) -> str:
    """A ``#rrggbb`` colour with an opacity, for bands."""
    red, green, blue = (int(hex_colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def figure(title: str = "", x: str = "", y: str = "", height: int = 420) -> go.Figure:
    """An empty figure with the names of its axes."""
    return go.Figure().update_layout(template=THEME, title_text=title, xaxis_title=x, yaxis_title=y, height=height)


def panels(title: str = "", *, height: int = 420, **grid: Any) -> go.Figure:
    """An empty figure of several panels.

    Args:
        title: of the whole.
        height: in pixels.
        grid: as :func:`plotly.subplots.make_subplots` takes it.
    """
    drawn = make_subplots(**grid)
    # Titles of the panels stand where the legend usually does: it stands above them, below the title of the whole.
    above = 44 if title else 4
    legend = {"yref": "container", "y": 1 - above / height, "yanchor": "top"}
    return drawn.update_layout(
        template=THEME, title_text=title, height=height, legend=legend, margin_t=64 + above, title_y=1 - 12 / height
    )

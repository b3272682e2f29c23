"""The evaluation as one HTML page that needs no network: conclusions first, then the evidence."""

from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.io import to_html
from plotly.offline import get_plotlyjs

from atft_pipeline.reporting.conclusions import NAMES, conclusions
from atft_pipeline.reporting.evaluation_figures import (
    PORTFOLIO_NAMES,
    SLICES,
    edge_attention,
    importance,
    lag_attention,
)

COLUMNS = (
    ("rank_ic", "RankIC", 1.0, 4),
    ("ic", "IC", 1.0, 4),
    ("icir", "ICIR", 1.0, 2),
    ("positive_days", "days > 0, %", 100.0, 0),
    ("hit_rate", "hit rate, %", 100.0, 1),
    ("decile_spread", "decile spread, bp", 1e4, 0),
    ("monotonicity", "monotonicity", 1.0, 2),
    ("top_precision", "top decile kept, %", 100.0, 1),
    ("top_k_precision", "top k above median, %", 100.0, 1),
    ("autocorrelation", "autocorrelation", 1.0, 2),
    ("top_turnover", "top decile new, %", 100.0, 0),
    ("coverage", "coverage, %", 100.0, 1),
)


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
    environment = Environment(
        loader=PackageLoader("atft_pipeline.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"estimate": estimate_cell, "span": span_cell, "money": money}
    horizon = str(metrics["headline"])
    return environment.get_template("evaluation.html.j2").render(
        metrics=metrics,
        part=metrics["horizons"][horizon],
        horizon=horizon,
        conclusions=conclusions(metrics),
        columns=COLUMNS,
        portfolios=PORTFOLIO_NAMES,
        kinds=SLICES,
        names=NAMES,
        figures={name: plot(drawn) for name, drawn in figures.items()},
        explanation=_explanation(explanation),
        plotlyjs=Markup(get_plotlyjs()),  # noqa: S704  (plotly's own script)
    )


def plot(drawn: go.Figure) -> Markup:
    """A figure as a fragment of the page; the script stands at its head once."""
    fragment: str = to_html(
        drawn, include_plotlyjs=False, full_html=False, config={"displayModeBar": False, "responsive": True}
    )
    return Markup(fragment)  # noqa: S704  (made by plotly, which escapes its texts)


def estimate_cell(row: dict[str, Any] | None, scale: float = 1.0, digits: int = 4) -> str:
    """``value ± error``, or the value with its interval where it has no error; a dash where undefined."""
    if row is None:
        return "–"
    value = row["mean"] if "mean" in row else row.get("rank_ic_difference", row.get("value"))
    if value is None:
        return "–"
    shown = f"{scale * value:,.{digits}f}"
    if row.get("se") is not None:
        return f"{shown} ± {scale * row['se']:,.{digits}f}"
    interval = span_cell(row, scale, digits)
    return shown if interval == "–" else f"{shown} [{interval}]"


def span_cell(row: dict[str, Any] | None, scale: float = 1.0, digits: int = 4) -> str:
    """Both ends of an interval; a dash where undefined."""
    if row is None or row.get("low") is None or row.get("high") is None:
        return "–"
    return f"{scale * row['low']:,.{digits}f} to {scale * row['high']:,.{digits}f}"


def money(row: dict[str, Any] | None) -> str:
    """A sum in thousands or millions with its error; a dash where undefined."""
    if row is None or row["mean"] is None:
        return "–"
    unit, word = (1e6, "M") if row["mean"] >= 1e6 else (1e3, "k")
    error = "" if row["se"] is None else f" ± {row['se'] / unit:,.1f}"
    return f"{row['mean'] / unit:,.1f}{error} {word}"


def _explanation(explanation: dict[str, Any] | None) -> list[Markup]:
    """Figures of what the model looks at, where it is known."""
    if explanation is None:
        return []
    drawn = []
    if explanation.get("features"):
        drawn.append(plot(importance(explanation["features"], explanation.get("features_sd"))))
    if explanation.get("lags"):
        drawn.append(plot(lag_attention(explanation["lags"], explanation.get("lags_sd"))))
    if explanation.get("edges"):
        drawn.append(plot(edge_attention(explanation["edges"], explanation["gate"], explanation.get("edges_sd"))))
    return drawn

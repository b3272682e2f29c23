"""Figures of the data-quality page, one function each, from the plain report."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from atft_pipeline.reporting.theme import BAD, COLOURS, PALETTE, PRICES, figure, panels

# Rows a million at which the colours of the rules' heat map end.
HEAT_END = 10_000.0


def quality_figures(report: dict[str, Any]) -> dict[str, go.Figure]:
    """Every figure of the page by name.

    Args:
        report: of :func:`~atft_pipeline.prices.quality_report.quality_report`.
    """
    return {
        "rows_and_codes": rows_and_codes(report),
        "touched": touched(report),
        "coverage": coverage(report),
        "exclusions": exclusions(report),
        "tails": tails(report),
        "calendar": calendar(report),
    }


def rows_and_codes(report: dict[str, Any]) -> go.Figure:
    """Rows and codes a year: as they came, after cleaning, and those in the universe on one day or more."""
    years = report["years"]
    label = [str(row["year"]) for row in years]
    drawn = panels(rows=1, cols=2, subplot_titles=("rows", "codes"), height=380)
    bars = (
        ("raw", "raw_rows", 1),
        ("clean", "rows", 1),
        ("universe", "universe_rows", 1),
        ("raw", "raw_codes", 2),
        ("clean", "codes", 2),
        ("universe", "universe_codes", 2),
    )
    for name, key, column in bars:
        look = {"marker_color": PRICES[name], "legendgroup": name, "showlegend": column == 1}
        drawn.add_bar(x=label, y=_pick(years, key), name=name, **look, row=1, col=column)
    return drawn.update_xaxes(type="category")


def touched(report: dict[str, Any]) -> go.Figure:
    """What each rule touched, in all and by year."""
    rules = [rule for rule in report["rules"] if rule["rows"]][::-1]
    drawn = panels(rows=1, cols=2, column_widths=[0.42, 0.58], horizontal_spacing=0.16)
    drawn.add_bar(
        y=_pick(rules, "rule"),
        x=_pick(rules, "rows"),
        orientation="h",
        text=[f"{count:,}" for count in _pick(rules, "rows")],
        textposition="auto",
        marker_color=PRICES["clean"],
        showlegend=False,
        row=1,
        col=1,
    )
    years = [str(row["year"]) for row in report["years"]]
    totals = {str(row["year"]): max(row["raw_rows"], 1) for row in report["years"]}
    heat = [[1e6 * rule["years"].get(year, 0) / totals[year] for year in years] for rule in rules]
    drawn.add_heatmap(
        z=[[min(value, HEAT_END) if value > 0 else None for value in line] for line in heat],
        x=years,
        y=_pick(rules, "rule"),
        customdata=heat,
        hovertemplate="%{y} %{x}<br>%{customdata:,.1f} rows a million<extra></extra>",
        colorscale=[[0, "#c9dcfe"], [0.1, "#9dbffc"], [0.4, "#6a9bf8"], [1, "#1e3a8a"]],
        colorbar={"title": "rows a<br>million"},
        row=1,
        col=2,
    )
    drawn.update_xaxes(type="log", dtick=1, title="rows touched", row=1, col=1)
    drawn.update_xaxes(type="category", row=1, col=2)
    return drawn.update_layout(height=120 + 44 * max(len(rules), 3), margin_t=16)


def coverage(report: dict[str, Any]) -> go.Figure:
    """Listings a month, and the fraction of sessions that a listing has between its first and last day."""
    months, bins = report["coverage"]["months"], report["coverage"]["presence_bins"]
    titles = ("listings a session", "fraction of sessions present")
    drawn = panels(rows=1, cols=2, column_widths=[0.62, 0.38], subplot_titles=titles, height=380)
    for name, key, color in (("listed", "listed", PRICES["clean"]), ("in universe", "universe", PRICES["universe"])):
        drawn.add_scatter(x=_pick(months, "month"), y=_pick(months, key), name=name, line_color=color, row=1, col=1)
    drawn.add_bar(
        x=[f"{row['from']:.0%}" for row in bins],
        y=_pick(bins, "listings"),
        marker_color=PRICES["clean"],
        showlegend=False,
        row=1,
        col=2,
    )
    drawn.update_yaxes(rangemode="tozero", row=1, col=1)
    drawn.update_yaxes(type="log", dtick=1, title="listings", row=1, col=2)
    return drawn.update_xaxes(type="category", nticks=11, row=1, col=2)


def exclusions(report: dict[str, Any]) -> go.Figure:
    """Share of rows that each reason keeps out of the universe, a year."""
    table = report["exclusions"]
    drawn = figure(y="fraction of clean rows", height=380).update_layout(margin_t=48)
    reasons = [key for key in (table[0] if table else {}) if key not in ("year", "rows")]
    for reason, color in zip(reasons, PALETTE, strict=False):
        fractions = [row[reason] / max(row["rows"], 1) for row in table]
        drawn.add_bar(x=[str(row["year"]) for row in table], y=fractions, name=reason, marker_color=color)
    return drawn.update_yaxes(tickformat=".0%").update_xaxes(type="category")


def tails(report: dict[str, Any]) -> go.Figure:
    """How many one-day returns are at least as large as a size, on logarithmic axes."""
    returns = report["returns"]
    drawn = panels(rows=1, cols=2, subplot_titles=("losses", "gains"), shared_yaxes=True)
    for column, side in enumerate(("losses", "gains"), start=1):
        for name, color in PRICES.items():
            total = max(returns[name]["all"][0], 1)
            drawn.add_scatter(
                x=returns["sizes"],
                y=[count / total if count else None for count in returns[name][side]],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                line_color=color,
                row=1,
                col=column,
            )
    drawn.update_xaxes(type="log", dtick=1, tickformat=",.1~%", title="at least this size")
    drawn.update_yaxes(type="log", exponentformat="power", dtick=1)
    return drawn.update_yaxes(title="fraction of returns", row=1, col=1)


def calendar(report: dict[str, Any]) -> go.Figure:
    """Rows of each session; gaps between sessions and sessions with few rows are marked."""
    found = report["calendar"]
    drawn = figure(y="rows a session", height=380).update_layout(margin_t=48)
    line = {"color": PRICES["clean"], "width": 1.2}
    drawn.add_scatter(x=found["sessions"]["date"], y=found["sessions"]["rows"], mode="lines", name="rows", line=line)
    sparse = found["sparse_sessions"]
    drawn.add_scatter(
        x=_pick(sparse, "Date"),
        y=_pick(sparse, "rows"),
        mode="markers",
        name="session with few rows",
        marker={"color": BAD, "size": 9, "symbol": "circle-open", "line": {"width": 2}},
    )
    for hole in found["holes"]:
        drawn.add_vrect(x0=hole["before"], x1=hole["after"], fillcolor=COLOURS["ridge"], opacity=0.45, line_width=0)
    # A rectangle has no entry in the legend; this empty bar stands for all of them.
    drawn.add_bar(x=[None], y=[None], name="hole of more than four days", marker_color=COLOURS["ridge"])
    return drawn.update_yaxes(rangemode="tozero")


def _pick(rows: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """Take one key of each row."""
    return [row[key] for row in rows]

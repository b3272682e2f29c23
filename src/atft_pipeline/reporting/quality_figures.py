"""Figures of the data-quality page, one function each, from the plain report."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

INK, MUTED, GRID = "#1f2933", "#9aa5b1", "#e4e7eb"
BLUE, ORANGE, GREEN, RED, PURPLE = "#2563eb", "#ea8c1c", "#12906d", "#d1435b", "#7c5cd6"


def styled(figure: Any, height: int = 380) -> Any:
    """Give a figure the look of the page."""
    figure.update_layout(
        height=height,
        margin={"l": 60, "r": 24, "t": 64, "b": 48},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 13, "color": INK},
        legend={"orientation": "h", "y": 1.1, "yanchor": "bottom", "x": 0},
        hoverlabel={"bgcolor": "white"},
        bargap=0.25,
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=MUTED, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=MUTED, automargin=True)
    return figure


def rows_and_codes(report: dict[str, Any]) -> Any:
    """Draw rows and codes a year, as they came and after cleaning."""
    years = report["years"]
    label = [str(row["year"]) for row in years]
    figure = make_subplots(rows=1, cols=2, subplot_titles=("rows", "codes"))
    series = (("raw", "raw_rows", "raw_codes", MUTED), ("clean", "rows", "codes", BLUE))
    for name, rows, codes, color in series:
        figure.add_bar(x=label, y=_pick(years, rows), name=name, marker_color=color, legendgroup=name, row=1, col=1)
        figure.add_bar(
            x=label,
            y=_pick(years, codes),
            name=name,
            marker_color=color,
            legendgroup=name,
            showlegend=False,
            row=1,
            col=2,
        )
    figure.add_bar(x=label, y=_pick(years, "universe_rows"), name="in universe", marker_color=GREEN, row=1, col=1)
    figure.update_xaxes(type="category")
    return styled(figure)


def touched(report: dict[str, Any]) -> Any:
    """Draw what each rule touched, by year."""
    rules = [rule for rule in report["rules"] if rule["rows"]][::-1]
    figure = make_subplots(rows=1, cols=2, column_widths=[0.42, 0.58], horizontal_spacing=0.16)
    figure.add_bar(
        y=_pick(rules, "rule"),
        x=_pick(rules, "rows"),
        orientation="h",
        text=[f"{count:,}" for count in _pick(rules, "rows")],
        textposition="auto",
        marker_color=BLUE,
        showlegend=False,
        row=1,
        col=1,
    )
    years = [str(row["year"]) for row in report["years"]]
    shares = {str(row["year"]): max(row["raw_rows"], 1) for row in report["years"]}
    heat = [[1e6 * rule["years"].get(year, 0) / shares[year] for year in years] for rule in rules]
    shown = [[value if value > 0 else None for value in line] for line in heat]
    figure.add_heatmap(
        z=[[None if value is None else min(value, 10_000.0) for value in line] for line in shown],
        x=years,
        y=_pick(rules, "rule"),
        customdata=heat,
        hovertemplate="%{y} %{x}<br>%{customdata:,.1f} rows a million<extra></extra>",
        colorscale=[[0, "#eef4ff"], [0.1, "#bfd4fe"], [0.4, "#6a9bf8"], [1, "#1e3a8a"]],
        colorbar={"title": "rows a<br>million"},
        row=1,
        col=2,
    )
    figure.update_xaxes(type="log", title="rows touched", row=1, col=1)
    figure.update_xaxes(type="category", row=1, col=2)
    return styled(figure, 120 + 44 * max(len(rules), 3))


def coverage(report: dict[str, Any]) -> Any:
    """Draw listings a month, and the share of sessions that a listing has between its first and last day."""
    months, bins = report["coverage"]["months"], report["coverage"]["share_bins"]
    figure = make_subplots(
        rows=1, cols=2, column_widths=[0.62, 0.38], subplot_titles=("listings a session", "share of sessions present")
    )
    for name, key, color in (("listed", "listed", MUTED), ("in universe", "universe", GREEN)):
        figure.add_scatter(
            x=_pick(months, "month"), y=_pick(months, key), name=name, line={"color": color, "width": 2}, row=1, col=1
        )
    figure.add_bar(
        x=[f"{row['from']:.0%}" for row in bins],
        y=_pick(bins, "listings"),
        marker_color=BLUE,
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_yaxes(rangemode="tozero", row=1, col=1)
    figure.update_yaxes(type="log", title="listings", row=1, col=2)
    figure.update_xaxes(type="category", row=1, col=2)
    return styled(figure)


def exclusions(report: dict[str, Any]) -> Any:
    """Draw the share of rows that each reason keeps out of the universe, a year."""
    table = report["exclusions"]
    figure = go.Figure()
    reasons = [key for key in (table[0] if table else {}) if key not in ("year", "rows")]
    for reason, color in zip(reasons, (MUTED, GREEN, BLUE, ORANGE, RED, PURPLE), strict=True):
        figure.add_bar(
            x=[str(row["year"]) for row in table],
            y=[row[reason] / max(row["rows"], 1) for row in table],
            name=reason,
            marker_color=color,
        )
    figure.update_yaxes(tickformat=".0%", title="share of clean rows")
    figure.update_xaxes(type="category")
    return styled(figure)


def tails(report: dict[str, Any]) -> Any:
    """Draw how many one-day returns are at least as large as a size, on logarithmic axes."""
    returns = report["returns"]
    figure = make_subplots(rows=1, cols=2, subplot_titles=("losses", "gains"), shared_yaxes=True)
    for column, side in enumerate(("losses", "gains"), start=1):
        for name, color in (("raw", MUTED), ("clean", BLUE), ("universe", GREEN)):
            total = max(returns[name]["all"][0], 1)
            figure.add_scatter(
                x=returns["sizes"],
                y=[count / total if count else None for count in returns[name][side]],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": color, "width": 2},
                row=1,
                col=column,
            )
    figure.update_xaxes(type="log", tickformat=".1%", title="at least this size")
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(title="share of returns", row=1, col=1)
    return styled(figure, 420)


def calendar(report: dict[str, Any]) -> Any:
    """Draw the rows of each session and mark the gaps between sessions."""
    calendar_ = report["calendar"]
    days, rows = calendar_["sessions"]["date"], calendar_["sessions"]["rows"]
    figure = go.Figure(go.Scatter(x=days, y=rows, mode="lines", name="rows", line={"color": BLUE, "width": 1.2}))
    thin = calendar_["thin_sessions"]
    figure.add_scatter(
        x=_pick(thin, "Date"),
        y=_pick(thin, "rows"),
        mode="markers",
        name="session with few rows",
        marker={"color": RED, "size": 9, "symbol": "circle-open", "line": {"width": 2}},
    )
    for hole in calendar_["holes"]:
        figure.add_vrect(x0=hole["before"], x1=hole["after"], fillcolor=ORANGE, opacity=0.45, line_width=0)
    # A rectangle has no entry in the legend; this empty bar stands for all of them.
    figure.add_bar(x=[None], y=[None], name="hole of more than four days", marker_color=ORANGE)
    figure.update_yaxes(rangemode="tozero", title="rows a session")
    return styled(figure)


def _pick(rows: Sequence[dict[str, Any]], key: str) -> list[Any]:
    """Take one key of each row."""
    return [row[key] for row in rows]

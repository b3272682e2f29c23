"""Figures of portfolios, comparisons, slices, calibration and drift; and the set of all figures of an evaluation."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl

from atft_pipeline.evaluation.evaluate import Evaluation
from atft_pipeline.evaluation.grid import Dates
from atft_pipeline.evaluation.portfolio.backtest import Backtest
from atft_pipeline.reporting.conclusions import PORTFOLIO_NAMES
from atft_pipeline.reporting.theme import BAD, MUTED, SPARE_COLOURS, colour, figure, transparent
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.significance import estimate

WIDE = 1.96
BASIS_POINTS = 1e4
DRAWN = ("model", "lightgbm", "ridge", "ridge+lightgbm", "random", "oracle")
SLICES = ("year", "regime", "size", "volatility", "universe", "sector", "others")


def all_figures(evaluation: Evaluation) -> dict[str, go.Figure]:
    """Every figure of the headline horizon by name."""
    metrics, horizon = evaluation.metrics, evaluation.metrics["headline"]
    part = metrics["horizons"][str(horizon)]
    return {
        "cumulative_rank_ic": cumulative_rank_ic(evaluation.daily, horizon),
        "decile_returns": decile_returns(metrics, horizon),
        "paired_differences": paired_differences(metrics),
        "backtests": backtests(evaluation.sessions, evaluation.backtests, horizon),
        "rank_ic_by_month": rank_ic_by_month(part, horizon),
        "rank_ic_by_slice": rank_ic_by_slice(part, horizon),
        "calibration": calibration(part, horizon),
        "score_drift": score_drift(part, horizon),
    }


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
            band = WIDE * estimate(values, horizon).se * np.sqrt(np.arange(1, values.size + 1) * values.size)
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
        )
    return drawn


def decile_returns(metrics: dict[str, Any], horizon: int) -> go.Figure:
    """Mean return of each score decile with its 95 % interval, model beside ridge where there is one.

    Args:
        metrics: of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
        horizon: which horizon to draw.
    """
    title = f"Mean {horizon}-session return by score decile"
    drawn = figure(title, "decile of the score (1 = lowest)", "mean return, bp")
    scores = metrics["horizons"][str(horizon)]["scores"]
    for name in [name for name in ("model", "lightgbm", "ridge") if name in scores]:
        buckets = scores[name]["decile_returns"]
        drawn.add_bar(
            x=list(range(1, len(buckets) + 1)),
            y=[None if bucket["mean"] is None else BASIS_POINTS * bucket["mean"] for bucket in buckets],
            error_y=_interval(buckets, BASIS_POINTS),
            marker_color=colour(name),
            name=name,
        )
    return drawn.update_xaxes(dtick=1)


def paired_differences(metrics: dict[str, Any]) -> go.Figure:
    """RankIC of the model less that of each other score, with 95 % intervals, every horizon."""
    drawn = figure("Model less baseline, same rows and days", "difference of mean daily RankIC, 95 % interval", "")
    horizons = list(metrics["horizons"])
    names = [name for name in metrics["horizons"][horizons[0]]["paired"] if not name.startswith("oracle")]
    # Lighter for shorter horizons.
    shades = [transparent(colour("model"), round(share, 2)) for share in np.linspace(1, 0.4, len(horizons))[::-1]]
    for position, horizon in enumerate(horizons):
        paired = metrics["horizons"][horizon]["paired"]
        shown = [name for name in names if name in paired and paired[name]["rank_ic_difference"] is not None]
        shift = 0.6 * ((position + 0.5) / len(horizons) - 0.5)
        drawn.add_scatter(
            x=[paired[name]["rank_ic_difference"] for name in shown],
            y=[names.index(name) + shift for name in shown],
            error_x=_interval([paired[name] for name in shown]),
            mode="markers",
            marker={"size": 7, "color": shades[position]},
            name=_sessions(int(horizon)),
            customdata=shown,
            hovertemplate="less %{customdata}: %{x:+.4f}",
        )
    drawn.add_vline(x=0, line_color=MUTED, line_width=1)
    drawn.update_layout(height=190 + 46 * len(names))
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.4, -0.6]}
    return drawn.update_yaxes(**ticks, zeroline=False)


def backtests(sessions: Dates, paths: dict[str, Backtest], horizon: int) -> go.Figure:
    """Sum of the session returns of the model's portfolios after costs; dotted before costs."""
    drawn = figure(f"Portfolios of the model, held {_sessions(horizon)}", y="sum of returns, % (dotted: before costs)")
    dates = sessions.astype("datetime64[D]").tolist()
    for position, (name, backtest) in enumerate(paths.items()):
        shade = colour("model") if name == "long_short" else SPARE_COLOURS[position % len(SPARE_COLOURS)]
        label = PORTFOLIO_NAMES.get(name, name)
        shown = {"x": dates, "mode": "lines", "name": label, "legendgroup": name}
        for series, line in ((backtest.net, {"width": 2.2}), (backtest.gross, {"width": 1.2, "dash": "dot"})):
            total = 100 * np.cumsum(np.nan_to_num(series))
            drawn.add_scatter(y=total, showlegend=series is backtest.net, line={"color": shade, **line}, **shown)
    return drawn


def rank_ic_by_month(part: dict[str, Any], horizon: int) -> go.Figure:
    """Mean RankIC of the model in each month, with 95 % intervals."""
    rows = part["slices"]["month"]
    drawn = figure(f"RankIC by month, {_sessions(horizon)}", "", "mean daily RankIC")
    values = [row["model"]["mean"] for row in rows]
    drawn.add_bar(
        x=[row["name"] for row in rows],
        y=values,
        error_y=_interval([row["model"] for row in rows]),
        marker_color=[colour("model") if (value or 0) >= 0 else BAD for value in values],
        showlegend=False,
    )
    return drawn.update_layout(height=340, margin_t=56).update_xaxes(type="category", nticks=24)


def rank_ic_by_slice(part: dict[str, Any], horizon: int) -> go.Figure:
    """RankIC of the model in each slice, with 95 % intervals."""
    drawn = figure(f"RankIC by slice, {_sessions(horizon)}", "mean daily RankIC within the slice, 95 % interval", "")
    rows = 0
    for position, kind in enumerate(kind for kind in SLICES if part["slices"].get(kind)):
        found = [row for row in part["slices"][kind] if row["model"]["mean"] is not None]
        rows += len(found)
        drawn.add_scatter(
            x=[row["model"]["mean"] for row in found],
            y=[f"{kind}: {row['name']}" for row in found],
            error_x=_interval([row["model"] for row in found]),
            mode="markers",
            marker={"size": 8, "color": (colour("model"), *SPARE_COLOURS)[position]},
            name=kind,
        )
    whole = part["scores"]["model"]["rank_ic"]["mean"]
    if whole is not None:
        drawn.add_vline(x=whole, line_dash="dot", line_color=MUTED, annotation_text="all", annotation_font_color=MUTED)
    drawn.add_vline(x=0, line_color=MUTED, line_width=1)
    return drawn.update_layout(height=180 + 24 * rows).update_yaxes(autorange="reversed", type="category", dtick=1)


def calibration(part: dict[str, Any], horizon: int) -> go.Figure:
    """Share of targets below each predicted quantile, against its level."""
    drawn = figure(f"Calibration of the quantiles, {_sessions(horizon)}", "level", "share of targets below")
    if part["quantiles"] is None:
        place = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper", "showarrow": False}
        return drawn.add_annotation(text="the model has no quantile head", **place)
    rows = part["quantiles"]["levels"]
    drawn.add_scatter(x=[0, 1], y=[0, 1], mode="lines", name="perfect", line={"color": MUTED, "dash": "dot"})
    drawn.add_scatter(
        x=[row["level"] for row in rows],
        y=[row["below"]["mean"] for row in rows],
        error_y=_interval([row["below"] for row in rows]),
        mode="lines+markers",
        name="model",
        line_color=colour("model"),
    )
    return drawn


def score_drift(part: dict[str, Any], horizon: int) -> go.Figure:
    """Population stability index of the model's scores by month, with the usual marks."""
    drift = part["drift"]
    title = f"Drift of the scores against {drift['reference']}, {_sessions(horizon)}"
    drawn = figure(title, "", "population stability index")
    rows = drift["months"]
    shown = (("psi", "scores as they are", MUTED), ("shape_psi", "day's mean and spread taken out", colour("model")))
    for key, words, hue in shown:
        months, values = [row["month"] for row in rows], [row[key] for row in rows]
        drawn.add_bar(x=months, y=values, name=words, marker_color=transparent(hue, 0.75))
    words_at = {"annotation_position": "top left", "annotation_font_color": MUTED}
    for level, words in ((0.1, "0.1: stable below"), (0.25, "0.25: another population above")):
        drawn.add_hline(y=level, line_dash="dot", line_color=MUTED, annotation_text=words, **words_at)
    top = max([0.3, *(row[key] for row in rows for key, *_ in shown if row[key] is not None)])
    drawn.update_layout(height=340, margin_t=56, barmode="group")
    return drawn.update_yaxes(range=[0, 1.15 * top]).update_xaxes(type="category", nticks=24)


def importance(weights: dict[str, float], deviations: dict[str, float] | None = None, most: int = 30) -> go.Figure:
    """The features with the largest weights of the variable selection, and how much the weights vary by day."""
    top = sorted(weights, key=lambda name: -weights[name])[:most]
    drawn = figure("Weights of the variable selection (1 = an equal share)", "mean weight")
    spread = None if deviations is None else {"array": [deviations[name] for name in top]}
    values = [weights[name] for name in top]
    drawn.add_bar(x=values, y=top, error_x=spread, orientation="h", marker_color=colour("model"))
    return drawn.update_layout(height=160 + 20 * len(top)).update_yaxes(autorange="reversed", dtick=1)


def lag_attention(lags: Floats, deviations: Floats | None = None) -> go.Figure:
    """Mean attention of the last step on each step of the window, the newest at the right."""
    drawn = figure("Attention over the window", "sessions before the day", "mean attention")
    return _attention(drawn, range(1 - len(lags), 1), lags, deviations)


def edge_attention(edges: Floats, gate: float, deviations: Floats | None = None) -> go.Figure:
    """Mean attention of the graph on the nearest neighbour, the next one and so on, and how far its gates are open."""
    title = f"Attention over the neighbours (gates of the graph: {100 * gate:.0f} % open)"
    drawn = figure(title, "neighbour, the most correlated first", "mean attention")
    return _attention(drawn, range(1, len(edges) + 1), edges, deviations)


def _attention(drawn: go.Figure, at: Iterable[int], values: Floats, deviations: Floats | None) -> go.Figure:
    spread = None if deviations is None else {"array": list(deviations)}
    return drawn.add_bar(x=list(at), y=list(values), error_y=spread, marker_color=colour("model"))


def _interval(rows: Iterable[Mapping[str, Any]], scale: float = 1.0) -> dict[str, list[float]]:
    """Half of the 95 % interval of each estimate, as error bars take it."""
    return {"array": [scale * WIDE * (row["se"] or 0.0) for row in rows]}


def _sessions(horizon: int) -> str:
    return "1 session" if horizon == 1 else f"{horizon} sessions"

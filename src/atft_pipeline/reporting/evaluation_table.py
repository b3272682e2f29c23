"""The results as text for a terminal."""

from functools import partial
from typing import Any

from rich.table import Table

from atft_pipeline.reporting.cells import estimate, fixed
from atft_pipeline.reporting.conclusions import PORTFOLIO_NAMES, conclusions
from atft_pipeline.reporting.console import indented, table, terminal_text

# What a terminal shows of the horizons that are not the headline; everything is in the report.
BRIEF_SCORES = ("model", "ridge", "lightgbm", "ridge+lightgbm", "oracle")
BRIEF_PORTFOLIOS = ("long_short", "top_k")


# Columns are narrow.
cell = partial(estimate, gap="")


def results_table(metrics: dict[str, Any]) -> str:
    """Lay the main numbers out: scores and portfolios by horizon, conclusions at the headline horizon.

    Args:
        metrics: of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
    """
    head = f"{metrics['days']} days, {metrics['rows']:,} rows, {metrics['first']} to {metrics['last']}"
    tables = [_scores(metrics)]
    if any("long_short" in report["portfolios"] for report in metrics["horizons"].values()):
        tables.append(_portfolios(metrics))
    lines = [indented(f"{conclusion.level:>5}  ", conclusion.text) for conclusion in conclusions(metrics)]
    return terminal_text([head, *tables, *lines])


def _scores(metrics: dict[str, Any]) -> Table:
    """One row for each horizon and score; parts of the oracle are left to the report."""
    rows: list[list[str] | None] = []
    # Real prices have none.
    oracle = any(report.get("share_of_oracle") for report in metrics["horizons"].values())
    for horizon, report in metrics["horizons"].items():
        brief = horizon != str(metrics["headline"])
        names = [name for name in report["scores"] if name in BRIEF_SCORES or not (brief or name.startswith("oracle_"))]
        label = horizon
        for name in names:
            rows.append([label, name, *_score_cells(name, report, oracle=oracle)])
            label = ""
        rows.append(None)
    share = "oracle: share of the best possible; " if oracle else ""
    return table(
        ("horizon", "score", "RankIC", "IC", "ICIR", "spread bp", *(["oracle %"] if oracle else []), "paired (t)"),
        rows,
        left=("score",),
        caption=f"± one Newey-West error; spread: top less bottom decile; {share}"
        "paired: model less it; the other scores and horizons: see the report",
    )


def _score_cells(name: str, report: dict[str, Any], *, oracle: bool) -> list[str]:
    """The cells of one score; the share of the oracle is among them where there is one."""
    score = report["scores"][name]
    share = report.get("share_of_oracle") if name == "model" else None
    paired = report["paired"].get(name)
    return [
        cell(score["rank_ic"]),
        cell(score["ic"]),
        cell(score["icir"], digits=2),
        cell(score["decile_spread"], 1e4, 1),
        *([cell(share, 100, 0) if share else ""] if oracle else []),
        f"{fixed(paired['rank_ic_difference'], '+.4f')} ({fixed(paired['t'], '+.1f')})" if paired else "",
    ]


def _portfolios(metrics: dict[str, Any]) -> Table:
    """One row for each horizon and portfolio of the model."""
    rows: list[list[str] | None] = []
    for horizon, report in metrics["horizons"].items():
        brief = horizon != str(metrics["headline"])
        label = horizon
        for kind, portfolios in report["portfolios"].items():
            if "model" in portfolios and (kind in BRIEF_PORTFOLIOS or not brief):
                rows.append([label, PORTFOLIO_NAMES[kind], *_portfolio_cells(portfolios["model"])])
                label = ""
        rows.append(None)
    return table(
        ("horizon", "portfolio", "Sharpe gross", "Sharpe net", "net %", "max drawdown %", "turnover %", "capacity M"),
        rows,
        left=("portfolio",),
        caption="the model's portfolios; net % a year and maximum drawdown after costs; turnover % a session",
    )


def _portfolio_cells(portfolio: dict[str, Any]) -> list[str]:
    """The cells of one portfolio."""
    if not portfolio["plausible"]:
        return ["implausible", *[""] * 5]
    net = portfolio["net"]
    return [
        cell(portfolio["gross"]["sharpe"], digits=2),
        cell(net["sharpe"], digits=2),
        cell(net["annual_return"], 100, 1),
        cell(net["max_drawdown"], 100, 1),
        cell(portfolio["turnover"], 100, 1),
        cell(portfolio.get("capacity"), 1e-6, 1),
    ]

"""The results as text for a terminal."""

from functools import partial
from typing import Any

from rich.table import Table

from atft_pipeline.reporting.cells import estimate, fixed
from atft_pipeline.reporting.conclusions import PORTFOLIO_NAMES, conclusions
from atft_pipeline.reporting.console import indented, table, terminal_text
from atft_pipeline.reporting.tradable import ENTRIES, TIMING_NAMES

# What a terminal shows of the horizons that are not the headline; everything is in the report.
BRIEF_SCORES = ("model", "ridge", "lightgbm", "ridge+lightgbm", "oracle")
BRIEF_PORTFOLIOS = ("long_short", "top_k")
PORTFOLIO_COLUMNS = ("Sharpe gross", "Sharpe net", "net %", "drawdown %", "turnover %", "cost bp", "capacity M")


# Columns are narrow.
cell = partial(estimate, gap="")


def results_table(metrics: dict[str, Any]) -> str:
    """Lay the main numbers out: scores and portfolios by horizon, conclusions at the headline horizon.

    Args:
        metrics: of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
    """
    head = f"{metrics['days']} days, {metrics['rows']:,} rows, {metrics['first']} to {metrics['last']}"
    tables = [_scores(metrics), _timings(metrics)]
    if any("long_short" in report["portfolios"] for report in metrics["horizons"].values()):
        tables.append(_portfolios(metrics))
    lines = [indented(f"{conclusion.level:>7}  ", conclusion.text) for conclusion in conclusions(metrics)]
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


def _timings(metrics: dict[str, Any]) -> Table:
    """RankIC by when a trade can enter: the model, and what it is compared with; of other horizons the benchmark."""
    rows: list[list[str] | None] = []
    for horizon, report in metrics["horizons"].items():
        brief, label = horizon != str(metrics["headline"]), horizon
        for name in names_of(report):
            if name in ("model", report["benchmark"]) or not brief:
                rows.append([label, name, *(cell(row) for row in timing_cells(report, name))])
                label = ""
        rows.append(None)
    names = [*TIMING_NAMES.values()]
    names[-1] = "skipped"
    return table(
        ("horizon", "score", *names, *(f"{name}*" for name in ("close", "open", "skipped"))),
        rows,
        left=("score",),
        caption="RankIC from the close of the scores, from the next open, and with a session skipped; "
        f"*among the {metrics['trading']['most_traded']:,} most traded",
    )


def names_of(report: dict[str, Any]) -> list[str]:
    """Scores whose RankIC is given by timing, of one horizon."""
    known = [found for found in report["timings"].values() if "left_out" not in found]
    return list(known[0]["all"]["scores"]) if known else []


def timing_cells(report: dict[str, Any], name: str, what: str = "scores") -> list[dict[str, Any] | None]:
    """RankIC of a score by timing, for all listings and then for the most traded; ``None`` where not known.

    Args:
        report: of one horizon.
        name: of the score.
        what: ``scores``, or ``paired`` for the model less it.
    """
    return [
        report["timings"][timing].get(universe, {}).get(what, {}).get(name)
        for universe in ("all", "most_traded")
        for timing in TIMING_NAMES
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
        ("horizon", "portfolio", *PORTFOLIO_COLUMNS),
        rows,
        left=("portfolio",),
        caption=f"the model's portfolios, {ENTRIES[metrics['trading']['execution']]} with net % a year and maximum "
        "drawdown after costs; turnover % a session; cost of a trade",
    )


def _portfolio_cells(portfolio: dict[str, Any]) -> list[str]:
    """The cells of one portfolio."""
    if not portfolio["plausible"]:
        return ["implausible", *[""] * 6]
    net = portfolio["net"]
    return [
        cell(portfolio["gross"]["sharpe"], digits=2),
        cell(net["sharpe"], digits=2),
        cell(net["annual_return"], 100, 1),
        cell({"value": net["max_drawdown"]["value"]}, 100, 1),
        cell(portfolio["turnover"], 100, 1),
        cell(portfolio["cost_bp"], digits=1),
        cell(portfolio.get("capacity"), 1e-6, 1),
    ]

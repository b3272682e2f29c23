"""The results as text for a terminal."""

from textwrap import fill
from typing import Any

from rich import box
from rich.table import Table

from atft_pipeline.reporting.conclusions import conclusions
from atft_pipeline.reporting.console import WIDTH, terminal_text

PORTFOLIOS = {
    "long_short": "long-short",
    "top_k": "long-only",
    "sector_neutral": "sector-neutral",
    "beta_neutral": "beta-neutral",
}


# What a terminal shows of the horizons that are not the headline; everything is in the report.
BRIEF_SCORES = ("model", "ridge", "lightgbm", "oracle")
BRIEF_PORTFOLIOS = ("long_short", "top_k")


def results_table(metrics: dict[str, Any]) -> str:
    """Lay the main numbers out in at most 120 columns: scores, portfolios, conclusions; all at the headline horizon.

    Args:
        metrics: of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
    """
    head = f"{metrics['days']} days, {metrics['rows']:,} rows, {metrics['first']} to {metrics['last']}"
    tables = [_scores(metrics)]
    if any("long_short" in report["portfolios"] for report in metrics["horizons"].values()):
        tables.append(_portfolios(metrics))
    # Later lines of a sentence stand below its text.
    lines = [fill(f"{item.level:>5}  {item.text}", WIDTH, subsequent_indent=" " * 7) for item in conclusions(metrics)]
    return terminal_text([head, *tables, *lines])


def _table(caption: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """An empty table."""
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("horizon", justify="right", no_wrap=True)
    for name in left:
        table.add_column(name, justify="left", no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _scores(metrics: dict[str, Any]) -> Table:
    """One row for each horizon and score; parts of the oracle are left to the report."""
    caption = (
        "± one Newey-West error; spread: top less bottom decile; oracle: share of the best possible; "
        "paired: model less it; the other scores and horizons: see the report"
    )
    columns = ("RankIC", "IC", "ICIR", "spread bp", "oracle %", "paired (t)")
    table = _table(caption, ("score",), columns)
    for horizon, report in metrics["horizons"].items():
        brief = horizon != str(metrics["headline"])
        names = [name for name in report["scores"] if name in BRIEF_SCORES or not (brief or name.startswith("oracle_"))]
        for position, name in enumerate(names):
            cells = _cells(name, report["scores"][name], report)
            table.add_row(horizon if position == 0 else "", name, *cells)
        table.add_section()
    return table


def _portfolios(metrics: dict[str, Any]) -> Table:
    """One row for each horizon and portfolio of the model."""
    caption = "the model's portfolios; net of costs; intervals of drawdown and capacity: see the report"
    columns = ("Sharpe gross", "Sharpe net", "net % a year", "max drawdown %", "turnover % a session", "capacity M")
    table = _table(caption, ("portfolio",), columns)
    for horizon, report in metrics["horizons"].items():
        brief = horizon != str(metrics["headline"])
        built = [
            (kind, rows["model"])
            for kind, rows in report["portfolios"].items()
            if "model" in rows and (kind in BRIEF_PORTFOLIOS or not brief)
        ]
        for position, (kind, portfolio) in enumerate(built):
            label = (horizon if position == 0 else "", PORTFOLIOS[kind])
            table.add_row(
                *label, *(_portfolio_cells(portfolio) if portfolio["plausible"] else ["implausible", *[""] * 5])
            )
        table.add_section()
    return table


def _portfolio_cells(portfolio: dict[str, Any]) -> list[str]:
    """The cells of one portfolio."""
    net, capacity = portfolio["net"], portfolio.get("capacity")
    return [
        with_error(portfolio["gross"]["sharpe"]["value"], portfolio["gross"]["sharpe"]["se"], 2),
        with_error(net["sharpe"]["value"], net["sharpe"]["se"], 2),
        with_error(net["annual_return"]["mean"], net["annual_return"]["se"], 1, 100),
        _drawdown(net["max_drawdown"]),
        with_error(portfolio["turnover"]["mean"], portfolio["turnover"]["se"], 1, 100),
        with_error(capacity["mean"], capacity["se"], 1, 1e-6) if capacity else "–",
    ]


def _drawdown(row: dict[str, Any]) -> str:
    """A drawdown with its interval."""
    return f"{_percent(row['value'])} [{_percent(row['low'])}, {_percent(row['high'])}]"


def _percent(value: float | None) -> str:
    """A fraction in per cent."""
    return "–" if value is None else f"{100 * value:.1f}"


def _cells(name: str, score: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """The cells of one score."""
    share = report.get("share_of_oracle") if name == "model" else None
    paired = report["paired"].get(name)
    return [
        with_error(score["rank_ic"]["mean"], score["rank_ic"]["se"], 4),
        with_error(score["ic"]["mean"], score["ic"]["se"], 4),
        with_error(score["icir"]["value"], score["icir"]["se"], 2),
        with_error(score["decile_spread"]["mean"], score["decile_spread"]["se"], 1, 1e4),
        with_error(share["value"], share["se"], 0, 100) if share else "",
        f"{_fixed(paired['rank_ic_difference'], '+.4f')} ({_fixed(paired['t'], '+.1f')})" if paired else "",
    ]


def with_error(value: float | None, se: float | None, digits: int, scale: float = 1.0) -> str:
    """``value±se`` with fixed digits; a dash where undefined."""
    if value is None:
        return "–"
    error = "" if se is None else f"±{scale * se:.{digits}f}"
    return f"{scale * value:.{digits}f}{error}"


def _fixed(value: float | None, form: str) -> str:
    """Format a number, a dash where undefined."""
    return "–" if value is None else format(value, form)

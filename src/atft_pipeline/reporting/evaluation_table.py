"""The results as text for a terminal."""

from textwrap import fill
from typing import Any

from rich import box
from rich.table import Table

from atft_pipeline.reporting.conclusions import verdict
from atft_pipeline.reporting.console import WIDTH, terminal_text

BOOKS = {
    "long_short": "long-short",
    "top_k": "long-only",
    "sector_neutral": "sector-neutral",
    "beta_neutral": "beta-neutral",
}


# What a terminal shows of the horizons that are not the headline; everything is in the report.
BRIEF_SCORES = ("model", "ridge", "lightgbm", "oracle")
BRIEF_BOOKS = ("long_short", "top_k")


def results_table(metrics: dict[str, Any]) -> str:
    """Lay the main numbers out in at most 120 columns: scores, books, verdict; all of them at the headline horizon.

    Args:
        metrics: of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
    """
    head = f"{metrics['days']} days, {metrics['rows']:,} rows, {metrics['first']} to {metrics['last']}"
    tables = [_scores(metrics)]
    if any("long_short" in report["books"] for report in metrics["horizons"].values()):
        tables.append(_books(metrics))
    # Later lines of a sentence stand below its text.
    sentences = [
        fill(f"{sentence.tone:>5}  {sentence.text}", WIDTH, subsequent_indent=" " * 7) for sentence in verdict(metrics)
    ]
    return terminal_text([head, *tables, *sentences])


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


def _books(metrics: dict[str, Any]) -> Table:
    """One row for each horizon and book of the model."""
    caption = "the model's books; net of costs; fall and capacity: see the report for their intervals"
    columns = ("Sharpe gross", "Sharpe net", "net % a year", "deepest fall %", "traded % a session", "capacity M")
    table = _table(caption, ("book",), columns)
    for horizon, report in metrics["horizons"].items():
        brief = horizon != str(metrics["headline"])
        built = [
            (kind, rows["model"])
            for kind, rows in report["books"].items()
            if "model" in rows and (kind in BRIEF_BOOKS or not brief)
        ]
        for position, (kind, book) in enumerate(built):
            label = (horizon if position == 0 else "", BOOKS[kind])
            table.add_row(*label, *(_book_cells(book) if book["believable"] else ["not believable", *[""] * 5]))
        table.add_section()
    return table


def _book_cells(book: dict[str, Any]) -> list[str]:
    """The cells of one book."""
    net, capacity = book["net"], book.get("capacity")
    return [
        with_error(book["gross"]["sharpe"]["value"], book["gross"]["sharpe"]["se"], 2),
        with_error(net["sharpe"]["value"], net["sharpe"]["se"], 2),
        with_error(net["annual_return"]["mean"], net["annual_return"]["se"], 1, 100),
        _fall(net["drawdown"]),
        with_error(book["turnover"]["mean"], book["turnover"]["se"], 1, 100),
        with_error(capacity["mean"], capacity["se"], 1, 1e-6) if capacity else "–",
    ]


def _fall(row: dict[str, Any]) -> str:
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

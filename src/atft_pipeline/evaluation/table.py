"""The results as text for a terminal."""

from io import StringIO
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 118


def results_table(metrics: dict[str, Any]) -> str:
    """Lay the headline numbers out in at most 120 columns, one row for each horizon and score.

    Args:
        metrics: of :class:`~atft_pipeline.evaluation.evaluate.Evaluation`.
    """
    caption = (
        "± one Newey-West error; spread: top less bottom decile; oracle: share of the best possible; "
        "paired: model less it"
    )
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", padding=(0, 1, 0, 0), pad_edge=False)
    for name, justify in (("horizon", "right"), ("score", "left")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name in ("RankIC", "IC", "ICIR", "hit %", "spread bp", "oracle %", "paired (t)"):
        table.add_column(name, justify="right", no_wrap=True)
    for horizon, report in metrics["horizons"].items():
        for position, (name, score) in enumerate(report["scores"].items()):
            table.add_row(horizon if position == 0 else "", name, *_cells(name, score, report))
        table.add_section()
    title = f"{metrics['days']} days, {metrics['rows']:,} rows, {metrics['first']} to {metrics['last']}"
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None)
    console.print(title)
    console.print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _cells(name: str, score: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """The cells of one score."""
    share = report.get("share_of_oracle") if name == "model" else None
    paired = report["paired"].get(name)
    return [
        with_error(score["rank_ic"]["mean"], score["rank_ic"]["se"], 4),
        with_error(score["ic"]["mean"], score["ic"]["se"], 4),
        with_error(score["icir"]["value"], score["icir"]["se"], 2),
        with_error(score["hit_rate"]["mean"], score["hit_rate"]["se"], 1, 100),
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

"""The folds as text for a terminal."""

from collections.abc import Mapping, Sequence
from io import StringIO
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

WIDTH = 118
SHOWN = ("model", "ridge")


def folds_table(folds: Sequence[Mapping[str, Any]], paths: Sequence[Mapping[str, Any]]) -> str:
    """Lay out one row a fold: what it trained and tested, and its RankIC by horizon beside ridge's.

    Args:
        folds: records as plain JSON types.
        paths: RankIC of each stitched series by horizon and score; with more than one their spread is shown.
    """
    horizons = list(folds[0]["rank_ic"])
    table = Table(
        box=box.SIMPLE_HEAD,
        caption="RankIC of each fold's test days ± one Newey-West error, (ridge)",
        caption_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("fold", justify="right", no_wrap=True)
    for name in ("trained to", "days", "test"):
        table.add_column(name, justify="left", no_wrap=True)
    for horizon in horizons:
        table.add_column(f"{horizon}d", justify="right", no_wrap=True)
    for fold in folds:
        cells = [_cell(fold["rank_ic"][horizon]) for horizon in horizons]
        tested = f"{fold['test'][0]} .. {fold['test'][1][5:] if _same_year(fold) else fold['test'][1]}"
        table.add_row(str(fold["fold"]), fold["train"][1], str(fold["train_days"]), tested, *cells)
    text = StringIO()
    console = Console(file=text, width=WIDTH, color_system=None)
    console.print(table)
    if len(paths) > 1:
        for horizon in horizons:
            values = [path[horizon]["model"]["mean"] or 0.0 for path in paths]
            console.print(
                f"{horizon:>2} sessions: RankIC over {len(paths)} paths {mean(values):+.4f}, standard deviation "
                f"{stdev(values):.4f}, lowest {min(values):+.4f}, highest {max(values):+.4f}"
            )
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _same_year(fold: Mapping[str, Any]) -> bool:
    return bool(fold["test"][0][:4] == fold["test"][1][:4])


def _cell(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """``+0.0312±0.0080 (+0.020)``; a dash where undefined."""
    model, ridge = (scores[name] for name in SHOWN)
    if model["mean"] is None:
        return "–"
    beside = "–" if ridge["mean"] is None else f"{ridge['mean']:+.3f}"
    error = "" if model["se"] is None else f"±{model['se']:.3f}"
    return f"{model['mean']:+.3f}{error} ({beside})"

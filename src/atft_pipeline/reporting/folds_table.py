"""The folds as text for a terminal."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.table import Table

from atft_pipeline.reporting.console import terminal_text

SHOWN = ("model", "ridge", "lightgbm")


def folds_table(folds: Sequence[Mapping[str, Any]], paths: Sequence[Mapping[str, Any]]) -> str:
    """Lay out one row a fold: what it trained and tested, and its RankIC by horizon beside the baselines'.

    Args:
        folds: records as plain JSON types.
        paths: RankIC of each stitched series by horizon and score; with more than one their spread is shown.
    """
    horizons = list(folds[0]["rank_ic"])
    table = Table(
        box=box.SIMPLE_HEAD,
        caption="RankIC of each fold's test days ± one Newey-West error",
        caption_justify="left",
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("fold", justify="right", no_wrap=True)
    for name in ("trained to", "test", "score"):
        table.add_column(name, justify="left", no_wrap=True)
    for horizon in horizons:
        table.add_column(f"{horizon}d", justify="right", no_wrap=True)
    for fold in folds:
        head = [str(fold["fold"]), fold["train"][1], " .. ".join(fold["test"])]
        for score in (name for name in SHOWN if name in fold["rank_ic"][horizons[0]]):
            table.add_row(*head, score, *(_cell(fold["rank_ic"][horizon][score]) for horizon in horizons))
            head = [""] * len(head)
    below: list[str] = []
    if len(paths) > 1:
        for horizon in horizons:
            values = [path[horizon]["model"]["mean"] or 0.0 for path in paths]
            below.append(
                f"{horizon:>2} sessions: RankIC over {len(paths)} paths {mean(values):+.4f}, standard deviation "
                f"{stdev(values):.4f}, lowest {min(values):+.4f}, highest {max(values):+.4f}"
            )
    return terminal_text([table, *below])


def _cell(value: Mapping[str, Any]) -> str:
    """``+0.0312±0.0080``; a dash where undefined."""
    if value["mean"] is None:
        return "–"
    return f"{value['mean']:+.4f}" + ("" if value["se"] is None else f"±{value['se']:.4f}")

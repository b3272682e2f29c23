"""The folds as text for a terminal."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from atft_pipeline.reporting.cells import estimate
from atft_pipeline.reporting.console import table, terminal_text

SHOWN = ("model", "ridge", "lightgbm", "ridge+lightgbm", "benchmark")


def folds_table(folds: Sequence[Mapping[str, Any]], paths: Sequence[Mapping[str, Any]]) -> str:
    """Lay out one row a fold: what it trained and tested, and its RankIC by horizon beside the baselines'.

    Args:
        folds: records as plain JSON types.
        paths: RankIC of each stitched series by horizon and score; with more than one their spread is shown.
    """
    horizons = list(folds[0]["rank_ic"])
    rows = []
    for fold in folds:
        head = [str(fold["fold"]), fold["train"][1], " .. ".join(fold["test"])]
        for score in (name for name in SHOWN if name in fold["rank_ic"][horizons[0]]):
            found = (fold["rank_ic"][horizon][score] for horizon in horizons)
            rows.append([*head, score, *(estimate(value, sign="+", gap="") for value in found)])
            head = [""] * len(head)
    drawn = table(
        ("fold", "trained to", "test", "score", *(f"{horizon}d" for horizon in horizons)),
        rows,
        left=("trained to", "test", "score"),
        caption="RankIC of each fold's test days ± one Newey-West error; benchmark: best on its validation days",
    )
    below = [
        f"fold {fold['fold']}, {horizon} sessions: LightGBM is a weak baseline: {reason}"
        for fold in folds
        for horizon, reason in fold.get("weak", {}).items()
    ]
    if len(paths) > 1:
        for horizon in horizons:
            values = [path[horizon]["model"]["mean"] or 0.0 for path in paths]
            below.append(
                f"{horizon:>2} sessions: RankIC over {len(paths)} paths {mean(values):+.4f}, standard deviation "
                f"{stdev(values):.4f}, lowest {min(values):+.4f}, highest {max(values):+.4f}"
            )
    return terminal_text([drawn, *below])

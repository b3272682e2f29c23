"""How many trees, and how large: chosen over purged folds of the training days with the one-standard-error rule.

D held-out days of all folds together, C numbers of trees, n rows. The validation days take no part: they judge what
was chosen, and choose among baselines.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from atft_pipeline.baselines.binned import DayTable
from atft_pipeline.splits.schemes import purged_folds
from atft_pipeline.stats.arrays import Booleans, Floats
from atft_pipeline.stats.rank_ic import MIN_LISTINGS, Centred, correlate, ranked
from atft_pipeline.stats.report import Report, mean_report
from atft_pipeline.stats.significance import estimate

FOLDS = 3
# Fewer trees than that are no fit to compare with.
FEWEST_TREES = 10
# Most of its rows that a tree sees.
ROW_SHARE = 0.7
# Rows that the folds draw from all days: enough to place the number of trees, and the final fit sees every row.
FOLD_ROWS = 400_000
# The number of trees is known to this step; after so many without a better mean the growing ends.
EVERY, PATIENCE = 10, 50


@dataclass(frozen=True)
class Size:
    """A size of the model and what it reached on the held-out days.

    Attributes:
        parameters: of LightGBM, beside those that all fits share.
        rounds: trees.
        daily: RankIC of the held-out days [D].
    """

    parameters: dict[str, Any]
    rounds: int
    daily: Floats

    @property
    def capacity(self) -> float:
        """What the simplest size has the least of: leaves of all trees, each as strong as its step."""
        return float(self.rounds * self.parameters["num_leaves"] * self.parameters["learning_rate"])

    @property
    def mean(self) -> float:
        """Mean RankIC of the defined days; the worst of all where there is none."""
        defined = self.daily[np.isfinite(self.daily)]
        return float(defined.mean()) if defined.size else -math.inf

    def report(self, horizon: int) -> Report:
        """As plain JSON types."""
        return {
            "learning_rate": self.parameters["learning_rate"],
            "leaves": self.parameters["num_leaves"],
            "rounds": self.rounds,
            "fold_rank_ic": mean_report(self.daily, horizon),
        }


@dataclass(frozen=True)
class TreeFold:
    """Rows to grow trees on, and held-out days to judge them by, on bins that are shared.

    Attributes:
        train: rows that are kept.
        held: rows of the days held out.
        kept_rows: which rows of the table the first are.
        held_rows: which the second are.
        of_all: share of the table's rows that are kept.
        laid: row and column of each held-out row on the plane of days and listings.
    """

    train: lgb.Dataset
    held: lgb.Dataset
    kept_rows: npt.NDArray[np.int32]
    held_rows: npt.NDArray[np.int32]
    of_all: float
    laid: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

    def set_targets(self, targets: npt.NDArray[np.float32]) -> "FoldOutcome":
        """Learn one horizon's targets [n] from here on, and rank those of the held-out days."""
        label_rows(self.train, targets[self.kept_rows])
        laid = self.lay(targets[self.held_rows].astype(np.float64))
        known = np.isfinite(laid)
        known &= (known.sum(axis=1) >= MIN_LISTINGS)[:, None]
        return FoldOutcome(known, ranked(np.where(known, laid, np.nan)))

    def lay(self, values: Floats) -> Floats:
        """Values of the held-out rows as days by listings; NaN elsewhere."""
        plane = np.full((self.laid[0][-1] + 1, self.laid[1].max() + 1), np.nan)
        plane[self.laid] = values
        return plane


class FoldOutcome(NamedTuple):
    """Targets of held-out days: which cells are known, and their ranks within each day."""

    known: Booleans
    ranks: Centred


def label_rows(dataset: lgb.Dataset, targets: npt.NDArray[np.float32]) -> None:
    """Set targets; a row without one weighs nothing, so that all horizons share the bins."""
    present = np.isfinite(targets)
    dataset.set_label(np.where(present, targets, 0.0).astype(np.float32))
    dataset.set_weight(present.astype(np.float32))


def cut_folds(binned: lgb.Dataset, table: DayTable, gap: int) -> list[TreeFold]:
    """Folds of the training days whose labels do not reach into one another; none where the days are too few.

    Args:
        binned: all rows.
        table: their days.
        gap: sessions between a kept and a held-out day: span of the longest label and embargo.
    """
    day_of = table.day_of
    drawn = np.arange(len(day_of))
    if len(drawn) > FOLD_ROWS:
        drawn = np.sort(np.random.default_rng(0).choice(drawn, FOLD_ROWS, replace=False))
    folds = []
    for kept, held in purged_folds(table.days, FOLDS, gap):
        kept_rows = drawn[np.isin(day_of[drawn], kept)].astype(np.int32)
        inside = (day_of[drawn] >= held.start) & (day_of[drawn] < held.stop)
        held_rows = drawn[inside].astype(np.int32)
        _, row, count = np.unique(day_of[held_rows], return_inverse=True, return_counts=True)
        column = np.arange(len(held_rows)) - np.repeat(np.cumsum(count) - count, count)
        train, judged = _part(binned, kept_rows), _part(binned, held_rows)
        of_all = len(kept_rows) / len(day_of)
        folds.append(TreeFold(train, judged, kept_rows, held_rows, of_all, (row, column)))
    return folds


def _part(binned: lgb.Dataset, rows: npt.NDArray[np.int32]) -> lgb.Dataset:
    """Some rows with the same bins."""
    return binned.subset(rows.tolist()).construct()


def grow(
    folds: Sequence[TreeFold], outcomes: Sequence[FoldOutcome], parameters: dict[str, Any], rounds: int
) -> list[Size]:
    """Grow every fold's trees side by side, until the held-out days have not ranked better for a while.

    Args:
        folds: with the targets of one horizon.
        outcomes: ranks of each fold's held-out targets.
        parameters: of LightGBM.
        rounds: most trees.

    Returns:
        One size for each number of trees that was looked at.
    """
    share = parameters["bagging_fraction"]
    boosters = [
        # A fold's tree sees as many rows as one of all rows.
        lgb.Booster(parameters | {"bagging_fraction": min(ROW_SHARE, share / fold.of_all)}, fold.train).add_valid(
            fold.held, "held"
        )
        for fold in folds
    ]
    found: list[Size] = []
    best, at = -math.inf, 0
    step = min(EVERY, rounds)
    for number in range(step, rounds + 1, step):
        ended = [[booster.update() for _ in range(step)][-1] for booster in boosters]
        daily = [_judge(*of) for of in zip(boosters, folds, outcomes, strict=True)]
        found.append(Size(parameters, number, np.concatenate(daily)))
        if found[-1].mean > best:
            best, at = found[-1].mean, number
        if all(ended) or number - at >= PATIENCE:
            break
    return found


def _judge(booster: lgb.Booster, fold: TreeFold, outcome: FoldOutcome) -> Floats:
    """Daily RankIC of the trees so far on the fold's held-out days."""
    found: list[Floats] = []

    def judge(scores: Floats, _: lgb.Dataset) -> tuple[str, float, bool]:
        found.append(correlate(ranked(np.where(outcome.known, fold.lay(scores), np.nan)), outcome.ranks))
        return "rank_ic", 0.0, True

    # LightGBM keeps the scores of a held-out set as it grows; a metric of one's own is how it shows them.
    booster.eval_valid(judge)
    return found[0]


def simplest(sizes: Sequence[Size], horizon: int) -> Size:
    """The smallest size that is not worse than the best by more than one standard error.

    The error is that of the paired daily difference to the best, not of the mean itself: both live through the same
    days, so a size that is truly worse is not excused by how much all of them vary (Breiman et al. 1984, section 3.4.3,
    with a sharper error). Fewer than ten trees have hardly looked at the features: they are taken only where they are
    the best.

    Args:
        sizes: at least one.
        horizon: sessions ahead, for the errors.
    """
    best = max(sizes, key=lambda size: size.mean)

    def close(size: Size) -> bool:
        less = estimate(best.daily - size.daily, horizon)
        return size is best or less.mean <= less.se

    if best.rounds < FEWEST_TREES:
        return best
    grown = (size for size in sizes if size.rounds >= FEWEST_TREES and close(size))
    return min(grown, key=lambda size: (size.capacity, -size.mean))

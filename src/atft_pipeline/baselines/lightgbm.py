"""Tree baseline: LightGBM on the same rows, labels and days as the model.

F features, Q horizons, D validation days, n rows. The training rows are binned once; folds, horizons and settings share
the bins. How many rows there may be follows from the memory that is available, how many trees from purged folds of the
training days, and the final trees are grown on all rows. A fit that does not come up to ridge on the validation days,
or stops after a few trees, is tried again with stronger regularisation, and called weak if that does not help.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from atft_pipeline.baselines.binned import DayTable, bin_rows
from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.baselines.rounds import FEWEST_TREES, ROW_SHARE, Size, cut_folds, grow, label_rows, simplest
from atft_pipeline.errors import DataError
from atft_pipeline.process import available_cores
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.report import mean_report

Forests = Sequence[Sequence[lgb.Booster]]
"""Forests of each horizon, alike but for the rows and features that their trees drew."""

Predict = Callable[[npt.NDArray[np.floating]], Floats]
"""Features of rows [n, F] to scores of all horizons [n, Q]."""

# Each tree sees a drawn quarter of the features and at most so many rows, drawn anew, and its leaves are shrunk:
# targets are nearly all noise, and trees that differ average it out (Friedman 2002, Stochastic gradient boosting).
# Of few features a tree sees enough to combine them.
FEATURE_SHARE, FEATURES_A_TREE, ROWS_A_TREE, L2 = 0.25, 10, 250_000, 10.0
# Forests of a horizon, whose scores are averaged. What the trees happen to draw moves the RankIC of one forest by
# more than any setting does (docs/log.md), and which draw is a lucky one cannot be known.
FORESTS = 2
# A leaf holds at least this share of a tree's rows, and never fewer than 20.
LEAF_SHARE = 1 / 500
# Features are ranks: 63 steps are enough, and a bin fits a byte.
MAX_BIN = 63
# Rows that place the bins, as doubles; with fewer LightGBM warns.
BIN_SAMPLE = 100_000


@dataclass(frozen=True)
class TreeModel:
    """Trees of each horizon.

    Attributes:
        forests: of each horizon.
        card: rows and days used, and for each horizon the settings tried, the chosen one with its validation
            RankIC, and why it is weak, if it is; plain JSON.
    """

    forests: tuple[tuple[lgb.Booster, ...], ...]
    card: dict[str, Any]

    def predict(self, features: npt.NDArray[np.floating]) -> Floats:
        """Score rows [n, F] at all horizons [n, Q]."""
        return predict_trees(self.forests, features)


def predict_trees(forests: Forests, features: npt.NDArray[np.floating]) -> Floats:
    """Score rows [n, F] at all horizons [n, Q]; the forests of a horizon are averaged."""
    rows, threads = np.ascontiguousarray(features, dtype=np.float32), available_cores()
    scores = [[np.asarray(forest.predict(rows, num_threads=threads)) for forest in of] for of in forests]
    return np.stack([np.mean(of, axis=0) for of in scores], axis=1)


def fit_trees(
    table: DayTable,
    judge: Callable[[Predict], Floats],
    ridge: Floats,
    horizons: Sequence[int],
    gap: int,
    settings: LightGBMConfig,
) -> TreeModel:
    """Choose each horizon's size over folds of the training days, then grow it on all of them.

    Args:
        table: training rows.
        judge: gives the daily RankIC of scores on the validation days [D, Q].
        ridge: that of ridge [D, Q]; trees below its mean are weak.
        horizons: sessions ahead of each target [Q].
        gap: sessions between a kept and a held-out day of a fold: span of the longest label and embargo.
        settings: what is tried.

    Raises:
        DataError: no training day, a horizon without a target, or too few rows for a tree.
    """
    for column, horizon in enumerate(horizons):
        if len(table.targets) and not np.isfinite(table.targets[:, column]).any():
            msg = f"lightgbm: the target of {horizon} sessions is missing in every training row; widen the split"
            raise DataError(msg)
    common = _parameters(len(table.targets), table.features)
    grid = [
        common | {"learning_rate": rate, "num_leaves": leaves}
        for rate in settings.learning_rates
        for leaves in settings.leaves
    ]
    forest = _Forest(table, common, horizons, gap, settings.rounds)
    first = [forest.fit(column, grid) for column in range(len(horizons))]
    daily = judge(functools.partial(predict_trees, [fit.forests for fit in first]))
    weak = [_weakness(fit, daily[:, q], ridge[:, q]) for q, fit in enumerate(first)]
    chosen = list(first)
    for q in [q for q, reason in enumerate(weak) if reason]:
        second = forest.fit(q, [_stronger(grid)])
        again = judge(functools.partial(predict_trees, [second.forests] * len(horizons)))[:, q]
        reason = _weakness(second, again, ridge[:, q])
        # If both are weak, the folds choose: they are many more days than the validation.
        if reason is None or second.size.mean >= first[q].size.mean:
            chosen[q], daily[:, q], weak[q] = second, again, reason
    card = {
        "training_rows": len(table.targets),
        "training_days": len(table.days),
        "folds": len(forest.folds),
        "forests": FORESTS,
        "threads": available_cores(),
        "horizons": {
            str(horizon): {
                "chosen": chosen[q].size.report(horizon),
                "validation_rank_ic": mean_report(daily[:, q], horizon),
                "tried": [size.report(horizon) for size in first[q].tried],
                "stronger": chosen[q] is not first[q],
                "weak": weak[q],
            }
            for q, horizon in enumerate(horizons)
        },
    }
    return TreeModel(tuple(fit.forests for fit in chosen), card)


@dataclass(frozen=True)
class _Fit:
    """Trees on all rows, the size they have, and the best of each setting over the folds."""

    forests: tuple[lgb.Booster, ...]
    size: Size
    tried: list[Size]


class _Forest:
    """All rows and the folds, binned once; fits one horizon after the other."""

    def __init__(self, table: DayTable, common: dict[str, Any], horizons: Sequence[int], gap: int, rounds: int) -> None:
        self.table, self.horizons, self.rounds = table, horizons, rounds
        self.binned = bin_rows(table, common)
        self.folds = cut_folds(self.binned, table, gap)

    def fit(self, column: int, grid: Sequence[dict[str, Any]]) -> _Fit:
        """Choose among settings and numbers of trees, and grow the choice on all rows."""
        targets, horizon = self.table.targets[:, column], self.horizons[column]
        outcomes = [fold.set_targets(targets) for fold in self.folds]
        curves = [grow(self.folds, outcomes, setting, self.rounds) for setting in grid] if self.folds else []
        # Too few days for a purged fold: a small fit, which is called weak for its few trees.
        least = Size(grid[0], min(FEWEST_TREES - 1, self.rounds), np.empty(0))
        size = simplest([size for curve in curves for size in curve] or [least], horizon)
        label_rows(self.binned, targets)
        forests = tuple(self._grown(size, seed) for seed in range(FORESTS))
        return _Fit(forests, size, [max(curve, key=lambda size: size.mean) for curve in curves])

    def _grown(self, size: Size, seed: int) -> lgb.Booster:
        """One forest on all rows."""
        booster = lgb.Booster(size.parameters | {"seed": seed}, self.binned)
        for _ in range(size.rounds):
            booster.update()
        if not booster.feature_importance().any():
            raise DataError(_NO_TREE.format(rows=len(self.table.targets)))
        return lgb.Booster(model_str=booster.model_to_string())


_NO_TREE = (
    "lightgbm: {rows:,} training rows are too few to grow a tree: widen the training days, or leave it out with "
    "evaluation.lightgbm.enabled=false"
)


def _weakness(fit: _Fit, daily: Floats, ridge: Floats) -> str | None:
    """Why a fit is weak, from its trees and the daily RankICs of the validation days [D]; ``None`` where it is not."""
    if fit.size.rounds < FEWEST_TREES:
        return f"it keeps {fit.size.rounds} trees"
    if _mean(daily) < _mean(ridge):
        return f"its validation RankIC, {_mean(daily):.4f}, is below ridge's {_mean(ridge):.4f}"
    return None


def _stronger(grid: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One setting with more regularisation than all of the grid: smaller trees and steps, larger leaves."""
    smallest = min(grid, key=lambda setting: (setting["num_leaves"], setting["learning_rate"]))
    return smallest | {
        "num_leaves": max(2, smallest["num_leaves"] // 2),
        "learning_rate": smallest["learning_rate"] / 2,
        "min_data_in_leaf": 4 * smallest["min_data_in_leaf"],
        "feature_fraction": smallest["feature_fraction"] / 2,
        "bagging_fraction": smallest["bagging_fraction"] / 2,
        "lambda_l2": 10 * smallest["lambda_l2"],
    }


def _parameters(rows: int, features: int) -> dict[str, Any]:
    """Parameters that all fits share."""
    share = min(ROW_SHARE, ROWS_A_TREE / max(rows, 1))
    return {
        "objective": "regression",
        "metric": "None",
        "min_data_in_leaf": max(20, round(LEAF_SHARE * share * rows)),
        "feature_fraction": min(1.0, max(FEATURE_SHARE, FEATURES_A_TREE / features)),
        "bagging_fraction": share,
        "bagging_freq": 1,
        "lambda_l2": L2,
        "max_bin": MAX_BIN,
        "bin_construct_sample_cnt": BIN_SAMPLE,
        "num_threads": available_cores(),
        "seed": 0,
        "deterministic": True,
        "force_col_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
    }


def _mean(daily: Floats) -> float:
    """Mean of the defined days; 0, which is what noise has, where there is none."""
    defined = daily[np.isfinite(daily)]
    return float(defined.mean()) if defined.size else 0.0

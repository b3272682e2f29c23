"""Tree baseline: LightGBM on the same rows, labels and days as the model.

F features, Q horizons, n rows. Features of all chosen training days are binned once; each horizon and setting then
trains on the same bins. Rounds are chosen by the mean daily RankIC of the validation days.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from atft_pipeline.baselines.ridge import Block
from atft_pipeline.config import config, require, within
from atft_pipeline.errors import DataError
from atft_pipeline.process import available_cores
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import MIN_LISTINGS, correlate, ranked
from atft_pipeline.stats.report import mean_report

# Each tree sees a drawn half of the features and 70 % of the rows, and its leaves are shrunk: usual values for targets
# that are nearly all noise.
FEATURE_SHARE, ROW_SHARE, L2 = 0.5, 0.7, 10.0
# Features are ranks: 63 steps are enough, and a bin fits a byte.
MAX_BIN = 63


@config
class LightGBMConfig:
    """How the trees are grown; every pair of ``learning_rates`` and ``leaves`` is tried.

    Attributes:
        enabled: fit it at all.
        learning_rates: step of each tree.
        leaves: of a tree.
        rounds: most trees.
        patience: trees without a better validation RankIC before stopping.
        min_rows: rows of a leaf.
        max_rows: training rows, and validation rows; of more, evenly spaced days are kept. Bounds memory: 4 bytes a row
            and feature while binning, 1 byte after.
    """

    enabled: bool = True
    learning_rates: tuple[float, ...] = within((0.05,), 1e-05, 1)
    leaves: tuple[int, ...] = within((15, 63), 2, 4096)
    rounds: int = within(300, 1, 100_000)
    patience: int = within(30, 1, 100_000)
    min_rows: int = within(200, 1, 100_000_000)
    max_rows: int = within(800_000, 1, 1_000_000_000)

    def __post_init__(self) -> None:
        for name in ("leaves", "learning_rates"):
            require(bool(getattr(self, name)), f"{name}: must hold at least one number, got []")


@dataclass(frozen=True)
class TreeModel:
    """Trees of each horizon.

    Attributes:
        boosters: one a horizon.
        card: rows and days used, and for each horizon the settings tried with their validation RankIC; plain JSON.
    """

    boosters: tuple[lgb.Booster, ...]
    card: dict[str, Any]

    def predict(self, features: npt.NDArray[np.floating]) -> Floats:
        """Score rows [n, F] at all horizons [n, Q]."""
        rows = np.ascontiguousarray(features, dtype=np.float32)
        threads = int(self.card["threads"])
        scores = [np.asarray(tree.predict(rows, num_threads=threads)) for tree in self.boosters]
        return np.stack(scores, axis=1)


def thin_days(days: Sequence[int], rows: Sequence[int], most: int) -> list[int]:
    """Evenly spaced days whose rows together do not exceed ``most``; all of them where they fit, at least one.

    Args:
        days: ascending.
        rows: of each day.
        most: rows that are allowed.
    """
    if not days:
        return []
    kept = len(days)
    while kept > 1:
        positions = np.linspace(0, len(days) - 1, kept).round().astype(int)
        total = sum(rows[position] for position in positions)
        if total <= most:
            return [days[position] for position in positions]
        kept = min(kept - 1, max(1, math.ceil(kept * most / total)))
    return [days[len(days) // 2]]


def fit_trees(
    training: Iterable[Block], validation: Iterable[Block], horizons: Sequence[int], settings: LightGBMConfig
) -> TreeModel:
    """Fit each horizon and keep its best setting and number of rounds.

    Args:
        training: blocks of the training days.
        validation: blocks of the validation days, one day each.
        horizons: sessions ahead of each target [Q], for the errors of the validation RankIC.
        settings: what is tried.

    Raises:
        DataError: no training or no validation day, or a horizon without a target.
    """
    rows, targets, _ = _stack(training, "training")
    checks, truths, sizes = _stack(validation, "validation")
    parameters = _parameters(settings)
    dataset = lgb.Dataset(rows, params=parameters, free_raw_data=True).construct()
    check = dataset.create_valid(checks, label=np.zeros(len(checks), dtype=np.float32), params=parameters).construct()
    del rows, checks
    boosters, cards = [], []
    for column, horizon in enumerate(horizons):
        present = np.isfinite(targets[:, column])
        if not present.any():
            raise DataError(f"lightgbm: target number {column} is missing in every training row; widen the split")
        # A row without a target weighs nothing, so that all horizons share the bins.
        dataset.set_label(np.where(present, targets[:, column], 0.0).astype(np.float32))
        dataset.set_weight(present.astype(np.float32))
        score = _daily_rank_ic(truths[:, column], sizes)
        tried = [
            _fit_one(dataset, check, score, horizon, parameters | {"learning_rate": rate, "num_leaves": leaf})
            for rate in settings.learning_rates
            for leaf in settings.leaves
        ]
        best = max(tried, key=lambda item: item[1]["validation_rank_ic"]["mean"])
        boosters.append(best[0])
        cards.append({"chosen": best[1], "tried": [item[1] for item in tried]})
    card = {
        "training_rows": int(targets.shape[0]),
        "validation_rows": int(truths.shape[0]),
        "validation_days": len(sizes),
        "threads": available_cores(),
        "horizons": cards,
    }
    return TreeModel(tuple(boosters), card)


def _stack(blocks: Iterable[Block], part: str) -> tuple[npt.NDArray[np.float32], Floats, list[int]]:
    """Rows [n, F], targets [n, Q] and rows of each block."""
    pairs = [(np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float64)) for x, y in blocks]
    if not pairs:
        raise DataError(f"lightgbm: no {part} day; check the split")
    sizes = [len(x) for x, _ in pairs]
    features = np.empty((sum(sizes), pairs[0][0].shape[1]), dtype=np.float32)
    targets = np.concatenate([y for _, y in pairs])
    row = 0
    for number, size in enumerate(sizes):
        features[row : row + size] = pairs[number][0]
        pairs[number] = (features[:0], targets[:0])  # the block is copied: let it go
        row += size
    return features, targets, sizes


def _parameters(settings: LightGBMConfig) -> dict[str, Any]:
    """Parameters that all fits share. ``rounds`` and ``patience`` steer the loop, not the trees."""
    return {
        "objective": "regression",
        "metric": "None",
        "min_data_in_leaf": settings.min_rows,
        "feature_fraction": FEATURE_SHARE,
        "bagging_fraction": ROW_SHARE,
        "bagging_freq": 1,
        "lambda_l2": L2,
        "max_bin": MAX_BIN,
        "num_threads": available_cores(),
        "seed": 0,
        "deterministic": True,
        "force_col_wise": True,
        "feature_pre_filter": False,
        "verbosity": -1,
        "num_iterations": settings.rounds,
        "early_stopping_round": 0,
        "patience": settings.patience,
    }


def _fit_one(
    dataset: lgb.Dataset,
    check: lgb.Dataset,
    score: Callable[[Floats], Floats],
    horizon: int,
    parameters: dict[str, Any],
) -> tuple[lgb.Booster, dict[str, Any]]:
    """Grow trees until the validation RankIC no longer rises; return those up to its best and what was reached."""
    patience, rounds = parameters["patience"], parameters["num_iterations"]
    grown = {name: value for name, value in parameters.items() if name not in ("patience", "num_iterations")}
    booster = lgb.Booster(grown, dataset).add_valid(check, "validation")
    best, at, daily = -math.inf, 0, np.empty(0)
    seen: list[Floats] = []

    def judge(scores: Floats, _: lgb.Dataset) -> tuple[str, float, bool]:
        seen[:] = [score(scores)]
        return "rank_ic", _mean(seen[0]), True

    for number in range(1, rounds + 1):
        if booster.update():
            break
        value = booster.eval_valid(judge)[0][2]
        if value > best:
            best, at, daily = value, number, seen[0]
        elif number - at >= patience:
            break
    if at == 0:
        msg = (
            "lightgbm: no tree ranks the validation days: lower evaluation.lightgbm.min_rows, now "
            f"{parameters['min_data_in_leaf']}, or leave it out with evaluation.lightgbm.enabled=false"
        )
        raise DataError(msg)
    reached = {
        "learning_rate": grown["learning_rate"],
        "leaves": grown["num_leaves"],
        "rounds": at,
        "validation_rank_ic": mean_report(daily, horizon),
    }
    return lgb.Booster(model_str=booster.model_to_string(num_iteration=at)), reached


def _daily_rank_ic(truth: Floats, sizes: Sequence[int]) -> Callable[[Floats], Floats]:
    """A function that gives the daily RankIC of validation scores [n] laid day after day."""
    D, width = len(sizes), max(sizes)
    row = np.repeat(np.arange(D), sizes)
    column = np.concatenate([np.arange(size) for size in sizes])

    def lay(values: Floats) -> Floats:
        laid = np.full((D, width), np.nan)
        laid[row, column] = values
        return laid

    realised = lay(truth)
    kept = np.isfinite(realised)
    kept &= (kept.sum(axis=1) >= MIN_LISTINGS)[:, None]
    ranks = ranked(np.where(kept, realised, np.nan))

    def score(scores: Floats) -> Floats:
        return correlate(ranked(np.where(kept, lay(scores), np.nan)), ranks)

    return score


def _mean(daily: Floats) -> float:
    """Mean of the defined days; the worst of all where there is none."""
    defined = daily[np.isfinite(daily)]
    return float(defined.mean()) if defined.size else -math.inf

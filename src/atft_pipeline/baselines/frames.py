"""Ridge, LightGBM, their mean and the simple factors on the rows, days and targets of the model, and the best of them.

F features, Q horizons, D validation days, n rows of a day.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from atft_pipeline.baselines.binned import DayTable, row_limit, thin_days
from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.baselines.factors import FACTORS
from atft_pipeline.baselines.lightgbm import Predict, TreeModel, fit_trees
from atft_pipeline.baselines.ridge import Block, LinearModel, choose_ridge, rank_ic_columns
from atft_pipeline.baselines.rounds import FOLD_ROWS, FOLDS
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.process import available_memory
from atft_pipeline.progress import track
from atft_pipeline.splits.split import Split
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import rank_rows
from atft_pipeline.stats.report import mean_report
from atft_pipeline.training.config import TargetsConfig
from atft_pipeline.training.targets import check_targets, neutral_targets

MEAN = "ridge+lightgbm"
"""Name of the equal-weight mean of both fitted baselines' ranks of the day."""


@dataclass(frozen=True)
class Rows:
    """What a baseline is fitted on and judged by: the model's own rows, days and targets, all of the panel's features.

    Attributes:
        resident: labels in memory; the features are read day by day.
        split: days.
        batches: sample rules of the model.
        targets: what the model learns.
    """

    resident: ResidentPanel
    split: Split
    batches: BatchConfig
    targets: TargetsConfig

    @property
    def parts(self) -> tuple[DayBatches, DayBatches, DayBatches]:
        """Training, validation, test."""
        training, validation, test = (
            DayBatches(self.resident, None, days, self.batches, shuffle=False, seed=0)
            for days in (self.split.train, self.split.validation, self.split.test)
        )
        return training, validation, test

    def fitted_on(self, batches: DayBatches, label: str, days: Sequence[int] | None = None) -> Iterator[Block]:
        """Yield each day's last-step features [n, F] and the targets [n, Q] that the model learns from.

        Raises:
            ConfigError: the panel lacks a feature that the targets are to be neutral to.
        """
        panel = self.resident.panel
        check_targets(self.targets, panel.meta)
        sector = torch.from_numpy(panel.sector)
        for day, (features, targets) in _blocks(batches, label, days):
            if not self.targets.neutral_to:
                yield features, targets
                continue
            y, listing = torch.from_numpy(targets), torch.from_numpy(batches.samples_of(day))
            known = torch.isfinite(y)
            found = neutral_targets(
                self.targets,
                panel.meta,
                torch.where(known, y, 0.0)[None],
                torch.from_numpy(features)[None],
                sector[listing][None],
                known[None],
            )
            yield features, torch.where(known, found[0], torch.nan).numpy()

    def table(self, batches: DayBatches) -> tuple[DayTable, int]:
        """Training rows for trees, on evenly spaced days where memory does not take all; and the limit of rows."""
        meta = self.resident.panel.meta
        sizes = {day: len(batches.samples_of(day)) for day in batches.days}
        shape = len(meta.feature_names), len(meta.horizons)
        limit = row_limit(*shape, available_memory(), folds=FOLDS, fold_rows=FOLD_ROWS)
        days = thin_days(batches.days, list(sizes.values()), limit)
        targets = [y.astype(np.float32) for _, y in self.fitted_on(batches, "lightgbm", days)]

        def read(day: int) -> npt.NDArray[np.floating]:
            return last_step(self.resident.panel, day, batches.samples_of(day))

        return DayTable(
            days, [sizes[day] for day in days], len(meta.feature_names), np.concatenate(targets), read
        ), limit


@dataclass(frozen=True)
class Baselines:
    """What the model is compared with.

    Attributes:
        ridge: the linear model.
        trees: LightGBM; ``None`` where it is left out.
        card: validation RankIC of each by horizon, the best of them (the benchmark), and how LightGBM was fitted;
            plain JSON.
    """

    ridge: LinearModel
    trees: TreeModel | None
    card: dict[str, Any]

    def scores(self, features: npt.NDArray[np.floating], panel: Panel) -> dict[str, Floats]:
        """Scores [n, Q] of all features of a day's rows [n, F], by the name of the baseline, and ``benchmark``."""
        trees = None if self.trees is None else self.trees.predict
        scores = score_rows(features, panel, self.ridge.predict, trees)
        chosen = [self.card["benchmark"][str(horizon)] for horizon in panel.meta.horizons]
        best = [scores[name][:, place] for place, name in enumerate(chosen)]
        return {**scores, "benchmark": np.stack(best, axis=1)}

    def frame(self, batches: DayBatches, *, benchmark: bool = False) -> pl.DataFrame:
        """Score days.

        Args:
            batches: which rows.
            benchmark: with the scores of each horizon's benchmark by the name ``benchmark``, for folds whose benchmarks
                differ.

        Returns:
            Date, Listing, ``ridge_{h}`` and, where LightGBM was fitted, ``lightgbm_{h}`` and ``ridge+lightgbm_{h}``.
        """
        panel = batches.resident.panel
        names = np.array(panel.listings, dtype=object)
        parts = []
        for day in batches.days:
            listing = batches.samples_of(day)
            left_out = {*FACTORS} if benchmark else {*FACTORS, "benchmark"}
            scores = self.scores(last_step(panel, day, listing), panel)
            shown = {name: values for name, values in scores.items() if name not in left_out}
            keys = {"Date": np.repeat(panel.dates[day], len(listing)), "Listing": names[listing]}
            columns = {
                f"{name}_{horizon}": values[:, place].astype(np.float32)
                for name, values in shown.items()
                for place, horizon in enumerate(panel.meta.horizons)
            }
            parts.append(pl.DataFrame(keys | columns, schema_overrides={"Listing": pl.String}))
        return pl.concat(parts)


def fit_baselines(rows: Rows, settings: LightGBMConfig) -> Baselines:
    """Fit ridge and LightGBM on the training days and find the best baseline of each horizon on the validation days.

    The penalty of ridge is chosen on the validation days, the size of the trees over folds of the training days.
    """
    training, validation, _ = rows.parts
    panel = rows.resident.panel
    horizons = panel.meta.horizons
    ridge = choose_ridge(rows.fitted_on(training, "ridge"), _values(validation, "ridge validation"))

    def judge(predict: Predict) -> Floats:
        blocks = _values(validation, "validation")
        return np.stack([rank_ic_columns(predict(features), targets) for features, targets in blocks])

    trees, card = None, None
    if settings.enabled:
        table, limit = rows.table(training)
        gap = panel.meta.label_span + rows.split.embargo
        trees = fit_trees(table, judge, judge(ridge.predict), horizons, gap, settings)
        card = {**trees.card, "available_rows": training.samples, "row_limit": limit}
    daily: dict[str, list[Floats]] = {}
    for features, targets in _values(validation, "baselines validation"):
        for name, scores in score_rows(features, panel, ridge.predict, trees.predict if trees else None).items():
            daily.setdefault(name, []).append(rank_ic_columns(scores, targets))
    found = {
        str(horizon): {name: mean_report(np.stack(days)[:, place], horizon) for name, days in daily.items()}
        for place, horizon in enumerate(horizons)
    }
    return Baselines(
        ridge,
        trees,
        {
            "validation_days": len(validation.days),
            "validation_rank_ic": found,
            "benchmark": {horizon: best_of(reports) for horizon, reports in found.items()},
            "lightgbm": card,
        },
    )


def best_of(reports: dict[str, dict[str, Any]]) -> str:
    """Name of the highest mean; of equal ones the first, ridge where nothing is known."""
    return max(reports, key=lambda name: -np.inf if reports[name]["mean"] is None else reports[name]["mean"])


def weak_fits(card: dict[str, Any]) -> dict[str, str]:
    """Why LightGBM is a weak baseline, by horizon; those where it is none are left out.

    Args:
        card: of :class:`Baselines`.
    """
    fits = card["lightgbm"]["horizons"] if card["lightgbm"] else {}
    return {horizon: fit["weak"] for horizon, fit in fits.items() if fit["weak"]}


def score_rows(
    features: npt.NDArray[np.floating], panel: Panel, ridge: Predict, trees: Predict | None
) -> dict[str, Floats]:
    """Score the rows of a day by every baseline.

    Args:
        features: last step of all of the panel's features [n, F].
        panel: names the features and horizons.
        ridge: scores of ridge.
        trees: scores of LightGBM, if it was fitted.

    Returns:
        Scores [n, Q] by name: ridge, lightgbm, their mean, and the factors whose features the panel has.
    """
    found = {"ridge": ridge(features)}
    if trees is not None:
        found["lightgbm"] = trees(features)
        found[MEAN] = (rank_rows(found["ridge"].T) + rank_rows(found["lightgbm"].T)).T / (2 * len(features))
    names, columns = panel.meta.feature_names, len(panel.meta.horizons)
    for name, (feature, sign) in FACTORS.items():
        if feature in names:
            values = sign * features[:, names.index(feature)].astype(np.float64)
            found[name] = np.repeat(values[:, None], columns, axis=1)
    return found


def _blocks(batches: DayBatches, label: str, days: Sequence[int] | None = None) -> Iterator[tuple[int, Block]]:
    """Yield each day with its last-step features [n, F] and targets [n, Q]."""
    for day in track(batches.days if days is None else days, label):
        listing = batches.samples_of(day)
        targets = batches.resident.targets[day].cpu().numpy()[listing]
        yield day, (last_step(batches.resident.panel, day, listing), targets)


def _values(batches: DayBatches, label: str) -> Iterator[Block]:
    """The targets as the panel has them: a baseline is judged by the days as they were."""
    return (block for _, block in _blocks(batches, label))


def last_step(panel: Panel, day: int, listing: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Features [n, F] of some listings on a day."""
    view = panel.day(day)
    features: npt.NDArray[np.float32] = view.features[np.searchsorted(view.listing, listing)].astype(np.float32)
    return features

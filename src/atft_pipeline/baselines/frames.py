"""Scores of ridge and of LightGBM as tables, on the rows, days and targets of the model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from atft_pipeline.baselines.lightgbm import LightGBMConfig, fit_trees, thin_days
from atft_pipeline.baselines.ridge import Block, choose_ridge
from atft_pipeline.panel.batches import BatchConfig, DayBatches
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.progress import track
from atft_pipeline.splits.split import Split
from atft_pipeline.training.targets import TargetsConfig, check_targets, neutral_targets


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


def ridge_frame(rows: Rows) -> pl.DataFrame:
    """Fit ridge: penalty by the RankIC of the validation days; score the test days.

    Returns:
        Date, Listing, ``ridge_{h}``.
    """
    training, validation, test = rows.parts
    ridge = choose_ridge(rows.fitted_on(training, "ridge"), _values(validation, "ridge validation"))
    return _predicted(ridge.predict, test, "ridge")


def lightgbm_frame(rows: Rows, settings: LightGBMConfig) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Fit LightGBM likewise, on evenly spaced days where there are more rows than the settings allow.

    Returns:
        Date, Listing, ``lightgbm_{h}``; and how it was fitted, by horizon.
    """
    training, validation, test = rows.parts
    kept = [
        thin_days(part.days, [len(part.samples_of(day)) for day in part.days], settings.max_rows)
        for part in (training, validation)
    ]
    horizons = rows.resident.panel.meta.horizons
    trees = fit_trees(
        rows.fitted_on(training, "lightgbm", kept[0]),
        _values(validation, "lightgbm validation", kept[1]),
        horizons,
        settings,
    )
    card = {
        **trees.card,
        "horizons": {str(h): fit for h, fit in zip(horizons, trees.card["horizons"], strict=True)},
        "training_days": len(kept[0]),
        "available_rows": training.samples,
    }
    return _predicted(trees.predict, test, "lightgbm"), card


def _predicted(
    predict: Callable[[npt.NDArray[np.floating]], npt.NDArray[np.float64]], test: DayBatches, name: str
) -> pl.DataFrame:
    """Score days from their last step: Date, Listing, ``<name>_{h}``."""
    panel = test.resident.panel
    names = np.array(panel.listings, dtype=object)
    parts = []
    for day in test.days:
        listing = test.samples_of(day)
        score = predict(_last_step(panel, day, listing)).astype(np.float32)
        keys = {"Date": np.repeat(panel.dates[day], len(listing)), "Listing": names[listing]}
        columns = {f"{name}_{horizon}": score[:, place] for place, horizon in enumerate(panel.meta.horizons)}
        parts.append(pl.DataFrame(keys | columns, schema_overrides={"Listing": pl.String}))
    return pl.concat(parts)


def _blocks(batches: DayBatches, label: str, days: Sequence[int] | None = None) -> Iterator[tuple[int, Block]]:
    """Yield each day with its last-step features [n, F] and targets [n, Q]."""
    for day in track(batches.days if days is None else days, label):
        listing = batches.samples_of(day)
        targets = batches.resident.targets[day].cpu().numpy()[listing]
        yield day, (_last_step(batches.resident.panel, day, listing), targets)


def _values(batches: DayBatches, label: str, days: Sequence[int] | None = None) -> Iterator[Block]:
    """The targets as the panel has them: a baseline is judged by the days as they were."""
    return (block for _, block in _blocks(batches, label, days))


def _last_step(panel: Panel, day: int, listing: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Features [n, F] of some listings on a day."""
    view = panel.day(day)
    features: npt.NDArray[np.float32] = view.features[np.searchsorted(view.listing, listing)].astype(np.float32)
    return features

"""Scores of the model and of ridge as tables, on the same rows."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from atft_pipeline.evaluation.baselines import Block, RidgeConfig, choose_ridge
from atft_pipeline.panel.batches import BatchConfig, DayBatches
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.panel.splits import Split
from atft_pipeline.progress import track
from atft_pipeline.training.inference import Scores


def score_frame(scores: Scores, panel: Panel, levels: Sequence[float]) -> pl.DataFrame:
    """Lay scores out as a table.

    Args:
        scores: of the model.
        panel: names the days, listings and horizons.
        levels: quantile levels, where the model has quantiles.

    Returns:
        Date, Listing, ``score_{h}`` and ``quantile_{h}_{level}``, one row a sample, by day and listing.
    """
    columns: dict[str, object] = {
        "Date": panel.dates[scores.day],
        "Listing": np.array(panel.listings, dtype=object)[scores.listing],
    }
    for place, horizon in enumerate(panel.meta.horizons):
        columns[f"score_{horizon}"] = scores.score[:, place]
        if scores.quantiles is not None:
            for number, level in enumerate(levels):
                columns[f"quantile_{horizon}_{level:g}"] = scores.quantiles[:, place, number]
    return pl.DataFrame(columns, schema_overrides={"Listing": pl.String})


def ridge_frame(resident: ResidentPanel, split: Split, batches: BatchConfig, settings: RidgeConfig) -> pl.DataFrame:
    """Fit ridge on the model's own rows: training days, penalty by the validation days, scores of the test days.

    Returns:
        Date, Listing, ``ridge_{h}``.
    """
    training, validation, test = (
        DayBatches(resident, None, days, batches, shuffle=False, seed=0)
        for days in (split.train, split.validation, split.test)
    )
    ridge = choose_ridge(_blocks(training, "ridge"), _blocks(validation, "ridge validation"), settings)
    panel = resident.panel
    names = np.array(panel.listings, dtype=object)
    parts = []
    for day in test.days:
        listing = test.samples_of(day).cpu().numpy()
        score = ridge.predict(_last_step(panel, day, listing)).astype(np.float32)
        keys = {"Date": np.repeat(panel.dates[day], len(listing)), "Listing": names[listing]}
        columns = {f"ridge_{horizon}": score[:, place] for place, horizon in enumerate(panel.meta.horizons)}
        parts.append(pl.DataFrame(keys | columns, schema_overrides={"Listing": pl.String}))
    return pl.concat(parts)


def listing_details(panel: Panel) -> pl.DataFrame:
    """Listing, Code, sector, market of the panel's listings."""
    return pl.DataFrame(
        {
            "Listing": list(panel.listings),
            "Code": list(panel.codes),
            "sector": [panel.meta.sectors[number] for number in panel.sector],
            "market": [panel.meta.markets[number] for number in panel.market],
        }
    )


def _blocks(batches: DayBatches, label: str) -> Iterator[Block]:
    """Yield each day's last-step features [n, F] and targets [n, Q]."""
    for day in track(batches.days, label):
        listing = batches.samples_of(day)
        targets = batches.resident.targets[day, listing].cpu().numpy()
        yield _last_step(batches.resident.panel, day, listing.cpu().numpy()), targets


def _last_step(panel: Panel, day: int, listing: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Features [n, F] of some listings on a day."""
    view = panel.day(day)
    features: npt.NDArray[np.float32] = view.features[np.searchsorted(view.listing, listing)].astype(np.float32)
    return features

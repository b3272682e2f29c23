"""Scores of the library as tables."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from atft_pipeline.panel.panel import Panel
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

"""Scores of what is no stock: no training, label or headline sees these rows, one row of the slices does."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch
from torch import Tensor

from atft_pipeline.panel.batches import samples_of_days
from atft_pipeline.panel.panel import Panel
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.training.experiment import MarketData

LEAST = 10
"""Listings that a day needs: a rank correlation of fewer says nothing."""


def score_others(scorer: Scorer, prices: pl.DataFrame, days: Sequence[int]) -> pl.DataFrame:
    """Score what could be held on a day if it were a stock, by itself: no stock has another score for it.

    Args:
        scorer: a trained model and its panel, whose features of these rows are placed among the stocks'.
        prices: clean prices; those of a prepared table tell of no such rows.
        days: day indices.

    Returns:
        Date, Listing, ``score_{h}`` and ``return_{h}`` of the days with at least ten such rows.
    """
    panel, resident = scorer.data.panel, scorer.resident
    others = resident.over(_others(prices, panel).to(resident.device))
    batches = replace(scorer.card.batches, min_listings=LEAST)
    counts = samples_of_days(others, batches).sum(axis=1)
    kept = [day for day in days if counts[day] >= LEAST and day >= batches.window - 1]
    if not kept:
        columns = [f"{kind}_{horizon}" for kind in ("score", "return") for horizon in panel.meta.horizons]
        return pl.DataFrame(schema={"Date": pl.Date, "Listing": pl.String, **dict.fromkeys(columns, pl.Float32)})
    alone = replace(
        scorer,
        card=replace(scorer.card, batches=batches),
        data=MarketData(panel, scorer.data.graphs, others),
    )
    return alone.frame(kept, ["return"], quantiles=False)


def _others(prices: pl.DataFrame, panel: Panel) -> Tensor:
    """Mask [D, N] of what is no stock and could be held otherwise."""
    mask = np.zeros((len(panel.dates), len(panel.listings)), dtype=np.bool_)
    if "Stock" in prices.columns:
        rows = prices.lazy().filter("Tradable", ~pl.col("Stock")).select("Date", "Listing")
        days = pl.LazyFrame({"Date": panel.dates, "day": np.arange(len(panel.dates))})
        names = pl.LazyFrame({"Listing": list(panel.listings), "column": np.arange(len(panel.listings))})
        found = rows.join(days, on="Date").join(names, on="Listing").collect()
        mask[found["day"].to_numpy(), found["column"].to_numpy()] = True
    return torch.from_numpy(mask)

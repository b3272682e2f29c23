"""The artifacts that are in use, and the days at which they are looked at."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.panel import Panel


@dataclass(frozen=True)
class Stored:
    """What training and evaluation read.

    Attributes:
        clean: clean prices with InUniverse.
        listings: one row a listing with its sector and market.
        features: folder of the feature table.
        panel: the panel.
        graphs: the monthly graphs.
        labels: parameters of the features, for the labels.
        linked: parameters of the graphs.
        batches: parameters of the batches.
        card: the model's card as JSON, or ``None`` without a model.
    """

    clean: pl.DataFrame
    listings: pl.DataFrame
    features: Path
    panel: Panel
    graphs: MonthlyGraphs
    labels: FeaturesConfig
    linked: GraphConfig
    batches: BatchConfig
    card: Mapping[str, Any] | None = None


def draw_places(count: int, first: int, stop: int, seed: int) -> list[int]:
    """Places in ``first:stop``, one drawn from each of ``count`` equal stretches, and the last one.

    The last stretch gives its last place: what leaks at the end only is seen there.
    """
    if stop <= first:
        return []
    rng = np.random.default_rng(seed)
    edges = np.linspace(first, stop, count + 1).astype(int)
    drawn = [int(rng.integers(low, high)) for low, high in pairwise(edges.tolist()) if high > low]
    return sorted({*drawn, stop - 1})

"""Search for full-sample fingerprints in features that came from elsewhere.

A feature that was scaled by a listing's whole history, future included, predicts by construction: what lies above its
own full-sample mean must come down. Its RankIC then grows with the square root of the horizon without end, where the
RankIC of a real signal levels off as the signal fades. Scrambling the future cannot see this in a column that enters
ready-made; this search can.

Nothing is fitted: the scores are the feature itself, its level (mean of the past ``WINDOW`` rows of the listing) and
its place within the listing's own past (z-score against those rows).
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from scipy.special import ndtri

from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import rank_ic
from atft_pipeline.stats.significance import estimate

LEAST_HORIZONS = 3
# Rows of a listing's past for its level and its z-score: the longest window of the common rolling features.
WINDOW = 60
# Chance of one false alarm in the whole search (Bonferroni over all scores).
FAMILY_ERROR = 0.01
# Share of sqrt(next / this horizon) that the RankIC must grow by, from each horizon to the next: whole-sample scaling
# grows by all of it, a real signal by less the longer the horizon.
GROWTH = 0.75
# RankIC at the longest horizon below which nothing is suspected.
LEAST_RANK_IC = 0.05
# Days with fewer listings are left out.
MIN_LISTINGS = 20
# Periods without overlap below which a horizon is not judged: its error would mean nothing.
MIN_PERIODS = 20


@dataclass(frozen=True)
class Fingerprint:
    """One examined score.

    Attributes:
        feature: its name.
        score: ``itself``, ``level`` or ``z-score``.
        rank_ic: mean daily RankIC by horizon.
        t: of the longest horizon, by Newey-West.
        threshold: absolute t beyond chance for the whole search.
        passed: not suspicious.
    """

    feature: str
    score: str
    rank_ic: dict[int, float]
    t: float
    threshold: float
    passed: bool

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON types."""
        document = asdict(self) | {"t": self.t if math.isfinite(self.t) else None}
        document["rank_ic"] = {
            str(horizon): value if math.isfinite(value) else None for horizon, value in self.rank_ic.items()
        }
        return document


def search_fingerprints(
    features: pl.DataFrame, names: tuple[str, ...], horizons: tuple[int, ...]
) -> Iterator[Fingerprint]:
    """Examine every feature.

    Args:
        features: Date, Listing, InUniverse, the features, ``return_{h}``.
        names: features to examine; those equal for all listings of a day rank nothing and pass.
        horizons: sessions ahead, ascending.
    """
    rows = features.filter(pl.col("InUniverse"))
    grid = Grid.of(rows)
    returns = {h: grid.to_days(rows[f"return_{h}"]) for h in horizons}
    kinds = ("itself", "level", "z-score")
    threshold = float(-ndtri(FAMILY_ERROR / (2 * len(kinds) * max(1, len(names)))))
    for name in names:
        values = grid.to_days(rows[name])
        for kind, score in zip(kinds, (values, *_past_scores(values, WINDOW)), strict=True):
            yield _examine(name, kind, score, returns, threshold)


def _past_scores(values: Floats, window: int) -> tuple[Floats, Floats]:
    """Level and z-score of each cell [D, N] against the past ``window`` days, itself included."""
    present = np.isfinite(values)
    x = np.where(present, values, 0.0)

    def total(array: Floats) -> Floats:
        sums = np.cumsum(array, axis=0)
        sums[window:] -= sums[:-window].copy()
        return sums

    count = np.maximum(total(present.astype(np.float64)), 1)
    mean = total(x) / count
    deviation = np.sqrt(np.maximum(total(x * x) / count - mean * mean, 0.0))
    level = np.where(present, mean, np.nan)
    return level, np.where(present & (deviation > 1e-9), (x - mean) / np.maximum(deviation, 1e-9), np.nan)


def _examine(name: str, kind: str, score: Floats, returns: dict[int, Floats], threshold: float) -> Fingerprint:
    means: dict[int, float] = {}
    t = math.nan
    for horizon, realised in returns.items():
        found = estimate(rank_ic(score, realised, MIN_LISTINGS), horizon)
        if found.n_days < MIN_PERIODS * horizon:
            break
        means[horizon], t = found.mean, found.t
    # Growth over a single step says little: real signals grow at first too.
    if len(means) < LEAST_HORIZONS:
        return Fingerprint(name, kind, means, t, threshold, passed=True)
    longest = max(means)
    grows = all(
        means[after] * means[before] > 0
        and abs(means[after]) >= GROWTH * math.sqrt(after / before) * abs(means[before])
        for before, after in pairwise(sorted(means))
    )
    suspicious = grows and abs(t) > threshold and abs(means[longest]) >= LEAST_RANK_IC
    return Fingerprint(name, kind, means, t, threshold, not suspicious)

"""Search for full-sample fingerprints in features that came from elsewhere.

A feature that was scaled by a listing's whole history, future included, predicts by construction: what lies above its
own full-sample mean must come down. Its RankIC then grows with the square root of the horizon without end, where the
RankIC of a real signal levels off as the signal fades. Scrambling the future cannot see this in a column that enters
ready-made; this search can.

Nothing is fitted: the scores are the feature itself, its level (mean of the past ``window`` rows of the listing) and
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

from atft_pipeline.config import config, within
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import rank_ic
from atft_pipeline.stats.significance import estimate

LEAST_HORIZONS = 3


@config
class FingerprintConfig:
    """What counts as a fingerprint.

    Attributes:
        enabled: search at all.
        window: rows of a listing's past for its level and its z-score.
        family_error: chance of one false alarm in the whole search (Bonferroni over all scores).
        growth: share of sqrt(next / this horizon) that the RankIC must grow by, from each horizon to the next.
        least: RankIC at the longest horizon below which nothing is suspected.
        min_listings: days with fewer listings are left out.
        min_periods: periods without overlap below which a horizon is not judged; its error would mean nothing.
    """

    enabled: bool = True
    window: int = within(60, 2, 2000)
    family_error: float = within(0.01, 1e-09, 0.5)
    growth: float = within(0.75, 1e-06, 1)
    least: float = within(0.05, 0, 1)
    min_listings: int = within(20, 2, 100_000)
    min_periods: int = within(20, 2, 100_000)


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
    features: pl.DataFrame, names: tuple[str, ...], horizons: tuple[int, ...], settings: FingerprintConfig
) -> Iterator[Fingerprint]:
    """Examine every feature.

    Args:
        features: Date, Listing, InUniverse, the features, ``return_{h}``.
        names: features to examine; those equal for all listings of a day rank nothing and pass.
        horizons: sessions ahead, ascending.
        settings: what counts.
    """
    rows = features.filter(pl.col("InUniverse"))
    grid = Grid.of(rows)
    returns = {h: grid.to_days(rows[f"return_{h}"]) for h in horizons}
    kinds = ("itself", "level", "z-score")
    threshold = float(-ndtri(settings.family_error / (2 * len(kinds) * max(1, len(names)))))
    for name in names:
        values = grid.to_days(rows[name])
        for kind, score in zip(kinds, (values, *_past_scores(values, settings.window)), strict=True):
            yield _examine(name, kind, score, returns, threshold, settings)


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


def _examine(
    name: str, kind: str, score: Floats, returns: dict[int, Floats], threshold: float, settings: FingerprintConfig
) -> Fingerprint:
    means: dict[int, float] = {}
    t = math.nan
    for horizon, realised in returns.items():
        found = estimate(rank_ic(score, realised, settings.min_listings), horizon)
        if found.n_days < settings.min_periods * horizon:
            break
        means[horizon], t = found.mean, found.t
    # Growth over a single step says little: real signals grow at first too.
    if len(means) < LEAST_HORIZONS:
        return Fingerprint(name, kind, means, t, threshold, passed=True)
    longest = max(means)
    grows = all(
        means[after] * means[before] > 0
        and abs(means[after]) >= settings.growth * math.sqrt(after / before) * abs(means[before])
        for before, after in pairwise(sorted(means))
    )
    suspicious = grows and abs(t) > threshold and abs(means[longest]) >= settings.least
    return Fingerprint(name, kind, means, t, threshold, not suspicious)

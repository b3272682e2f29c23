"""Skill of kept weights, day by day."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from atft_pipeline.losses.portfolio import portfolio_returns, sharpe
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.stats.rank_ic import RankICSummary, rank_ic_of_tensors, summarise
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import MarketData


@dataclass(frozen=True)
class Skill:
    """Skill by day.

    Attributes:
        by_horizon: [T, Q] daily RankIC, NaN where undefined.
        weights: of the horizons in the mean of a day [Q], with sum 1.
        summary: mean and error of each horizon.
        days: day indices [T].
        portfolio_returns: [T] return of the soft portfolio at the shortest horizon; 0 on a day without labels.
        sharpe: of that portfolio, a day, not annualised.
    """

    by_horizon: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]
    summary: RankICSummary
    days: npt.NDArray[np.int64]
    portfolio_returns: npt.NDArray[np.float64]
    sharpe: float

    @property
    def rank_ic(self) -> npt.NDArray[np.float64]:
        """Weighted mean over the horizons [T]; days on which one of them is undefined are left out."""
        complete = np.isfinite(self.by_horizon).all(axis=1)
        mean: npt.NDArray[np.float64] = self.by_horizon[complete] @ self.weights
        return mean


def daily_skill(
    checkpoint: Path,
    data: MarketData,
    days: Sequence[int],
    runtime: RuntimeConfig,
    weights: Sequence[float] | None = None,
) -> Skill:
    """Score days with kept weights and measure each day.

    Args:
        checkpoint: folder of the weights.
        data: panel and graphs; a panel that is not in memory is streamed.
        days: day indices.
        runtime: device and precision.
        weights: of the horizons, with sum 1; ``None`` for equal ones.
    """
    scorer = Scorer.open(checkpoint, data, runtime)
    scores = scorer.scores(days)
    returns = scorer.resident.returns.cpu()
    daily: list[list[float]] = []
    earned: list[torch.Tensor] = []
    measured = np.unique(scores.day)
    for day in measured.tolist():
        rows = scores.day == day
        score = torch.from_numpy(scores.score[rows])
        label = returns[day, torch.from_numpy(scores.listing[rows])]
        there = torch.isfinite(label)
        # One row a horizon instead of one a day: the ranks are those of a row either way.
        daily.append(rank_ic_of_tensors(score.T, label.T, there.T).tolist())
        earned.append(portfolio_returns(score[:, 0], label[:, 0], there[:, 0]))
    table = np.array(daily, dtype=np.float64)
    returns_T = torch.stack(earned).double()
    count = len(scorer.card.horizons)
    return Skill(
        table,
        np.array(weights if weights is not None else [1 / count] * count),
        summarise(table, scorer.card.horizons),
        measured,
        returns_T.numpy(),
        float(-sharpe(returns_T[:, None], torch.ones(len(returns_T), dtype=torch.bool))),
    )

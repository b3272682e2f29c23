"""Validation: daily RankIC of whole days, vectorised, with its error.

Legend: T days, B days of a batch, n listings padded, Q horizons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True)
class RankICSummary:
    """Mean daily RankIC of each horizon and its Newey-West standard error.

    Attributes:
        mean: by horizon.
        se: by horizon.
        days: days with a value.
        average: mean over the horizons by their weights; the one number that picks the best epoch.
    """

    mean: dict[int, float]
    se: dict[int, float]
    days: int
    average: float


def average_ranks(values_Bn: Tensor, mask_Bn: Tensor) -> Tensor:
    """Ranks [B, n] from 1 within each row, ties averaged; masked places hold 0."""
    filled = values_Bn.float().masked_fill(~mask_Bn, torch.inf).contiguous()
    ordered = filled.sort(dim=-1).values
    left = torch.searchsorted(ordered, filled, right=False)
    right = torch.searchsorted(ordered, filled, right=True)
    return ((left + right + 1).float() / 2).masked_fill(~mask_Bn, 0.0)


def daily_rank_ic(score_Bn: Tensor, label_Bn: Tensor, mask_Bn: Tensor) -> Tensor:
    """Spearman correlation [B] of each day over its masked listings; NaN where a side is constant or too few remain."""
    count = mask_Bn.sum(dim=-1, keepdim=True).clamp(min=1)
    first, second = (
        (ranks - ranks.sum(dim=-1, keepdim=True) / count).masked_fill(~mask_Bn, 0.0)
        for ranks in (average_ranks(score_Bn, mask_Bn), average_ranks(label_Bn, mask_Bn))
    )
    scale = (first.square().sum(dim=-1) * second.square().sum(dim=-1)).sqrt()
    return torch.where((scale > 0) & (count[:, 0] > 2), (first * second).sum(dim=-1) / scale, torch.nan)


def newey_west(series: npt.NDArray[np.float64], lag: int) -> float:
    """Standard error of a mean under autocorrelation up to ``lag`` (Newey and West, 1987; Bartlett weights)."""
    count = len(series)
    if count < 2:
        return float("nan")
    centred = series - series.mean()
    variance = float(centred @ centred) / count
    for shift in range(1, min(lag, count - 1) + 1):
        variance += 2 * (1 - shift / (lag + 1)) * float(centred[shift:] @ centred[:-shift]) / count
    return float(np.sqrt(max(variance, 0.0) / count))


def summarise(
    daily_TQ: npt.NDArray[np.float64], horizons: tuple[int, ...], weights: Sequence[float] | None = None
) -> RankICSummary:
    """Mean and error of daily RankICs [T, Q]; days without a value are left out.

    Args:
        daily_TQ: RankIC of each day and horizon.
        horizons: Q sessions.
        weights: of the horizons in the average, as the loss weighs them; equal where not given.
    """
    mean: dict[int, float] = {}
    error: dict[int, float] = {}
    for column, horizon in enumerate(horizons):
        series = daily_TQ[np.isfinite(daily_TQ[:, column]), column]
        mean[horizon] = float(series.mean()) if len(series) else float("nan")
        error[horizon] = newey_west(series, lag=horizon)
    average = float(np.average(list(mean.values()), weights=weights))
    return RankICSummary(mean=mean, se=error, days=int(np.isfinite(daily_TQ).any(axis=1).sum()), average=average)

"""A differentiable long-short portfolio and its Sharpe ratio.

Legend: B days, n listings, the last dimension; any dimensions between.
"""

import torch
from torch import Tensor

from atft_pipeline.losses import masked


def positions(score: Tensor, mask: Tensor) -> Tensor:
    """Weights [..., n] of a portfolio that is long what scores above the day's mean and short the rest.

    tanh of the standardised scores, centred, with absolute weights that sum to 1.
    """
    standard = masked.centre(score, mask) / masked.spread(score, mask).clamp(min=1e-6)[..., None]
    raw = masked.centre(torch.tanh(standard), mask)
    return raw / raw.abs().sum(dim=-1, keepdim=True).clamp(min=1e-6)


def portfolio_returns(score: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Return of each day's portfolio [...], in the unit of the returns."""
    return (positions(score, mask) * torch.where(mask, returns, 0.0)).sum(dim=-1)


def turnover(weights: Tensor, days: Tensor, listing: Tensor) -> Tensor:
    """Turnover [B, Q] of a portfolio since the day before, where that day stands before it in the batch; else 0.

    Half the sum of absolute changes of the weights, listings that come or go among them: a portfolio that is sold and
    bought anew turns over 1. Gradients reach both days.

    Args:
        weights: [B, Q, n], 0 where there is no position.
        days: int64 [B], -1 = padding.
        listing: int64 [B, n], ascending within a day, -1 = padding at the end.
    """
    out = torch.zeros(weights.shape[:2], dtype=weights.dtype, device=weights.device)
    if len(days) < 2:
        return out
    follows = (days[1:] == days[:-1] + 1) & (days[:-1] >= 0)
    beyond = listing.amax() + 1
    filled = listing.where(listing >= 0, beyond).contiguous()
    place = torch.searchsorted(filled[:-1], filled[1:]).clamp(max=listing.shape[1] - 1)
    same = (filled[:-1].gather(1, place) == filled[1:]) & (listing[1:] >= 0)
    kept = weights[:-1].gather(2, place[:, None].expand_as(weights[1:])) * same[:, None]
    left = weights[:-1].abs().sum(dim=-1) - kept.abs().sum(dim=-1)
    changed = 0.5 * ((weights[1:] - kept).abs().sum(dim=-1) + left)
    return torch.cat([out[:1], torch.where(follows[:, None], changed, 0.0)])


def sharpe(returns_of_days: Tensor, known: Tensor) -> Tensor:
    """Minus the Sharpe ratio over days, per day and not annualised; 0 for fewer than 2 known days.

    Args:
        returns_of_days: [days, Q].
        known: bool [days], the days that count.
    """
    count = known.sum()
    there = known[:, None]
    mean = torch.where(there, returns_of_days, 0.0).sum(dim=0) / count.clamp(min=1)
    deviation = torch.where(there, returns_of_days - mean, 0.0)
    variance = deviation.square().sum(dim=0) / (count - 1).clamp(min=1)
    return torch.where(count >= 2, -mean / variance.clamp(min=1e-16).sqrt(), 0.0)

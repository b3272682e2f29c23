"""Losses of a soft long-short book. Legend: B days, n listings, the last dimension; any dimensions between."""

import torch
from torch import Tensor

from atft_pipeline.losses import masked


def positions(score: Tensor, mask: Tensor) -> Tensor:
    """Weights [..., n] of a book that is long what scores above the day's mean and short the rest.

    tanh of the standardised scores, centred, with absolute weights that sum to 1.
    """
    standard = masked.centre(score, mask) / masked.spread(score, mask).clamp(min=1e-6)[..., None]
    raw = masked.centre(torch.tanh(standard), mask)
    return raw / raw.abs().sum(dim=-1, keepdim=True).clamp(min=1e-6)


def book_returns(score: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Return of each day's book [...], in the unit of the returns."""
    return (positions(score, mask) * torch.where(mask, returns, 0.0)).sum(dim=-1)


def day_book(score: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Minus the book's return in units of the day's cross-sectional spread: a proxy within one day, not a Sharpe."""
    return -book_returns(score, target, mask) / masked.spread(target, mask).clamp(min=1e-6)


def sharpe(returns_of_days: Tensor) -> Tensor:
    """Minus the Sharpe ratio over days, per day and not annualised: [days, ...] -> [...]; 0 for fewer than 2 days."""
    if returns_of_days.shape[0] < 2:
        return torch.zeros_like(returns_of_days.sum(dim=0))
    deviation = returns_of_days.var(dim=0, unbiased=True).clamp(min=1e-16).sqrt()
    return -returns_of_days.mean(dim=0) / deviation

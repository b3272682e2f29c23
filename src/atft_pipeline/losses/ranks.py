"""Differentiable ranks of scores within a day, in (0, 1). Legend: n listings, the last dimension.

Two forms, by cost. Both leave the masked-out listings at 0.

* ``straight_through``: exact ranks forward; backward the derivative of the normal distribution function of the
  standardised scores, that is, of the rank that a bell-shaped cross-section would give. O(n log n).
* ``pairwise``: logistic comparisons with all others, the reference (Qin et al., "A general approximation framework for
  direct optimization of information retrieval measures", 2010, eq. 11). O(n^2).

The logistic comparisons measure scores in ``temperature`` standard deviations of the day, so that ranks do not depend
on the scale of the scores.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from atft_pipeline.losses import masked
from atft_pipeline.stats.rank_ic import average_ranks

SoftRank = Callable[[Tensor, Tensor], Tensor]


def hard_rank(x: Tensor, mask: Tensor) -> Tensor:
    """Exact ranks (r - 1/2) / count in (0, 1), ties averaged; no gradient."""
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    return torch.where(mask, (average_ranks(x.detach(), mask) - 0.5) / count, 0.0)


def straight_through_rank(x: Tensor, mask: Tensor) -> Tensor:
    """Exact ranks whose gradient is that of the normal distribution function of the standardised scores."""
    standard = masked.centre(x, mask) / masked.spread(x, mask).clamp(min=1e-6)[..., None]
    smooth = torch.special.ndtr(standard)
    return torch.where(mask, smooth + (hard_rank(x, mask) - smooth).detach(), 0.0)


def pairwise_rank(x: Tensor, mask: Tensor, temperature: float = 0.1) -> Tensor:
    """Soft ranks from all pairs."""
    unit = temperature * masked.spread(x, mask).clamp(min=1e-6)[..., None, None]
    beaten = torch.sigmoid((x[..., :, None] - x[..., None, :]) / unit)
    both = mask[..., :, None] & mask[..., None, :]
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    return torch.where(mask, torch.where(both, beaten, 0.0).sum(dim=-1) / count, 0.0)

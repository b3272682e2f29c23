"""Differentiable ranks of scores within a day, in (0, 1). Legend: n listings, the last dimension; W half window.

Three forms, by cost. All leave the masked-out listings at 0.

* ``straight_through``: exact ranks forward; backward the derivative of the normal distribution function of the
  standardised scores, that is, of the rank that a bell-shaped cross-section would give. O(n log n).
* ``window``: logistic comparisons with the 2 W nearest scores in sorted order, exact beyond them. O(n W).
* ``pairwise``: logistic comparisons with all others, the reference (Qin et al., "A general approximation framework for
  direct optimization of information retrieval measures", 2010, eq. 11). O(n^2).

The logistic comparisons measure scores in ``temperature`` standard deviations of the day, so that ranks do not depend
on the scale of the scores.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from atft_pipeline.losses import masked

SoftRank = Callable[[Tensor, Tensor], Tensor]


def hard_rank(x: Tensor, mask: Tensor) -> Tensor:
    """Exact ranks (r - 1/2) / count in (0, 1), ties averaged; no gradient."""
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    filled = x.detach().float().masked_fill(~mask, torch.inf).contiguous()
    ordered = filled.sort(dim=-1).values
    below = torch.searchsorted(ordered, filled, right=False)
    not_above = torch.searchsorted(ordered, filled, right=True)
    return torch.where(mask, (below + not_above) / (2 * count), 0.0)


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


def window_rank(x: Tensor, mask: Tensor, half_window: int = 64, temperature: float = 0.1) -> Tensor:
    """Soft ranks from the nearest ``2 half_window`` scores; those farther off are compared exactly."""
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    unit = temperature * masked.spread(x, mask).clamp(min=1e-6)[..., None]
    order = x.detach().masked_fill(~mask, torch.inf).argsort(dim=-1, stable=True)
    scaled = torch.where(mask, x / unit, 0.0).gather(-1, order)
    there = mask.gather(-1, order)
    length = x.shape[-1]
    reach = min(half_window, length - 1)
    # Everyone before the window is beaten: position minus what the window holds.
    position = torch.arange(length, device=x.device).to(x.dtype)
    total = (position - reach).clamp(min=0) + 0.5
    for offset in range(1, reach + 1):
        both = there[..., offset:] & there[..., :-offset]
        beaten = torch.where(both, torch.sigmoid(scaled[..., offset:] - scaled[..., :-offset]), 0.0)
        zeros = torch.zeros_like(beaten[..., :1]).expand(*beaten.shape[:-1], offset)
        lost = torch.where(both, 1 - beaten, 0.0)
        total = total + torch.cat([zeros, beaten], dim=-1) + torch.cat([lost, zeros], dim=-1)
    ranks = torch.zeros_like(total.expand_as(x)).scatter(-1, order, total.expand_as(x))
    return torch.where(mask, ranks / count, 0.0)


RANKS: dict[str, SoftRank] = {
    "straight_through": straight_through_rank,
    "window": window_rank,
    "pairwise": pairwise_rank,
}
"""Differentiable ranks by the name that the parameters use."""

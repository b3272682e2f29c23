"""Masked statistics over the listings of a day. Legend: n listings, the last dimension; any dimensions before it."""

import torch
from torch import Tensor


def mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean [...] over the masked listings; 0 where there are none."""
    count = mask.sum(dim=-1).clamp(min=1)
    return torch.where(mask, x, 0.0).sum(dim=-1) / count


def centre(x: Tensor, mask: Tensor) -> Tensor:
    """Subtract the mean of the masked listings [..., n]; the others become 0."""
    return torch.where(mask, x - mean(x, mask)[..., None], 0.0)


def spread(x: Tensor, mask: Tensor) -> Tensor:
    """Standard deviation [...] of the masked listings (divided by their number); 0 has gradient 0."""
    return mean(centre(x, mask).square(), mask).clamp(min=1e-16).sqrt()


def correlation(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Pearson correlation [...] over the masked listings; 0 with gradient 0 where a side is constant."""
    x, y = centre(x, mask), centre(y, mask)
    scale = (x.square().sum(dim=-1) * y.square().sum(dim=-1)).clamp(min=1e-20).sqrt()
    return (x * y).sum(dim=-1) / scale

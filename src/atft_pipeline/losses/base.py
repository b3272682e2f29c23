"""Regression losses, one value a day. Legend: n listings, the last dimension of score, target and mask; P quantiles.

Every function averages over the masked listings of a day and returns [...]; a listing without a label counts nothing.
"""

import math

import torch
from torch import Tensor

from atft_pipeline.losses import masked


def huber(score: Tensor, target: Tensor, mask: Tensor, delta: float = 1.0) -> Tensor:
    """Squared error near 0, absolute error beyond ``delta`` (Huber, 1964)."""
    error = (score - target).abs()
    near = error.clamp(max=delta)
    return masked.mean(near * (error - 0.5 * near), mask)


def mse(score: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error."""
    return masked.mean((score - target).square(), mask)


def quantile(quantiles: Tensor, target: Tensor, mask: Tensor, levels: Tensor) -> Tensor:
    """Pinball loss (Koenker and Bassett, 1978), mean over the levels.

    Args:
        quantiles: [..., n, P].
        target: [..., n].
        mask: bool [..., n].
        levels: [P] in (0, 1).
    """
    error = target[..., None] - quantiles
    return masked.mean(torch.maximum(levels * error, (levels - 1) * error).mean(dim=-1), mask)


def student_t(parameters: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Negative log likelihood of Student's t.

    Args:
        parameters: [..., n, 3] location, scale > 0, degrees of freedom > 2.
        target: [..., n].
        mask: bool [..., n].
    """
    location, scale, freedom = parameters.unbind(dim=-1)
    z = (target - location) / scale
    half = 0.5 * (freedom + 1)
    likelihood = (
        torch.lgamma(half)
        - torch.lgamma(0.5 * freedom)
        - 0.5 * torch.log(math.pi * freedom)
        - scale.log()
        - half * torch.log1p(z.square() / freedom)
    )
    return masked.mean(-likelihood, mask)


def listnet(score: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Cross entropy between the top-one probabilities of targets and scores (Cao et al., ICML 2007, eq. 6-8).

    Reported above the entropy of the targets, so that a perfect order at the right scale gives 0.
    """
    none = ~mask.any(dim=-1, keepdim=True)
    open_mask = mask | none
    expected = target.masked_fill(~open_mask, -torch.inf).log_softmax(dim=-1)
    found = score.masked_fill(~open_mask, -torch.inf).log_softmax(dim=-1)
    divergence = torch.where(open_mask, expected.exp() * (expected - found), 0.0).sum(dim=-1)
    return torch.where(none[..., 0], 0.0, divergence)

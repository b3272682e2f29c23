"""Regression losses, one value a day. Legend: n listings, the last dimension of score, target and mask; P quantiles.

Every function averages over the masked listings of a day and returns [...]; a listing without a label counts nothing.
"""

import math

import torch
from torch import Tensor

from atft_pipeline.losses import masked

# Targets have spread 1 within a day: errors of up to one deviation count squared, larger ones by their size.
HUBER_DELTA = 1.0


def huber(score: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Squared error near 0, absolute error beyond ``HUBER_DELTA`` (Huber, 1964)."""
    error = (score - target).abs()
    near = error.clamp(max=HUBER_DELTA)
    return masked.mean(near * (error - 0.5 * near), mask)


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

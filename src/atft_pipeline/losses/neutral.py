"""Targets without what known exposures explain.

A cross-section follows its market betas, up on good days and down on bad ones. What cannot be known the day before is
noise to whoever learns from it; it is taken out of the targets. Scores are still judged by the returns as they are.

Legend: B days, n listings, Q horizons, E exposures.
"""

import torch
from torch import Tensor

# Share of a variance of 1 that is added to every exposure's, so that a constant exposure explains nothing.
FLOOR = 1e-6


@torch.no_grad()
def neutralise(targets: Tensor, exposures: Tensor, mask: Tensor) -> Tensor:
    """Residuals of each day's least-squares regression of the targets on the exposures; their mean stays.

    Args:
        targets: [B, n, Q].
        exposures: [B, n, E] known on the day itself.
        mask: bool [B, n, Q], True = the target counts; the others come back as they are.

    Returns:
        float32 [B, n, Q].
    """
    y = targets.float().transpose(1, 2)  # [B, Q, n]
    there = mask.transpose(1, 2)
    count = there.sum(dim=-1, keepdim=True).clamp(min=1)
    x = exposures.float()[:, None].expand(-1, y.shape[1], -1, -1)  # [B, Q, n, E]
    x = (x - (x * there[..., None]).sum(dim=2, keepdim=True) / count[..., None]) * there[..., None]
    centred = (y - (y * there).sum(dim=-1, keepdim=True) / count) * there
    gram = x.mT @ x + FLOOR * count[..., None] * torch.eye(x.shape[-1], device=x.device)
    # Without the check for singular matrices, which the floor rules out and which would wait for the device.
    slope = torch.linalg.solve_ex(gram, x.mT @ centred[..., None]).result  # [B, Q, E, 1]
    residual: Tensor = y - (x @ slope)[..., 0]
    return residual.transpose(1, 2)

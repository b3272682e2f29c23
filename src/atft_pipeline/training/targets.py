"""Targets that model and baselines learn from: those of the panel, without what known exposures explain.

A cross-section follows its market betas, up on good days and down on bad ones. What cannot be known the day before is
noise in the targets, and is taken out of them. Scores are still judged by the returns as they are.

Legend: B days, n listings, Q horizons, E exposures, G sectors.
"""

import torch
from torch import Tensor

from atft_pipeline.config import require
from atft_pipeline.panel.panel import PanelMeta
from atft_pipeline.training.config import TargetsConfig

SECTOR = "sector"
"""Among the names that targets are neutral to: the listing's sector, which is no feature."""

# Share of a variance of 1 that is added to every exposure's, so that a constant exposure explains nothing.
FLOOR = 1e-6


def check_targets(config: TargetsConfig, meta: PanelMeta) -> None:
    """Refuse a name that the features do not have, before any work.

    Raises:
        ConfigError: naming it and what to do.
    """
    absent = sorted(set(config.neutral_to) - {SECTOR, *meta.feature_names})
    require(
        not absent,
        f"targets.neutral_to: {', '.join(absent)} is not among the features that batches.features names; add it there, "
        "or leave it out with targets.neutral_to=[]",
    )


@torch.no_grad()
def neutral_targets(
    config: TargetsConfig, meta: PanelMeta, targets: Tensor, features: Tensor, sector: Tensor, mask: Tensor
) -> Tensor:
    """The targets of some days without the share of what the parameters name.

    Args:
        config: what they are neutral to.
        meta: of the panel: names of features and sectors.
        targets: [B, n, Q].
        features: [B, n, F] of the day itself.
        sector: int64 [B, n], 0 = unknown.
        mask: bool [B, n, Q], True = the target counts.

    Returns:
        float32 [B, n, Q].
    """
    if SECTOR in config.neutral_to:
        targets = less_sector_means(targets, sector, mask, len(meta.sectors))
    places = [meta.feature_names.index(name) for name in config.neutral_to if name != SECTOR]
    # Stacked, for a list of columns would be copied to the device, which makes the host wait.
    return neutralise(targets, torch.stack([features[..., p] for p in places], dim=-1), mask) if places else targets


def less_sector_means(targets: Tensor, sector: Tensor, mask: Tensor, sectors: int) -> Tensor:
    """Targets [B, n, Q] less the mean of their sector; unknown and lone sectors are compared with all listings."""
    counts = mask.float()
    values = torch.where(mask, targets.float(), 0.0)
    member = torch.nn.functional.one_hot(sector, sectors).float()  # [B, n, G]
    size, total = member.mT @ counts, member.mT @ values  # [B, G, Q]
    overall = values.sum(dim=1, keepdim=True) / counts.sum(dim=1, keepdim=True).clamp(min=1)
    known = (torch.arange(sectors, device=sector.device) > 0)[:, None]
    means = torch.where(known & (size >= 2), total / size.clamp(min=1), overall)
    return torch.where(mask, values - member @ means, targets.float())


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

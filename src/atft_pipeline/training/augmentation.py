"""Noise on training inputs. Legend: B days, n listings, L steps, F features, Q horizons."""

from typing import NamedTuple

import torch
from torch import Tensor

from atft_pipeline.panel.batches import DayBatch
from atft_pipeline.training.config import AugmentationConfig


class Example(NamedTuple):
    """What a training step sees of a batch: features [B, n, L, F], mask [B, n], the rest [B, n, Q]."""

    features: Tensor
    mask: Tensor
    targets: Tensor
    returns: Tensor
    label_mask: Tensor


def augment(batch: DayBatch, config: AugmentationConfig) -> Example:
    """Mix days, hide features, add noise and leave listings out, drawn from torch's global generator.

    Args:
        batch: on the device that computes.
        config: how much of what; all zero returns the batch as it is.
    """
    seen = Example(batch.inputs(), batch.mask, batch.targets, batch.returns, batch.label_mask)
    if config.mix_days and batch.real_days > 1:
        seen = mix_days(seen, batch, config.mix_days)
    features, mask = seen.features, seen.mask
    size, width = mask.shape
    device = features.device
    if config.feature_mask:
        kept = torch.rand(size, 1, 1, features.shape[-1], device=device) >= config.feature_mask
        features = features * kept
    if config.noise:
        features = features + config.noise * torch.randn_like(features)
    if config.listing_dropout:
        mask = mask & (torch.rand(size, width, device=device) >= config.listing_dropout)
    return Example(features, mask, seen.targets, seen.returns, seen.label_mask & mask[..., None])


def mix_days(seen: Example, batch: DayBatch, strength: float) -> Example:
    """Mix each day with another one of the batch, listing by listing; listings of one day alone stay as they are.

    The same listings meet, so that the graph of the day keeps its meaning. The day itself keeps at least half.
    """
    device = seen.mask.device
    days = batch.real_days
    # Another day than itself: a random ring through the real days.
    ring = torch.randperm(days, device=device)
    other = torch.arange(len(batch.days), device=device)
    other[ring] = ring.roll(1)
    share = torch.distributions.Beta(strength, strength).sample((len(other),)).to(device)
    share = torch.maximum(share, 1 - share)
    beyond = batch.listing.amax() + 1
    theirs = batch.listing.where(batch.listing >= 0, beyond)[other].contiguous()
    place = torch.searchsorted(theirs, batch.listing.contiguous()).clamp(max=theirs.shape[1] - 1)
    both = (theirs.gather(1, place) == batch.listing) & (batch.listing >= 0) & (other[:, None] != _rows(other)[:, None])
    row = other[:, None]

    def mixed(mine: Tensor) -> Tensor:
        weight = share.view(-1, *[1] * (mine.ndim - 1))
        found = weight * mine + (1 - weight) * mine[row, place]
        return torch.where(both.view(*both.shape, *[1] * (mine.ndim - 2)), found, mine)

    return Example(
        features=mixed(seen.features),
        mask=seen.mask,
        targets=mixed(seen.targets),
        returns=mixed(seen.returns),
        label_mask=seen.label_mask & (seen.label_mask[row, place] | ~both[..., None]),
    )


def _rows(like: Tensor) -> Tensor:
    return torch.arange(len(like), device=like.device)

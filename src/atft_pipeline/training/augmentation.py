"""Noise on training inputs. Legend: S samples, B days, L steps, F features."""

from typing import NamedTuple

import torch
from torch import Tensor

from atft_pipeline.panel.day_batch import DayBatch
from atft_pipeline.training.config import AugmentationConfig


class Example(NamedTuple):
    """What a training step sees of a batch: features float32 [S, L, F] and mask [S]."""

    features: Tensor
    mask: Tensor


def augment(batch: DayBatch, config: AugmentationConfig) -> Example:
    """Hide features, add noise and leave listings out, drawn from torch's global generator.

    Args:
        batch: on the device that computes.
        config: how much of what; all zero returns the batch as it is.
    """
    features, mask = batch.inputs(), batch.mask
    device = features.device
    if config.feature_mask:
        kept = torch.rand(len(batch.days), features.shape[-1], device=device) >= config.feature_mask
        features = features * kept[batch.row][:, None]
    if config.noise:
        features = features + config.noise * torch.randn_like(features)
    if config.listing_dropout:
        mask = mask & (torch.rand(len(mask), device=device) >= config.listing_dropout)
    return Example(features, mask)

"""Noise on training inputs. Legend: B days, n listings, L steps, F features."""

import torch
from torch import Tensor

from atft_pipeline.training.config import AugmentationConfig


def augment(features_BnLF: Tensor, mask_Bn: Tensor, config: AugmentationConfig) -> tuple[Tensor, Tensor]:
    """Draw features to hide, noise to add and listings to leave out, from torch's global generator.

    Args:
        features_BnLF: windows, float.
        mask_Bn: True = a sample.
        config: how much of what; all zero returns the inputs themselves.

    Returns:
        Windows and mask of the same shapes.
    """
    batch, width = mask_Bn.shape
    device = features_BnLF.device
    if config.feature_mask:
        kept = torch.rand(batch, 1, 1, features_BnLF.shape[-1], device=device) >= config.feature_mask
        features_BnLF = features_BnLF * kept
    if config.noise:
        features_BnLF = features_BnLF + config.noise * torch.randn_like(features_BnLF)
    if config.listing_dropout:
        mask_Bn = mask_Bn & (torch.rand(batch, width, device=device) >= config.listing_dropout)
    return features_BnLF, mask_Bn

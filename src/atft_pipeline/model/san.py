"""Slice-level adaptive normalisation. Legend: S samples, L steps, F features, H width, G slices, P patterns."""

import torch
from torch import Tensor, nn

from atft_pipeline.model.moments import Moments, Normalised, deviation


class SAN(nn.Module):
    """Slice-level adaptive normalisation (Liu et al., NeurIPS 2023, section 3.2).

    Each slice is centred and scaled by its own moments; the sequence of the slices' moments goes through an MLP, which
    in the paper predicts those of the next slice. The slices end with the window and the first one takes the remainder:
    every step, above all the last, lies in a slice of at least ``slice_length`` steps.

    Args:
        features: F.
        window: L.
        width: H of the summary.
        slice_length: steps of a slice; a shorter window is one slice.
        patterns: P, hidden width of the MLP along the slices.

    Shapes: x [S, L, F], step_mask [S, L] -> sequence [S, L, F], summary [S, H].
    """

    def __init__(self, features: int, window: int, width: int, slice_length: int, patterns: int) -> None:
        super().__init__()
        count = max(1, window // slice_length)
        slice_of_step = ((torch.arange(window) - window) // slice_length + count).clamp(min=0)
        groups = slice_of_step[None, :] == torch.arange(count)[:, None]
        self.moments = Moments(groups)
        self.patterns = nn.Linear(2 * count, patterns)
        self.summary = nn.Linear(patterns * features, width)

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:
        """Centre and scale each slice of each feature."""
        with torch.autocast(x_SLF.device.type, enabled=False):
            x_SLF = x_SLF.float()
            mean, variance = self.moments(x_SLF, step_mask_SL)
            scale = deviation(variance)
            to_steps = self.moments.groups.T  # [L, G]: every step has one slice
            sequence = (x_SLF - to_steps @ mean) / (to_steps @ scale)
        moments = torch.cat([mean, scale], dim=1)
        embedded = nn.functional.gelu(torch.matmul(self.patterns.weight, moments) + self.patterns.bias[:, None])
        return Normalised(sequence * step_mask_SL[..., None], self.summary(embedded.flatten(1)))

"""A mixture of z-scores. Legend: S samples, L steps, F features, H width, G windows."""

import torch
from torch import Tensor, nn

from atft_pipeline.model.moments import Moments, Normalised, deviation


class MultiWindow(nn.Module):
    """Mixture of z-scores over trailing windows of several lengths, with learned softmax weights for each feature.

    Every step is compared with the steps before it only, so the sequence is causal inside the window too.

    Args:
        features: F.
        window: L; longer trailing windows are cut to it.
        width: H of the summary.
        windows: lengths of the G trailing windows.

    Shapes: x [S, L, F], step_mask [S, L] -> sequence [S, L, F], summary [S, H].
    """

    def __init__(self, features: int, window: int, width: int, windows: tuple[int, ...]) -> None:
        super().__init__()
        lag = torch.arange(window)[:, None] - torch.arange(window)[None, :]
        self.moments = nn.ModuleList(Moments((lag >= 0) & (lag < length)) for length in windows)
        self.mixture = nn.Parameter(torch.zeros(len(windows), features))
        self.summary = nn.Linear(2 * len(windows) * features, width)

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:
        """Mix the z-scores."""
        with torch.autocast(x_SLF.device.type, enabled=False):
            x_SLF = x_SLF.float()
            mixture = torch.softmax(self.mixture, dim=0)
            sequence = torch.zeros_like(x_SLF)
            last: list[Tensor] = []
            for index, moments in enumerate(self.moments):
                mean, variance = moments(x_SLF, step_mask_SL)
                scale = deviation(variance)
                sequence = sequence + mixture[index] * (x_SLF - mean) / scale
                last += [mean[:, -1], scale[:, -1]]
        return Normalised(sequence * step_mask_SL[..., None], self.summary(torch.cat(last, dim=-1)))

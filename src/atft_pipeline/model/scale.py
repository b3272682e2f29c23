"""Window normalisers by mean and variance: RevIN, SAN, and a mixture of trailing windows.

Legend: S samples, L steps, F features, H width, G slices or windows.

Statistics are those of the present steps of one window of one listing; no other sample enters. A variance floor in
squared feature units keeps constant series at zero instead of blowing up their rounding noise.
"""

import torch
from torch import Tensor, nn

from atft_pipeline.model.normaliser import Normalised


class Moments(nn.Module):
    """Mean and variance of groups of steps: two matrix products along the time axis.

    Args:
        groups: bool [G, L], the steps of each group.

    Shapes: x [S, L, F], step_mask [S, L] -> mean [S, G, F], variance [S, G, F].
    """

    groups: Tensor

    def __init__(self, groups: Tensor) -> None:
        super().__init__()
        self.register_buffer("groups", groups.float(), persistent=False)

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> tuple[Tensor, Tensor]:
        """Average over the present steps; a group without any has mean and variance 0."""
        present = step_mask_SL.to(x_SLF.dtype)
        count = (present @ self.groups.T).clamp(min=1)[..., None]
        x_SLF = x_SLF * present[..., None]
        mean = (self.groups @ x_SLF) / count
        return mean, ((self.groups @ x_SLF.square()) / count - mean.square()).clamp(min=0)


class RevIN(nn.Module):
    """Reversible instance normalisation without the reverse (Kim et al., ICLR 2022, eq. 1).

    Scores are not forecasts of the series, so nothing is denormalised; mean and scale go to the model as a summary.

    Args:
        features: F.
        window: L.
        width: H of the summary.
        floor: variance floor.

    Shapes: x [S, L, F], step_mask [S, L] -> sequence [S, L, F], summary [S, H].
    """

    def __init__(self, features: int, window: int, width: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.moments = Moments(torch.ones(1, window, dtype=torch.bool))
        self.scale = nn.Parameter(torch.ones(features))
        self.shift = nn.Parameter(torch.zeros(features))
        self.summary = nn.Linear(2 * features, width)

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:
        """Centre and scale each feature by its own window."""
        with torch.autocast(x_SLF.device.type, enabled=False):
            x_SLF = x_SLF.float()
            mean, variance = self.moments(x_SLF, step_mask_SL)
            deviation = (variance + self.floor).sqrt()
            sequence = (x_SLF - mean) / deviation * self.scale + self.shift
        taken = torch.cat([mean, deviation], dim=1).flatten(1)
        return Normalised(sequence * step_mask_SL[..., None], self.summary(taken))


class SAN(nn.Module):
    """Slice-level adaptive normalisation (Liu et al., NeurIPS 2023, section 3.2).

    Each slice is centred and scaled by its own moments; the sequence of the slices' moments goes through an MLP, which
    in the paper foretells the next slice's. The slices end with the window: the first one takes the remainder, so that
    every step, above all the last, lies in a slice of at least ``slice_length`` steps.

    Args:
        features: F.
        window: L.
        width: H of the summary.
        slice_length: steps of a slice; a shorter window is one slice.
        patterns: P, hidden width of the MLP along the slices.
        floor: variance floor.

    Shapes: x [S, L, F], step_mask [S, L] -> sequence [S, L, F], summary [S, H].
    """

    def __init__(self, features: int, window: int, width: int, slice_length: int, patterns: int, floor: float) -> None:
        super().__init__()
        self.floor = floor
        count = max(1, window // slice_length)
        place = ((torch.arange(window) - window) // slice_length + count).clamp(min=0)
        groups = place[None, :] == torch.arange(count)[:, None]
        self.moments = Moments(groups)
        self.patterns = nn.Linear(2 * count, patterns)
        self.summary = nn.Linear(patterns * features, width)

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:
        """Centre and scale each slice of each feature."""
        with torch.autocast(x_SLF.device.type, enabled=False):
            x_SLF = x_SLF.float()
            mean, variance = self.moments(x_SLF, step_mask_SL)
            deviation = (variance + self.floor).sqrt()
            back = self.moments.groups.T  # [L, G]: every step has one slice
            sequence = (x_SLF - back @ mean) / (back @ deviation)
        moments = torch.cat([mean, deviation], dim=1)
        found = nn.functional.gelu(torch.matmul(self.patterns.weight, moments) + self.patterns.bias[:, None])
        return Normalised(sequence * step_mask_SL[..., None], self.summary(found.flatten(1)))


class MultiWindow(nn.Module):
    """Mixture of z-scores over trailing windows of several lengths, with learned softmax weights for each feature.

    Every step is compared with the steps before it only, so the sequence is causal inside the window too.

    Args:
        features: F.
        window: L; longer trailing windows are cut to it.
        width: H of the summary.
        windows: lengths of the G trailing windows.
        floor: variance floor.

    Shapes: x [S, L, F], step_mask [S, L] -> sequence [S, L, F], summary [S, H].
    """

    def __init__(self, features: int, window: int, width: int, windows: tuple[int, ...], floor: float) -> None:
        super().__init__()
        self.floor = floor
        lag = torch.arange(window)[:, None] - torch.arange(window)[None, :]
        self.moments = nn.ModuleList(Moments((lag >= 0) & (lag < length)) for length in windows)
        self.mixture = nn.Parameter(torch.zeros(len(windows), features))
        self.summary = nn.Linear(2 * len(windows) * features, width)

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:
        """Mix the z-scores."""
        with torch.autocast(x_SLF.device.type, enabled=False):
            x_SLF = x_SLF.float()
            share = torch.softmax(self.mixture, dim=0)
            sequence = torch.zeros_like(x_SLF)
            last: list[Tensor] = []
            for place, moments in enumerate(self.moments):
                mean, variance = moments(x_SLF, step_mask_SL)
                deviation = (variance + self.floor).sqrt()
                sequence = sequence + share[place] * (x_SLF - mean) / deviation
                last += [mean[:, -1], deviation[:, -1]]
        return Normalised(sequence * step_mask_SL[..., None], self.summary(torch.cat(last, dim=-1)))

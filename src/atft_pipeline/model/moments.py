"""What a window normaliser returns, and the moments that those by mean and variance take.

Legend: S samples, L steps, F features, H width, G groups of steps (slices, or trailing windows).

Statistics are those of the present steps of one window of one listing; no other sample enters.
"""

from typing import NamedTuple

from torch import Tensor, nn

# Added to every variance, in squared units of the features, whose spread is about 1: rounding noise of a constant
# series (1e-6 and less) stays at zero instead of being blown up to unit variance.
VARIANCE_FLOOR = 1e-2


class Normalised(NamedTuple):
    """A window after normalisation.

    Attributes:
        sequence: [S, L, F], what the encoder sees.
        summary: [S, H], what was taken out of the window, embedded; ``None`` where nothing was.
    """

    sequence: Tensor
    summary: Tensor | None


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


def deviation(variance: Tensor) -> Tensor:
    """Standard deviation with the floor."""
    return (variance + VARIANCE_FLOOR).sqrt()

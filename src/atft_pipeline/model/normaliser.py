"""What every window normaliser returns, and the one that changes nothing."""

from typing import NamedTuple

from torch import Tensor, nn


class Normalised(NamedTuple):
    """A window after normalisation. Legend: S samples, L steps, F features, H width.

    Attributes:
        sequence: [S, L, F], what the encoder sees.
        summary: [S, H], what was taken out of the window, embedded; ``None`` where nothing was.
    """

    sequence: Tensor
    summary: Tensor | None


class NoNormaliser(nn.Module):
    """Pass the window on as it is."""

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:  # noqa: ARG002
        """Return the window itself."""
        return Normalised(x_SLF, None)

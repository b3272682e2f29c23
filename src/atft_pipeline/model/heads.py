"""Output heads. Legend: H width, Q horizons, P quantiles."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atft_pipeline.model.config import HeadsConfig
from atft_pipeline.model.grn import GatedResidualNetwork


class Heads(nn.Module):
    """A score, quantiles and Student-t parameters for each horizon, each from its own layer.

    * Quantiles cannot cross: the lowest is free, every further one adds a softplus.
    * Student-t: location, scale > 0 and degrees of freedom > 2, so that the variance exists.

    Args:
        config: which heads.
        width: H.
        horizons: Q.
        dropout: of the shared GRN.

    Shapes: x [..., H] -> score [..., Q], quantiles [..., Q, P] or None, student_t [..., Q, 3] or None.
    """

    def __init__(self, config: HeadsConfig, width: int, horizons: int, dropout: float) -> None:
        super().__init__()
        self.horizons = horizons
        self.shared = GatedResidualNetwork(width, width, dropout)
        self.score = nn.Linear(width, horizons)
        self.quantiles = nn.Linear(width, horizons * len(config.quantiles)) if config.quantiles else None
        self.student_t = nn.Linear(width, 3 * horizons) if config.student_t else None
        # Targets have unit spread and are nearly unpredictable: small scores at the start.
        nn.init.normal_(self.score.weight, std=0.2 * width**-0.5)
        nn.init.zeros_(self.score.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Score."""
        shared = self.shared(x)
        score = self.score(shared).float()
        quantiles = student_t = None
        if self.quantiles is not None:
            raw = self.quantiles(shared).float().unflatten(-1, (self.horizons, -1))
            steps = torch.cat([raw[..., :1], F.softplus(raw[..., 1:])], dim=-1)
            quantiles = steps.cumsum(dim=-1)
        if self.student_t is not None:
            location, scale, freedom = self.student_t(shared).float().unflatten(-1, (self.horizons, 3)).unbind(dim=-1)
            student_t = torch.stack([location, F.softplus(scale) + 1e-3, 2 + F.softplus(freedom) + 1e-3], dim=-1)
        return score, quantiles, student_t

"""Frequency adaptive normalisation (Ye et al., "Frequency Adaptive Normalization For Non-stationary Time Series
Forecasting", NeurIPS 2024, eq. 2-6).

Legend: S samples, L steps, F features, M frequencies = L // 2 + 1, P patterns, H width.
"""  # noqa: D205

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atft_pipeline.model.moments import Normalised


def fourier_bases(length: int) -> tuple[Tensor, Tensor]:
    """Real DFT and its inverse as matrices.

    Args:
        length: L.

    Returns:
        ``analysis`` float32 [2M, L], cosine rows above sine rows, so that ``analysis @ x`` holds the real parts and the
        negated imaginary parts of ``rfft(x)``; ``synthesis`` [L, 2M] with ``synthesis @ analysis`` = identity.
    """
    frequency = torch.arange(length // 2 + 1, dtype=torch.float64)
    angle = 2 * math.pi / length * frequency[:, None] * torch.arange(length, dtype=torch.float64)[None, :]
    analysis = torch.cat([angle.cos(), angle.sin()])
    # Each frequency stands for itself and its conjugate, except 0 and, for even L, the last one.
    paired = torch.full_like(frequency, 2.0)
    paired[0] = 1.0
    if length % 2 == 0:
        paired[-1] = 1.0
    synthesis = (analysis * torch.cat([paired, paired])[:, None] / length).T
    return analysis.float(), synthesis.float().contiguous()


class FAN(nn.Module):
    """Split each window of each feature into its K strongest Fourier components and the rest.

    x = main + residual, main = IDFT(top-K(DFT(x))). The encoder sees ``residual + gain * main`` with a gain for each
    feature that starts at 1, hence the window itself; the main part also goes through its own MLP along the time axis,
    summary = W2 GELU(W1 main), which reads level and phase of every feature. No statistic of other samples enters.
    The choice of components carries no gradient, as in the paper. Everything up to the split stays in float32 under
    autocast: in bf16 some series pick other components.

    Args:
        features: F.
        window: L.
        width: H of the summary.
        top_k: K; at most M components exist.
        patterns: P, the rows of W1.

    Shapes: x [S, L, F] -> sequence [S, L, F], summary [S, H].
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(self, features: int, window: int, width: int, top_k: int, patterns: int) -> None:
        super().__init__()
        analysis, synthesis = fourier_bases(window)
        self.register_buffer("analysis", analysis, persistent=False)
        self.register_buffer("synthesis", synthesis, persistent=False)
        self.top_k = min(top_k, window // 2 + 1)
        self.gain = nn.Parameter(torch.ones(features))
        self.patterns = nn.Linear(window, patterns)
        self.summary = nn.Linear(patterns * features, width)

    def split(self, x_SLF: Tensor) -> tuple[Tensor, Tensor]:
        """Main part and residual, both [S, L, F]; their sum is ``x``."""
        with torch.autocast(x_SLF.device.type, enabled=False):
            x_SLF = x_SLF.float()
            spectrum: Tensor = self.analysis @ x_SLF  # [S, 2M, F]
            cosine, sine = spectrum.chunk(2, dim=1)
            power = cosine.square() + sine.square()
            keep = power >= strongest(power.detach(), self.top_k)
            main = self.synthesis @ torch.cat([cosine * keep, sine * keep], dim=1)
        return main, x_SLF - main

    def forward(self, x_SLF: Tensor, step_mask_SL: Tensor) -> Normalised:  # noqa: ARG002
        """Normalise; absent steps are zeros already."""
        main, residual = self.split(x_SLF)
        found = F.gelu(torch.matmul(self.patterns.weight, main) + self.patterns.bias[:, None])  # [S, P, F]
        return Normalised(residual + self.gain * main, self.summary(found.flatten(1)))


def strongest(power_SMF: Tensor, count: int) -> Tensor:
    """The ``count``-th largest power of each series, [S, 1, F].

    Repeated maxima along the middle axis: for a dozen frequencies faster than a sort, one fused kernel if compiled.
    """
    least = power_SMF.amax(dim=1, keepdim=True)
    for _ in range(count - 1):
        power_SMF = power_SMF.masked_fill(power_SMF >= least, -1.0)
        least = power_SMF.amax(dim=1, keepdim=True)
    return least.clamp(min=0.0)

"""Gated residual network (Lim et al., "Temporal Fusion Transformers", 2021, eq. 2-5). Legend: H width, C context."""

import torch.nn.functional as F
from torch import Tensor, nn


class GateAddNorm(nn.Module):
    """LayerNorm(skip + GLU(dropout(x))): eq. 4-5 and the add-and-norm of eq. 2.

    Args:
        width: of ``x`` and ``skip``.
        dropout: before the gate.

    Shapes: x [..., H], skip [..., H] -> [..., H].
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.gate = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Let through as much of ``x`` as the gate says and add it to ``skip``."""
        gated = F.glu(self.gate(self.dropout(x)), dim=-1)
        # Under autocast LayerNorm gives float32; what flows on stays as narrow as the products that read it.
        normed: Tensor = self.norm(skip + gated).to(gated.dtype)
        return normed


class GatedResidualNetwork(nn.Module):
    """GRN(a, c) = LayerNorm(a + GLU(W1 ELU(W2 a + W3 c))).

    Args:
        inputs: width of ``a``; where it differs from ``width``, the skip is a linear map.
        width: H of the output.
        dropout: before the gate.
        context: width C of ``c``, 0 = none.

    Shapes: a [..., inputs], c [..., C] that broadcasts over the leading dimensions -> [..., H].
    """

    def __init__(self, inputs: int, width: int, dropout: float, context: int = 0) -> None:
        super().__init__()
        self.inner = nn.Linear(inputs, width)
        self.context = nn.Linear(context, width, bias=False) if context else None
        self.outer = nn.Linear(width, width)
        self.skip = nn.Identity() if inputs == width else nn.Linear(inputs, width)
        self.add = GateAddNorm(width, dropout)

    def forward(self, a: Tensor, c: Tensor | None = None) -> Tensor:
        """Transform ``a`` in the light of ``c``."""
        inner = self.inner(a)
        if self.context is not None and c is not None:
            inner = inner + self.context(c)
        out: Tensor = self.add(self.outer(F.elu(inner)), self.skip(a))
        return out

"""Temporal encoder (Lim et al., "Temporal Fusion Transformers", 2021, sections 4.3-4.5).

Legend: S samples, L steps, H width, A heads, C = H / A, K context.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atft_pipeline.model.config import EncoderConfig
from atft_pipeline.model.fused_attention import fused_attention
from atft_pipeline.model.grn import GateAddNorm, GatedResidualNetwork

# Added to the logit of an absent step: its weight is then exactly 0 in every precision, and float16 still holds it.
ABSENT = -30000.0
# Channels by which queries and keys are widened to carry that number: flash attention takes multiples of 8.
EXTRA = 8


class InterpretableAttention(nn.Module):
    """Multi-head attention whose heads share their values (eq. 13-16), so that their mean weight can be read.

    Args:
        width: H.
        heads: A, a divisor of H.
        dropout: share of weights dropped in training.

    Attributes:
        kernel: ``fused`` (one Triton program a window, see :mod:`atft_pipeline.model.fused_attention`) or ``sdpa``
            (torch's scaled-dot-product attention). A single query takes neither: two small products do.

    Shapes: query [S, J, H], memory [S, L, H], present bool [S, L] -> [S, J, H]; J is L or 1. With ``causal`` step j
    attends to no step after j; it needs J = L. Rows of absent steps hold finite numbers without meaning.
    """

    kernel: Literal["fused", "sdpa"] = "sdpa"

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width // heads)
        self.out = nn.Linear(width // heads, width, bias=False)

    def forward(self, query_SJH: Tensor, memory_SLH: Tensor, present_SL: Tensor, *, causal: bool = False) -> Tensor:
        """Attend."""
        dropout = self.dropout if self.training else 0.0
        value_SLC = self.value(memory_SLH)
        if query_SJH.shape[1] == 1:
            weights = F.dropout(self.weights(query_SJH, memory_SLH, present_SL), dropout)
            attended = weights.mean(dim=1).to(value_SLC.dtype) @ value_SLC
        else:
            query_SJAC, key_SLAC = self._project(query_SJH, memory_SLH)
            attend = fused_attention if self.kernel == "fused" else shared_value_attention
            attended = attend(query_SJAC, key_SLAC, value_SLC, present_SL, causal=causal, dropout=dropout)
        out: Tensor = self.out(attended)
        return out

    def weights(self, query_SJH: Tensor, memory_SLH: Tensor, present_SL: Tensor) -> Tensor:
        """Attention weights float32 [S, A, J, L], without dropout."""
        query_SJAC, key_SLAC = self._project(query_SJH, memory_SLH)
        logits = torch.einsum("sjac,slac->sajl", query_SJAC, key_SLAC).float() / query_SJAC.shape[-1] ** 0.5
        return torch.softmax(logits.masked_fill(~present_SL[:, None, None], ABSENT), dim=-1)

    def _project(self, query_SJH: Tensor, memory_SLH: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [S, J, A, C] and keys [S, L, A, C]."""
        shape = (self.heads, -1)
        return self.query(query_SJH).unflatten(-1, shape), self.key(memory_SLH).unflatten(-1, shape)


def shared_value_attention(
    query_SJAC: Tensor, key_SLAC: Tensor, value_SLC: Tensor, present_SL: Tensor, *, causal: bool, dropout: float
) -> Tensor:
    """Mean over the heads of scaled-dot-product attention to the same values, [S, J, C].

    Absent steps are hidden by a number in channels that queries and keys gain, not by a mask: so every kernel of torch
    can be taken, flash attention too, which knows no masks beside the causal one.
    """
    heads, channels = query_SJAC.shape[2:]
    query = F.pad(query_SJAC.transpose(1, 2), (0, EXTRA), value=channels**0.5 / EXTRA)
    hidden = torch.where(present_SL, 0.0, ABSENT).to(key_SLAC.dtype)[:, None, :, None]
    key = torch.cat([key_SLAC.transpose(1, 2), hidden.expand(-1, heads, -1, EXTRA)], dim=-1)
    # All heads of a kernel share one width.
    value = F.pad(value_SLC, (0, EXTRA))[:, None].expand(-1, heads, -1, -1)
    found = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=causal, scale=channels**-0.5)
    return found[..., :channels].mean(dim=1)


class AttentionLayer(nn.Module):
    """Attention, gate, and a position-wise GRN (eq. 19-21).

    Args: as :class:`InterpretableAttention`.

    Shapes: query [S, J, H], memory [S, L, H], present [S, L] -> [S, J, H].
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = InterpretableAttention(width, heads, dropout)
        self.add = GateAddNorm(width, dropout)
        self.feed_forward = GatedResidualNetwork(width, width, dropout)

    def forward(self, query_SJH: Tensor, memory_SLH: Tensor, present_SL: Tensor, *, causal: bool = False) -> Tensor:
        """Attend and transform."""
        attended = self.add(self.attention(query_SJH, memory_SLH, present_SL, causal=causal), query_SJH)
        out: Tensor = self.feed_forward(attended)
        return out


class TemporalEncoder(nn.Module):
    """From the embedded steps of a window to one vector for its last step.

    Each step gets a learned embedding of its lag, is enriched by the static context (eq. 18), and attends to itself and
    the present steps before it. Only the last step is scored, so the last layer computes its query alone. The kind
    ``lstm_attention`` runs the paper's LSTM over the steps first (section 4.5.1), its states set by the context.

    Args:
        config: kind, layers, heads.
        width: H.
        window: L.
        context: K, 0 = none.
        dropout: of every gated block.

    Shapes: embedded [S, L, H], step_mask bool [S, L], context [S, K] -> [S, H].
    """

    def __init__(self, config: EncoderConfig, width: int, window: int, context: int, dropout: float) -> None:
        super().__init__()
        self.lag = nn.Parameter(0.02 * torch.randn(window, width))
        self.lstm = nn.LSTM(width, width, batch_first=True) if config.kind == "lstm_attention" else None
        self.lstm_add = GateAddNorm(width, dropout) if self.lstm is not None else None
        self.lstm_state = nn.Linear(context, 2 * width) if self.lstm is not None and context else None
        self.enrich = GatedResidualNetwork(width, width, dropout, context)
        self.layers = nn.ModuleList(AttentionLayer(width, config.heads, dropout) for _ in range(config.layers))
        self.add = GateAddNorm(width, dropout)

    def prepare(self, embedded_SLH: Tensor, step_mask_SL: Tensor, context_SK: Tensor | None) -> tuple[Tensor, Tensor]:
        """Steps before attention [S, L, H] and those that may be attended [S, L]."""
        steps = embedded_SLH + self.lag
        if self.lstm is not None and self.lstm_add is not None:
            state = None
            if self.lstm_state is not None and context_SK is not None:
                both = self.lstm_state(context_SK)[None]
                state = tuple(part.contiguous() for part in both.chunk(2, dim=-1))
            # Absent steps pass through as the lag alone; they are hidden from attention below.
            steps = self.lstm_add(self.lstm(steps, state)[0], steps)
        enriched = self.enrich(steps, None if context_SK is None else context_SK[:, None])
        # The last step is always there for a sample; for padding it keeps the softmax from being empty.
        last = torch.arange(step_mask_SL.shape[1], device=step_mask_SL.device) == step_mask_SL.shape[1] - 1
        return enriched, step_mask_SL | last

    def _inner(self, steps: Tensor, present_SL: Tensor) -> Tensor:
        """All layers but the last, causal over every step."""
        for layer in self.layers[:-1]:
            steps = layer(steps, steps, present_SL, causal=True)
        return steps

    def forward(self, embedded_SLH: Tensor, step_mask_SL: Tensor, context_SK: Tensor | None) -> Tensor:
        """Encode the windows."""
        prepared, present = self.prepare(embedded_SLH, step_mask_SL, context_SK)
        steps = self._inner(prepared, present)
        encoded: Tensor = self.layers[-1](steps[:, -1:], steps, present)[:, 0]
        out: Tensor = self.add(encoded, prepared[:, -1])
        return out

    def weights(self, embedded_SLH: Tensor, step_mask_SL: Tensor, context_SK: Tensor | None) -> Tensor:
        """Weights [S, L] of the last step over the steps, mean over the heads of the last layer."""
        prepared, present = self.prepare(embedded_SLH, step_mask_SL, context_SK)
        steps = self._inner(prepared, present)
        last = self.layers[-1]
        assert isinstance(last, AttentionLayer)
        return last.attention.weights(steps[:, -1:], steps, present).mean(dim=1)[:, 0]

"""Temporal encoder (Lim et al., "Temporal Fusion Transformers", 2021, sections 4.3-4.5).

Legend: S samples, L steps, H width, A heads, C = H / A, K context.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atft_pipeline.model.config import EncoderConfig
from atft_pipeline.model.grn import GateAddNorm, GatedResidualNetwork


class InterpretableAttention(nn.Module):
    """Multi-head attention whose heads share their values (eq. 13-16), so that their mean weight can be read.

    Args:
        width: H.
        heads: A, a divisor of H.
        dropout: share of weights dropped in training.

    Shapes: query [S, J, H], memory [S, L, H], allowed bool, broadcastable to [S, A, J, L] -> [S, J, H].
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width // heads)
        self.out = nn.Linear(width // heads, width, bias=False)

    def project(self, query_SJH: Tensor, memory_SLH: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [S, A, J, C] and keys [S, A, L, C]."""
        query = self.query(query_SJH).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key = self.key(memory_SLH).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        return query, key

    def forward(self, query_SJH: Tensor, memory_SLH: Tensor, allowed: Tensor) -> Tensor:
        """Attend."""
        query, key = self.project(query_SJH, memory_SLH)
        value = self.value(memory_SLH)[:, None].expand_as(key)
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed, dropout_p=dropout)
        attended: Tensor = self.out(found.mean(dim=1))
        return attended

    def weights(self, query_SJH: Tensor, memory_SLH: Tensor, allowed: Tensor) -> Tensor:
        """Attention weights [S, A, J, L] as :meth:`forward` uses them."""
        query, key = self.project(query_SJH, memory_SLH)
        logits = query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5
        return torch.softmax(logits.masked_fill(~allowed, -torch.inf), dim=-1)


class AttentionLayer(nn.Module):
    """Attention, gate, and a position-wise GRN (eq. 19-21).

    Args: as :class:`InterpretableAttention`.

    Shapes: query [S, J, H], memory [S, L, H], allowed as there -> [S, J, H].
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = InterpretableAttention(width, heads, dropout)
        self.add = GateAddNorm(width, dropout)
        self.feed_forward = GatedResidualNetwork(width, width, dropout)

    def forward(self, query_SJH: Tensor, memory_SLH: Tensor, allowed: Tensor) -> Tensor:
        """Attend and transform."""
        attended = self.add(self.attention(query_SJH, memory_SLH, allowed), query_SJH)
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
        """Steps before attention [S, L, H] and the allowed keys [S, 1, 1, L]."""
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
        return enriched, (step_mask_SL | last)[:, None, None]

    def _inner(self, steps: Tensor, allowed: Tensor) -> Tensor:
        """All layers but the last, causal over every step."""
        length = steps.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=steps.device).tril()
        own = torch.eye(length, dtype=torch.bool, device=steps.device)
        for layer in self.layers[:-1]:
            steps = layer(steps, steps, (allowed & causal) | own)
        return steps

    def forward(self, embedded_SLH: Tensor, step_mask_SL: Tensor, context_SK: Tensor | None) -> Tensor:
        """Encode the windows."""
        prepared, allowed = self.prepare(embedded_SLH, step_mask_SL, context_SK)
        steps = self._inner(prepared, allowed)
        encoded: Tensor = self.layers[-1](steps[:, -1:], steps, allowed)[:, 0]
        out: Tensor = self.add(encoded, prepared[:, -1])
        return out

    def weights(self, embedded_SLH: Tensor, step_mask_SL: Tensor, context_SK: Tensor | None) -> Tensor:
        """Weights [S, L] of the last step over the steps, mean over the heads of the last layer."""
        prepared, allowed = self.prepare(embedded_SLH, step_mask_SL, context_SK)
        steps = self._inner(prepared, allowed)
        last = self.layers[-1]
        assert isinstance(last, AttentionLayer)
        return last.attention.weights(steps[:, -1:], steps, allowed).mean(dim=1)[:, 0]

"""Graph attention over fixed-k neighbours (Brody et al., "How Attentive are Graph Attention Networks?", ICLR 2022).

Legend: S samples, k neighbours of a sample, E edge attributes, H width, A heads, C channels of a head.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atft_pipeline.model.config import GraphAttentionConfig

# Least openness of the residual gate: a closed gate would pass no gradient back, and could never open again.
GATE_FLOOR = 0.1


class GATv2(nn.Module):
    """GATv2 with edge attributes over fixed-k neighbours: static shapes, so the whole model compiles to one graph.

    For listing i with neighbours j: e_ij = a^T LeakyReLU(W_r x_i + W_l x_j + W_e edge_ij) * temperature,
    out_i = sum_j softmax_j(e_ij) W_l x_j + b (eq. 7), heads concatenated or averaged. Parameters have the names, shapes
    and meaning of ``torch_geometric.nn.GATv2Conv(add_self_loops=False)``; with temperature 1 the two are equal. A
    listing without neighbours gets ``b``.

    Args:
        inputs: width of x.
        channels: C.
        heads: A.
        edge_dim: E, 0 = edges carry nothing.
        concat: concatenate the heads (width A C) or average them (width C).
        dropout: share of attention weights dropped in training.
        backend: ``neighbors`` or ``pyg``.

    Shapes: x [S, inputs], neighbors int64 [S, k] with -1 = none, edge_attr [S, k, E] -> [S, A C or C].
    """

    def __init__(
        self,
        inputs: int,
        channels: int,
        heads: int,
        edge_dim: int,
        *,
        concat: bool = True,
        dropout: float = 0.0,
        backend: Literal["neighbors", "pyg"] = "neighbors",
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.concat = channels, heads, concat
        self.dropout, self.backend = dropout, backend
        self.lin_l = nn.Linear(inputs, heads * channels)
        self.lin_r = nn.Linear(inputs, heads * channels)
        self.lin_edge = nn.Linear(edge_dim, heads * channels, bias=False) if edge_dim else None
        self.att = nn.Parameter(torch.empty(1, heads, channels))
        self.bias = nn.Parameter(torch.zeros(heads * channels if concat else channels))
        self.log_temperature = nn.Parameter(torch.zeros(heads))
        for linear in (self.lin_l, self.lin_r, self.lin_edge):
            if linear is not None:
                nn.init.xavier_uniform_(linear.weight)
        nn.init.xavier_uniform_(self.att)

    def forward(self, x_SH: Tensor, neighbors_Sk: Tensor, edge_attr_SkE: Tensor) -> Tensor:
        """Gather from the neighbours."""
        if self.backend == "pyg":
            return self._pyg(x_SH, neighbors_Sk, edge_attr_SkE)
        attention, value = self.attend(x_SH, neighbors_Sk, edge_attr_SkE)
        attention = F.dropout(attention, self.dropout, self.training).to(value.dtype)
        found = torch.einsum("ska,skac->sac", attention, value)
        mixed = found.flatten(1) if self.concat else found.mean(dim=1)
        return mixed + self.bias

    def attend(self, x_SH: Tensor, neighbors_Sk: Tensor, edge_attr_SkE: Tensor) -> tuple[Tensor, Tensor]:
        """Attention float32 [S, k, A] over the neighbours (0 = no edge), and their values [S, k, A, C]."""
        samples, k = neighbors_Sk.shape
        edge = neighbors_Sk >= 0
        # A lookup, not fancy indexing: its backward pass adds in a fixed order on every device.
        value = F.embedding(neighbors_Sk.clamp(min=0), self.lin_l(x_SH)).view(samples, k, self.heads, self.channels)
        logits = value + self.lin_r(x_SH).view(samples, 1, self.heads, self.channels)
        if self.lin_edge is not None:
            logits = logits + self.lin_edge(edge_attr_SkE).view_as(value)
        attention = (F.leaky_relu(logits, 0.2) * self._att()).sum(dim=-1)  # [S, k, A]
        # float32 softmax; a finite fill so that a listing without neighbours stays defined, then weighs nothing.
        attention = attention.float().masked_fill(~edge[..., None], -1e30).softmax(dim=1) * edge[..., None]
        return attention, value

    def _att(self) -> Tensor:
        """Attention vector [1, A, C] with the learned temperature of each head folded in."""
        return self.att * self.log_temperature.exp()[:, None]

    def _pyg(self, x_SH: Tensor, neighbors_Sk: Tensor, edge_attr_SkE: Tensor) -> Tensor:
        """Compute the same with torch_geometric and the same weights."""
        from torch_geometric.nn import GATv2Conv  # noqa: PLC0415  only the reference backend needs it

        conv = GATv2Conv(
            x_SH.shape[-1],
            self.channels,
            self.heads,
            concat=self.concat,
            dropout=self.dropout,
            add_self_loops=False,
            edge_dim=None if self.lin_edge is None else self.lin_edge.in_features,
        ).to(x_SH.device)
        conv.train(self.training)
        weights: dict[str, Tensor] = {
            name: weight for name, weight in self.named_parameters() if name != "log_temperature"
        }
        weights["att"] = self._att()
        edge = neighbors_Sk >= 0
        target = torch.arange(len(x_SH), device=x_SH.device)[:, None].expand_as(neighbors_Sk)
        edge_index = torch.stack([neighbors_Sk[edge], target[edge]])
        attributes = edge_attr_SkE[edge] if self.lin_edge is not None else None
        found: Tensor = torch.func.functional_call(conv, weights, (x_SH, edge_index, attributes))
        return found


class GatedGraphLayer(nn.Module):
    """GATv2, LayerNorm, and a gated residual: h + g * norm(GATv2(h)), g = floor + (1 - floor) sigmoid(W [h, m] + b).

    ``GATE_FLOOR`` keeps the gate, hence the gradient of the graph path, from closing. The gate starts half open.

    Args:
        config: dropout, backend.
        width: H.
        heads: A.
        edge_dim: E.
        concat: heads concatenated with H / A channels each, or averaged with H channels each.

    Shapes: x [S, H], neighbors [S, k], edge_attr [S, k, E] -> [S, H].
    """

    def __init__(self, config: GraphAttentionConfig, width: int, heads: int, edge_dim: int, *, concat: bool) -> None:
        super().__init__()
        self.attention = GATv2(
            width,
            width // heads if concat else width,
            heads,
            edge_dim,
            concat=concat,
            dropout=config.dropout,
            backend=config.backend,
        )
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, x_SH: Tensor, neighbors_Sk: Tensor, edge_attr_SkE: Tensor) -> Tensor:
        """Add the gated message to each listing that has neighbours."""
        message, gate = self.message(x_SH, neighbors_Sk, edge_attr_SkE)
        # Without neighbours there is no message: the temporal embedding passes unchanged.
        has_neighbors = (neighbors_Sk >= 0).any(dim=-1, keepdim=True)
        mixed: Tensor = x_SH + gate * message * has_neighbors
        return mixed

    def message(self, x_SH: Tensor, neighbors_Sk: Tensor, edge_attr_SkE: Tensor) -> tuple[Tensor, Tensor]:
        """Message of the neighbours and openness of the gate; both [S, H]."""
        message = self.norm(F.elu(self.attention(x_SH, neighbors_Sk, edge_attr_SkE)))
        return message, GATE_FLOOR + (1 - GATE_FLOOR) * torch.sigmoid(self.gate(torch.cat([x_SH, message], dim=-1)))


class GraphAttention(nn.Module):
    """Any number of gated GATv2 layers for any width that the heads divide.

    Args:
        config: layers, heads and the rest.
        width: H.
        edge_dim: E.

    Shapes: x [S, H], neighbors [S, k], edge_attr [S, k, E] -> [S, H].
    """

    def __init__(self, config: GraphAttentionConfig, width: int, edge_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            GatedGraphLayer(
                config,
                width,
                config.heads_of(layer),
                edge_dim,
                concat=layer == 0 or layer < config.layers - 1,
            )
            for layer in range(config.layers)
        )

    def forward(self, x_SH: Tensor, neighbors_Sk: Tensor, edge_attr_SkE: Tensor) -> Tensor:
        """Pass messages, layer by layer."""
        for layer in self.layers:
            x_SH = layer(x_SH, neighbors_Sk, edge_attr_SkE)
        return x_SH

    def weights(self, x_SH: Tensor, neighbors_Sk: Tensor, edge_attr_SkE: Tensor) -> tuple[Tensor, Tensor]:
        """Mean openness of the gates [S] and attention over the neighbours [S, k], both means over the layers."""
        gates: list[Tensor] = []
        attention: list[Tensor] = []
        for layer in self.layers:
            assert isinstance(layer, GatedGraphLayer)
            gates.append(layer.message(x_SH, neighbors_Sk, edge_attr_SkE)[1].mean(dim=-1))
            attention.append(layer.attention.attend(x_SH, neighbors_Sk, edge_attr_SkE)[0].mean(dim=-1))
            x_SH = layer(x_SH, neighbors_Sk, edge_attr_SkE)
        has_neighbors = (neighbors_Sk >= 0).any(dim=-1)
        return torch.stack(gates).mean(dim=0) * has_neighbors, torch.stack(attention).mean(dim=0)


def cut_padding(neighbors: Tensor, mask: Tensor) -> Tensor:
    """Replace by -1 the edges [S, k] that begin or end at a row outside ``mask``, so that padding reaches no score."""
    present = mask[neighbors.clamp(min=0)]
    return neighbors.masked_fill(~present | ~mask[:, None], -1)

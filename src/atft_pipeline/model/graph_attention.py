"""Graph attention over fixed-k neighbours (Brody et al., "How Attentive are Graph Attention Networks?", ICLR 2022).

Legend: B days, n listings, k neighbours, E edge attributes, H width, A heads, C channels of a head.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atft_pipeline.model.config import GraphAttentionConfig


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
        edge_dropout: share of edges dropped in training, before the softmax.
        backend: ``neighbors`` or ``pyg``.

    Shapes: x [B, n, inputs], neighbors int64 [B, n, k] with -1 = none, edge_attr [B, n, k, E] -> [B, n, A C or C].
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
        edge_dropout: float = 0.0,
        backend: Literal["neighbors", "pyg"] = "neighbors",
    ) -> None:
        super().__init__()
        self.channels, self.heads, self.concat = channels, heads, concat
        self.dropout, self.edge_dropout, self.backend = dropout, edge_dropout, backend
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

    def forward(self, x_BnH: Tensor, neighbors_Bnk: Tensor, edge_attr_BnkE: Tensor) -> Tensor:
        """Gather from the neighbours."""
        if self.training and self.edge_dropout:
            dropped = torch.rand(neighbors_Bnk.shape, device=x_BnH.device) < self.edge_dropout
            neighbors_Bnk = neighbors_Bnk.masked_fill(dropped, -1)
        if self.backend == "pyg":
            return self._pyg(x_BnH, neighbors_Bnk, edge_attr_BnkE)
        attention, value = self.attend(x_BnH, neighbors_Bnk, edge_attr_BnkE)
        attention = F.dropout(attention, self.dropout, self.training).to(value.dtype)
        found = torch.einsum("bnka,bnkac->bnac", attention, value)
        mixed = found.flatten(2) if self.concat else found.mean(dim=2)
        return mixed + self.bias

    def attend(self, x_BnH: Tensor, neighbors_Bnk: Tensor, edge_attr_BnkE: Tensor) -> tuple[Tensor, Tensor]:
        """Attention float32 [B, n, k, A] over the neighbours (0 = no edge), and their values [B, n, k, A, C]."""
        batch, count, k = neighbors_Bnk.shape
        edge = neighbors_Bnk >= 0
        source = self.lin_l(x_BnH).reshape(batch * count, -1)
        offset = torch.arange(batch, device=x_BnH.device)[:, None, None] * count
        row = (neighbors_Bnk.clamp(min=0) + offset).reshape(-1)
        # A lookup, not fancy indexing: its backward pass adds in a fixed order on every device.
        value = F.embedding(row, source).view(batch, count, k, self.heads, self.channels)
        logits = value + self.lin_r(x_BnH).view(batch, count, 1, self.heads, self.channels)
        if self.lin_edge is not None:
            logits = logits + self.lin_edge(edge_attr_BnkE).view_as(value)
        attention = (F.leaky_relu(logits, 0.2) * self._att()).sum(dim=-1)  # [B, n, k, A]
        # float32 softmax; a finite fill so that a listing without neighbours stays defined, then weighs nothing.
        attention = attention.float().masked_fill(~edge[..., None], -1e30).softmax(dim=2) * edge[..., None]
        return attention, value

    def _att(self) -> Tensor:
        """Attention vector [1, A, C] with the learned temperature of each head folded in."""
        return self.att * self.log_temperature.exp()[:, None]

    def _pyg(self, x_BnH: Tensor, neighbors_Bnk: Tensor, edge_attr_BnkE: Tensor) -> Tensor:
        """Compute the same with torch_geometric and the same weights."""
        from torch_geometric.nn import GATv2Conv  # noqa: PLC0415  only the reference backend needs it

        batch, count, _ = neighbors_Bnk.shape
        conv = GATv2Conv(
            x_BnH.shape[-1],
            self.channels,
            self.heads,
            concat=self.concat,
            dropout=self.dropout,
            add_self_loops=False,
            edge_dim=None if self.lin_edge is None else self.lin_edge.in_features,
        ).to(x_BnH.device)
        conv.train(self.training)
        weights: dict[str, Tensor] = {
            name: weight for name, weight in self.named_parameters() if name != "log_temperature"
        }
        weights["att"] = self._att()
        edge = neighbors_Bnk >= 0
        offset = torch.arange(batch, device=x_BnH.device)[:, None, None] * count
        target = (torch.arange(count, device=x_BnH.device)[:, None] + offset).expand_as(neighbors_Bnk)
        edge_index = torch.stack([(neighbors_Bnk + offset)[edge], target[edge]])
        attributes = edge_attr_BnkE[edge] if self.lin_edge is not None else None
        arguments = (x_BnH.flatten(0, 1), edge_index, attributes)
        found: Tensor = torch.func.functional_call(conv, weights, arguments)
        return found.view(batch, count, -1)


class GatedGraphLayer(nn.Module):
    """GATv2, LayerNorm, and a gated residual: h + g * norm(GATv2(h)), g = floor + (1 - floor) sigmoid(W [h, m] + b).

    The floor keeps the gate, hence the gradient of the graph path, from closing. The gate starts half open. Stochastic
    depth leaves the layer out of whole days in training (Huang et al., ECCV 2016).

    Args:
        config: dropouts, floor, backend.
        width: H.
        heads: A.
        edge_dim: E.
        concat: heads concatenated with H / A channels each, or averaged with H channels each.

    Shapes: x [B, n, H], neighbors [B, n, k], edge_attr [B, n, k, E] -> [B, n, H].
    """

    def __init__(self, config: GraphAttentionConfig, width: int, heads: int, edge_dim: int, *, concat: bool) -> None:
        super().__init__()
        self.floor, self.drop_path = config.gate_floor, config.drop_path
        self.attention = GATv2(
            width,
            width // heads if concat else width,
            heads,
            edge_dim,
            concat=concat,
            dropout=config.dropout,
            edge_dropout=config.edge_dropout,
            backend=config.backend,
        )
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(2 * width, width)

    def forward(self, x_BnH: Tensor, neighbors_Bnk: Tensor, edge_attr_BnkE: Tensor) -> Tensor:
        """Mix what the neighbours say into each listing that has any."""
        message, gate = self.message(x_BnH, neighbors_Bnk, edge_attr_BnkE)
        # Without neighbours there is no message: the temporal embedding passes unchanged.
        heard = (neighbors_Bnk >= 0).any(dim=-1, keepdim=True)
        added: Tensor = gate * message * heard
        if self.training and self.drop_path:
            kept = torch.rand(x_BnH.shape[0], 1, 1, device=x_BnH.device) >= self.drop_path
            added = added * kept / (1 - self.drop_path)
        return x_BnH + added

    def message(self, x_BnH: Tensor, neighbors_Bnk: Tensor, edge_attr_BnkE: Tensor) -> tuple[Tensor, Tensor]:
        """What the neighbours say, and how far the gate is open to it; both [B, n, H]."""
        message = self.norm(F.elu(self.attention(x_BnH, neighbors_Bnk, edge_attr_BnkE)))
        return message, self.floor + (1 - self.floor) * torch.sigmoid(self.gate(torch.cat([x_BnH, message], dim=-1)))


class GraphAttention(nn.Module):
    """Any number of gated GATv2 layers for any width that the heads divide.

    Args:
        config: layers, heads and the rest.
        width: H.
        edge_dim: E.

    Shapes: x [B, n, H], neighbors [B, n, k], edge_attr [B, n, k, E] -> [B, n, H].
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

    def forward(self, x_BnH: Tensor, neighbors_Bnk: Tensor, edge_attr_BnkE: Tensor) -> Tensor:
        """Pass messages, layer by layer."""
        for layer in self.layers:
            x_BnH = layer(x_BnH, neighbors_Bnk, edge_attr_BnkE)
        return x_BnH

    def weights(self, x_BnH: Tensor, neighbors_Bnk: Tensor, edge_attr_BnkE: Tensor) -> tuple[Tensor, Tensor]:
        """Mean openness of the gates [B, n] and attention over the neighbours [B, n, k], both means over the layers."""
        gates: list[Tensor] = []
        attention: list[Tensor] = []
        for layer in self.layers:
            assert isinstance(layer, GatedGraphLayer)
            gates.append(layer.message(x_BnH, neighbors_Bnk, edge_attr_BnkE)[1].mean(dim=-1))
            attention.append(layer.attention.attend(x_BnH, neighbors_Bnk, edge_attr_BnkE)[0].mean(dim=-1))
            x_BnH = layer(x_BnH, neighbors_Bnk, edge_attr_BnkE)
        heard = (neighbors_Bnk >= 0).any(dim=-1)
        return torch.stack(gates).mean(dim=0) * heard, torch.stack(attention).mean(dim=0)

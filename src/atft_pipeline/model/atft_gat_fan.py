"""ATFT-GAT-FAN: frequency adaptive normalisation, temporal fusion transformer, graph attention.

Legend: S samples (listings on their days), L steps, F features, H width, k neighbours, E edge attributes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from atft_pipeline.errors import ConfigError
from atft_pipeline.model.config import InputSpec, ModelConfig
from atft_pipeline.model.graph_attention import GraphAttention, cut_padding
from atft_pipeline.model.grn import GatedResidualNetwork
from atft_pipeline.model.heads import Heads
from atft_pipeline.model.moments import Normalised
from atft_pipeline.model.normaliser import build_normaliser
from atft_pipeline.model.output import Explanation, ModelOutput
from atft_pipeline.model.temporal import TemporalEncoder
from atft_pipeline.model.variable_selection import SelectionWeights, build_selection


class ATFTGATFAN(nn.Module):
    """Score the listings of each day for each horizon.

    window -> normaliser -> variable selection -> temporal encoder (+ what the normaliser took out) -> graph attention
    -> heads. Sector, market and the day's market features are the static context of selection and encoder.

    A sample's score depends on its own window and, along edges, on its neighbours' of the same day; on nothing else.

    Args:
        config: of every block.
        spec: what it reads and predicts.

    Shapes: features float [S, L, F], absent steps 0; mask bool [S]; step_mask bool [S, L]; neighbors int64
    [S, k], -1 = none; edge_attr [S, k, E]; sector, market int64 [S], 0 = unknown -> :class:`ModelOutput`.
    """

    market_positions: Tensor

    def __init__(self, config: ModelConfig, spec: InputSpec) -> None:
        super().__init__()
        self.config, self.spec = config, spec
        self._on = {"normaliser": True, "graph": True}
        F, H = len(spec.feature_names), config.width
        # Blocks are built in this order: seeded weights depend on it.
        self.normaliser = build_normaliser(config.normaliser, F, spec.window, H)
        self.sector = nn.Embedding(spec.sectors + 1, H) if config.static else None
        self.market = nn.Embedding(spec.markets + 1, H) if config.static else None
        for table in filter(None, (self.sector, self.market)):
            nn.init.normal_(table.weight, std=0.1)
        positions = torch.tensor(spec.market_positions, dtype=torch.int64)
        self.register_buffer("market_positions", positions, persistent=False)
        self.regime = nn.Linear(len(positions), H) if config.regime and len(positions) else None
        context = H if config.static or self.regime is not None else 0
        self.context = GatedResidualNetwork(H, H, config.dropout) if context else None
        self.selection_weights = SelectionWeights(config.selection, F, context, config.dropout)
        self.selection = build_selection(config.selection, F, H, config.dropout)
        self.encoder = TemporalEncoder(config.encoder, H, spec.window, context, config.dropout)
        self.fuse = GatedResidualNetwork(H, H, config.dropout)
        self.graph = GraphAttention(config.graph, H, spec.edge_dim)
        self.heads = Heads(config.heads, H, len(spec.horizons), config.dropout)

    @property
    def switches(self) -> Mapping[str, bool]:
        """Which blocks are on."""
        return dict(self._on)

    def switch(self, *, normaliser: bool, graph: bool) -> None:
        """Turn the normaliser and the graph attention on or off, as phases of a training do."""
        self._on = {"normaliser": normaliser, "graph": graph}

    def forward(
        self,
        features: Tensor,
        mask: Tensor,
        step_mask: Tensor,
        neighbors: Tensor,
        edge_attr: Tensor,
        sector: Tensor,
        market: Tensor,
    ) -> ModelOutput:
        """Score. Rows outside ``mask`` hold finite numbers without meaning and reach no other row."""
        windows = self._checked(features), step_mask, sector, market
        if self.config.checkpointing and self.training:
            hidden: Tensor = checkpoint(self.embed, *windows, use_reentrant=False)
        else:
            hidden = self.embed(*windows)
        if self._on["graph"]:
            hidden = self.graph(hidden, cut_padding(neighbors, mask), edge_attr)
        return ModelOutput(*self.heads(hidden))

    @torch.no_grad()
    def explain(self, features: Tensor, mask: Tensor, step_mask: Tensor, *edges_and_context: Tensor) -> Explanation:
        """Read the weights of selection, attention and graph; arguments as those of :meth:`forward`."""
        neighbors, edge_attr, sector, market = edges_and_context
        windows = self._checked(features), step_mask, sector, market
        normalised, context, weights = self._select(*windows)
        lags = self.encoder.weights(self.selection(normalised.sequence, weights), step_mask, context)
        gates = edges = None
        if self._on["graph"] and len(self.graph.layers):
            gates, edges = self.graph.weights(self.embed(*windows), cut_padding(neighbors, mask), edge_attr)
        return Explanation(weights[:, -1].float(), lags.float(), gates, edges)

    def embed(self, x_SLF: Tensor, step_mask_SL: Tensor, sector_S: Tensor, market_S: Tensor) -> Tensor:
        """Embed each window by itself, before the graph: [S, H]."""
        normalised, context, weights = self._select(x_SLF, step_mask_SL, sector_S, market_S)
        encoded = self.encoder(self.selection(normalised.sequence, weights), step_mask_SL, context)
        if normalised.summary is not None:
            encoded = encoded + normalised.summary
        fused: Tensor = self.fuse(encoded)
        return fused

    def _select(
        self, x_SLF: Tensor, step_mask_SL: Tensor, sector_S: Tensor, market_S: Tensor
    ) -> tuple[Normalised, Tensor | None, Tensor]:
        """Normalised window, context [S, H] and selection weights [S, L or 1, F]."""
        context = self._context(x_SLF, sector_S, market_S)
        normalised = self.normaliser(x_SLF, step_mask_SL) if self._on["normaliser"] else Normalised(x_SLF, None)
        return normalised, context, self.selection_weights(normalised.sequence, context)

    def _context(self, x_SLF: Tensor, sector_S: Tensor, market_S: Tensor) -> Tensor | None:
        """Sector, market and the day's regime [S, H]."""
        if self.context is None:
            return None
        parts: list[Tensor] = []
        if self.sector is not None and self.market is not None:
            parts += [self.sector(sector_S), self.market(market_S)]
        if self.regime is not None:
            parts.append(self.regime(x_SLF[:, -1, self.market_positions]))
        context: Tensor = self.context(torch.stack([part.float() for part in parts]).sum(dim=0))
        return context

    def _checked(self, features: Tensor) -> Tensor:
        """The windows themselves, of the shape that the model was built for.

        Raises:
            ConfigError: with both shapes.
        """
        steps, count = self.spec.window, len(self.spec.feature_names)
        if features.shape[1:] != (steps, count):
            got = " x ".join(map(str, features.shape[1:]))
            msg = f"the model was built for windows of {steps} steps x {count} features, got {got}"
            raise ConfigError(msg)
        return features

"""ATFT-GAT-FAN: frequency adaptive normalisation, temporal fusion transformer, graph attention.

Legend: S samples (listings on their days), L steps, F features, H width, k neighbours, E edge attributes, Q horizons, P
quantiles.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from atft_pipeline.errors import ConfigError
from atft_pipeline.model.config import InputSpec, ModelConfig
from atft_pipeline.model.graph_attention import GraphAttention
from atft_pipeline.model.grn import GatedResidualNetwork
from atft_pipeline.model.heads import Heads
from atft_pipeline.model.normaliser import Normalised
from atft_pipeline.model.normalisers import build_normaliser
from atft_pipeline.model.temporal import TemporalEncoder
from atft_pipeline.model.variable_selection import GRNSelection, LinearSelection, SelectionWeights


class ModelOutput(NamedTuple):
    """What the model says of every sample; all float32.

    Attributes:
        score: [S, Q], higher = better rank expected.
        quantiles: [S, Q, P], rising along P, or ``None``.
        student_t: [S, Q, 3] location, scale, degrees of freedom, or ``None``.
    """

    score: Tensor
    quantiles: Tensor | None
    student_t: Tensor | None

    def arranged(self, arrange: Callable[[Tensor], Tensor]) -> "ModelOutput":
        """The same values in another arrangement of the samples, such as the padded view by day."""
        quantiles, student_t = (None if part is None else arrange(part) for part in (self.quantiles, self.student_t))
        return ModelOutput(arrange(self.score), quantiles, student_t)


class Explanation(NamedTuple):
    """Weights that can be read.

    Attributes:
        features: [S, F] selection weight of each feature at the last step; the mean over F is 1.
        lags: [S, L] attention of the last step over the steps; the sum over L is 1.
        gates: [S] mean openness of the gates of the graph, 0 without neighbours; ``None`` without graph layers.
        edges: [S, k] attention over the neighbours; the sum over k is 1, or 0 without neighbours; or ``None``.
    """

    features: Tensor
    lags: Tensor
    gates: Tensor | None
    edges: Tensor | None


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
        self.normaliser = build_normaliser(config.normaliser, F, spec.window, H)
        self.sector = nn.Embedding(spec.sectors + 1, H) if config.static else None
        self.market = nn.Embedding(spec.markets + 1, H) if config.static else None
        for table in (self.sector, self.market):
            if table is not None:
                nn.init.normal_(table.weight, std=0.1)
        positions = torch.tensor(spec.market_positions, dtype=torch.int64)
        self.register_buffer("market_positions", positions, persistent=False)
        self.regime = nn.Linear(len(positions), H) if config.regime and len(positions) else None
        context = H if config.static or self.regime is not None else 0
        self.context = GatedResidualNetwork(H, H, config.dropout) if context else None
        selection = config.selection
        self.selection_weights = SelectionWeights(
            F, selection.hidden, context, config.dropout, per_step=selection.per_step
        )
        self.selection: LinearSelection | GRNSelection = (
            LinearSelection(F, H) if selection.kind == "linear" else GRNSelection(F, H, config.dropout)
        )
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
        self._check(features)
        windows = (features, step_mask, sector, market)
        if self.config.checkpointing and self.training:
            hidden: Tensor = checkpoint(self.embed, *windows, use_reentrant=False)
        else:
            hidden = self.embed(*windows)
        if self._on["graph"]:
            hidden = self.graph(hidden, reachable(neighbors, mask), edge_attr)
        return ModelOutput(*self.heads(hidden))

    def embed(self, x_SLF: Tensor, step_mask_SL: Tensor, sector_S: Tensor, market_S: Tensor) -> Tensor:
        """Embed each window by itself, before the graph: [S, H]."""
        normalised, context, weights = self._select(x_SLF, step_mask_SL, sector_S, market_S)
        encoded = self.encoder(self.selection(normalised.sequence, weights), step_mask_SL, context)
        if normalised.summary is not None:
            encoded = encoded + normalised.summary
        fused: Tensor = self.fuse(encoded)
        return fused

    @torch.no_grad()
    def explain(
        self,
        features: Tensor,
        mask: Tensor,
        step_mask: Tensor,
        neighbors: Tensor,
        edge_attr: Tensor,
        sector: Tensor,
        market: Tensor,
    ) -> Explanation:
        """Read the weights of selection, attention and graph; arguments as those of :meth:`forward`."""
        self._check(features)
        windows = (features, step_mask, sector, market)
        normalised, context, weights = self._select(*windows)
        lags = self.encoder.weights(self.selection(normalised.sequence, weights), step_mask, context)
        gates = edges = None
        if self._on["graph"] and len(self.graph.layers):
            gates, edges = self.graph.weights(self.embed(*windows), reachable(neighbors, mask), edge_attr)
        return Explanation(weights[:, -1].float(), lags.float(), gates, edges)

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
        known: list[Tensor] = []
        if self.sector is not None and self.market is not None:
            known += [self.sector(sector_S), self.market(market_S)]
        if self.regime is not None:
            known.append(self.regime(x_SLF[:, -1, self.market_positions]))
        total = torch.stack([part.float() for part in known]).sum(dim=0)
        context: Tensor = self.context(total)
        return context

    def _check(self, features: Tensor) -> None:
        """Refuse windows of another shape than the model was built for.

        Raises:
            ConfigError: with both shapes.
        """
        expected = (self.spec.window, len(self.spec.feature_names))
        if tuple(features.shape[1:]) != expected:
            msg = (
                f"the model was built for windows of {expected[0]} steps x {expected[1]} features, "
                f"got {features.shape[1]} x {features.shape[2]}"
            )
            raise ConfigError(msg)


def reachable(neighbors: Tensor, mask: Tensor) -> Tensor:
    """Cut the edges [S, k] that begin or end at a row that is no sample, so that padding reaches no score."""
    present = mask[neighbors.clamp(min=0)]
    return neighbors.masked_fill(~present | ~mask[:, None], -1)

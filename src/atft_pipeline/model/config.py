"""Configuration of the model, nested by block, and the description of its inputs.

Legend: L steps, F features, H width, k neighbours, Q horizons.
"""

from itertools import pairwise
from typing import Literal

from atft_pipeline.config import config, require, within


@config
class InputSpec:
    """What a model reads and what it predicts.

    Attributes:
        feature_names: the F features in their order.
        market_features: those that are equal for all listings of a day.
        horizons: sessions ahead of each of the Q scores.
        window: steps L.
        edge_dim: attributes of an edge.
        sectors: highest sector id, 0 = unknown.
        markets: highest market id, 0 = unknown.
    """

    feature_names: tuple[str, ...]
    market_features: tuple[str, ...] = ()
    horizons: tuple[int, ...] = within((1, 5, 10, 20), 1, 1000)
    window: int = within(20, 1, 1000)
    edge_dim: int = within(3, 0, 64)
    sectors: int = within(0, 0, 100_000)
    markets: int = within(0, 0, 100_000)

    def __post_init__(self) -> None:
        require(bool(self.feature_names), "feature_names: must name at least one feature")
        unknown = sorted(set(self.market_features) - set(self.feature_names))
        require(not unknown, f"market_features: must be among feature_names, got {', '.join(unknown)}")
        require(bool(self.horizons), "horizons: must name at least one horizon")

    @property
    def market_positions(self) -> tuple[int, ...]:
        """Positions of the market features among the features."""
        return tuple(self.feature_names.index(name) for name in self.market_features)


@config
class NormaliserConfig:
    """Window normaliser.

    Attributes:
        kind: ``fan``, ``san``, ``multi_window`` or ``none``.
        top_k: fan: Fourier components of the main part; windows with fewer take all.
        patterns: fan, san: hidden width of the MLP along the time axis that reads what was taken out of every feature.
    """

    kind: Literal["fan", "san", "multi_window", "none"] = "fan"
    top_k: int = within(3, 1, 512)
    patterns: int = within(8, 1, 1024)


@config
class SelectionConfig:
    """Variable selection.

    Attributes:
        kind: ``linear`` (linear embeddings: a matrix product) or ``grn`` (the paper's GRN for each variable: costs
            F H^2 parameters).
        hidden: width of the GRN that chooses the weights.
        per_step: choose weights anew at each step as the paper does; otherwise once a window, from its last step.
    """

    kind: Literal["linear", "grn"] = "linear"
    hidden: int = within(32, 1, 4096)
    per_step: bool = True


@config
class EncoderConfig:
    """Temporal encoder.

    Attributes:
        kind: ``attention`` or ``lstm_attention`` (the paper's).
        layers: attention layers; all but the last are causal over every step, the last asks for the last step alone.
        heads: attention heads; they share their values, so that their weights can be read.
    """

    kind: Literal["attention", "lstm_attention"] = "attention"
    layers: int = within(1, 1, 32)
    heads: int = within(4, 1, 256)


@config
class GraphAttentionConfig:
    """Graph attention.

    Attributes:
        layers: GATv2 layers; 0 = no graph.
        heads: heads of every layer but the last, concatenated; the last of several has half of them, averaged.
        dropout: share of attention weights dropped in training.
        backend: ``neighbors`` (fixed k, static shapes) or ``pyg`` (torch_geometric, the reference); same weights.
    """

    layers: int = within(2, 0, 16)
    heads: int = within(8, 1, 256)
    dropout: float = within(0.1, 0, 0.9)
    backend: Literal["neighbors", "pyg"] = "neighbors"

    def heads_of(self, layer: int) -> int:
        """Heads of a layer, counted from 0."""
        return max(1, self.heads // 2) if 0 < layer == self.layers - 1 else self.heads


@config
class HeadsConfig:
    """Output heads; each reads the same hidden vector.

    Attributes:
        quantiles: levels of the quantile head, rising; empty = none.
        student_t: predict location, scale and degrees of freedom too.
    """

    quantiles: tuple[float, ...] = within((), 0.001, 0.999)
    student_t: bool = False

    def __post_init__(self) -> None:
        require(
            all(low < high for low, high in pairwise(self.quantiles)),
            f"quantiles: must rise, got {list(self.quantiles)}",
        )


@config
class ModelConfig:
    """ATFT-GAT-FAN.

    Attributes:
        width: H.
        dropout: of the gated blocks and heads.
        static: sector and market of a listing condition the model.
        regime: the day's market features condition the model, besides being features like all others.
        checkpointing: compute the blocks before the graph again in the backward pass instead of keeping their values.
        normaliser: window normaliser.
        selection: variable selection.
        encoder: temporal encoder.
        graph: graph attention.
        heads: outputs.
    """

    width: int = within(64, 1, 4096)
    dropout: float = within(0.1, 0, 0.9)
    static: bool = True
    regime: bool = True
    checkpointing: bool = False
    normaliser: NormaliserConfig = NormaliserConfig()
    selection: SelectionConfig = SelectionConfig()
    encoder: EncoderConfig = EncoderConfig()
    graph: GraphAttentionConfig = GraphAttentionConfig()
    heads: HeadsConfig = HeadsConfig()

    def __post_init__(self) -> None:
        require(
            self.width % self.encoder.heads == 0,
            f"width: must be divisible by encoder.heads {self.encoder.heads}, got {self.width}",
        )
        require(
            self.graph.layers == 0 or self.width % self.graph.heads == 0,
            f"width: must be divisible by graph.heads {self.graph.heads}, got {self.width}",
        )

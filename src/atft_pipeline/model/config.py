"""Configuration of the model, nested by block, and the description of its inputs.

Legend: L steps, F features, H width, k neighbours, Q horizons.
"""

from itertools import pairwise
from typing import Literal

from atft_pipeline.config import config, require


def _share(name: str, value: float) -> None:
    require(0 <= value < 1, f"{name} must lie in [0, 1), got {value}")


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
    horizons: tuple[int, ...] = (1, 5, 10, 20)
    window: int = 20
    edge_dim: int = 3
    sectors: int = 0
    markets: int = 0

    def __post_init__(self) -> None:
        require(bool(self.feature_names), "feature_names must name at least one feature")
        unknown = sorted(set(self.market_features) - set(self.feature_names))
        require(not unknown, f"market_features must be among feature_names, got {', '.join(unknown)}")
        require(bool(self.horizons), "horizons must name at least one horizon")
        require(self.window >= 1, f"window must be at least 1, got {self.window}")
        for name in ("edge_dim", "sectors", "markets"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")

    @property
    def market_positions(self) -> tuple[int, ...]:
        """Positions of the market features among the features."""
        return tuple(self.feature_names.index(name) for name in self.market_features)


@config
class NormaliserConfig:
    """Window normaliser.

    Attributes:
        kind: ``fan``, ``san``, ``multi_window``, ``revin`` or ``none``.
        top_k: fan: Fourier components of the main part; windows with fewer take all.
        patterns: fan: patterns along the time axis that the MLP of the main part reads in every feature.
        slice_length: san: steps of a slice.
        windows: multi_window: lengths of the trailing windows.
        variance_floor: added to every variance, in squared units of the features (which are about 1), so that rounding
            noise of a constant series is not blown up.
    """

    kind: Literal["fan", "san", "multi_window", "revin", "none"] = "fan"
    top_k: int = 3
    patterns: int = 8
    slice_length: int = 5
    windows: tuple[int, ...] = (5, 10, 20)
    variance_floor: float = 1e-2

    def __post_init__(self) -> None:
        for name in ("top_k", "patterns", "slice_length"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")
        require(bool(self.windows) and min(self.windows) >= 2, f"windows must be at least 2 steps, got {self.windows}")
        require(self.variance_floor > 0, f"variance_floor must be positive, got {self.variance_floor}")


@config
class SelectionConfig:
    """Variable selection.

    Attributes:
        kind: ``linear`` (linear embeddings: a matrix product) or ``grn`` (the paper's GRN for each variable: costs
            F H^2 parameters and F H numbers a step).
        hidden: width of the GRN that chooses the weights.
        per_step: choose weights anew at each step as the paper does; otherwise once a window, from its last step.
    """

    kind: Literal["linear", "grn"] = "linear"
    hidden: int = 32
    per_step: bool = True

    def __post_init__(self) -> None:
        require(self.hidden >= 1, f"hidden must be at least 1, got {self.hidden}")


@config
class EncoderConfig:
    """Temporal encoder.

    Attributes:
        kind: ``attention`` or ``lstm_attention`` (the paper's).
        layers: attention layers; all but the last are causal over every step, the last asks for the last step alone.
        heads: attention heads; they share their values, so that their weights can be read.
    """

    kind: Literal["attention", "lstm_attention"] = "attention"
    layers: int = 1
    heads: int = 4

    def __post_init__(self) -> None:
        for name in ("layers", "heads"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1, got {getattr(self, name)}")


@config
class GraphAttentionConfig:
    """Graph attention.

    Attributes:
        layers: GATv2 layers; 0 = no graph.
        heads: heads of every layer but the last, concatenated; the last of several has half of them, averaged.
        dropout: share of attention weights dropped in training.
        edge_dropout: share of edges dropped in training.
        drop_path: share of days on which a layer is skipped in training (stochastic depth).
        gate_floor: least openness of the residual gate, so that the graph path never loses its gradient.
        backend: ``neighbors`` (fixed k, static shapes) or ``pyg`` (torch_geometric, the reference); same weights.
    """

    layers: int = 2
    heads: int = 8
    dropout: float = 0.1
    edge_dropout: float = 0.0
    drop_path: float = 0.0
    gate_floor: float = 0.1
    backend: Literal["neighbors", "pyg"] = "neighbors"

    def __post_init__(self) -> None:
        require(self.layers >= 0, f"layers must not be negative, got {self.layers}")
        require(self.heads >= 1, f"heads must be at least 1, got {self.heads}")
        for name in ("dropout", "edge_dropout", "drop_path", "gate_floor"):
            _share(name, getattr(self, name))

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

    quantiles: tuple[float, ...] = ()
    student_t: bool = False

    def __post_init__(self) -> None:
        require(
            all(0 < level < 1 for level in self.quantiles)
            and all(low < high for low, high in pairwise(self.quantiles)),
            f"quantiles must rise strictly inside (0, 1), got {self.quantiles}",
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

    width: int = 64
    dropout: float = 0.1
    static: bool = True
    regime: bool = True
    checkpointing: bool = False
    normaliser: NormaliserConfig = NormaliserConfig()
    selection: SelectionConfig = SelectionConfig()
    encoder: EncoderConfig = EncoderConfig()
    graph: GraphAttentionConfig = GraphAttentionConfig()
    heads: HeadsConfig = HeadsConfig()

    def __post_init__(self) -> None:
        require(self.width >= 1, f"width must be at least 1, got {self.width}")
        _share("dropout", self.dropout)
        require(
            self.width % self.encoder.heads == 0,
            f"width must be divisible by encoder.heads {self.encoder.heads}, got {self.width}",
        )
        require(
            self.graph.layers == 0 or self.width % self.graph.heads == 0,
            f"width must be divisible by graph.heads {self.graph.heads}, got {self.width}",
        )

"""Variable selection (Lim et al., "Temporal Fusion Transformers", 2021, section 4.2).

Legend: S samples, L steps (1 where weights are chosen once a window), F features, H width, C context.
"""

import torch
from torch import Tensor, nn

from atft_pipeline.model.config import SelectionConfig
from atft_pipeline.model.grn import GatedResidualNetwork
from atft_pipeline.model.grouped_grn import Networks, weighted_networks


class SelectionWeights(nn.Module):
    """Weight of each feature: F softmax(W GRN(x, c)), so that the mean weight is 1.

    The paper's GRN is as wide as the F embeddings together; here it reads the features themselves and is
    ``config.hidden`` wide. Its last layer starts small: all features begin with nearly the same weight.

    Args:
        config: width of the GRN, and whether it chooses for each step or once a window, from its last step.
        features: F.
        context: C, 0 = none.
        dropout: of the GRN.

    Shapes: x [S, L, F], context [S, C] -> [S, L or 1, F].
    """

    def __init__(self, config: SelectionConfig, features: int, context: int, dropout: float) -> None:
        super().__init__()
        self.per_step = config.per_step
        self.grn = GatedResidualNetwork(features, config.hidden, dropout, context)
        self.logits = nn.Linear(config.hidden, features)
        nn.init.normal_(self.logits.weight, std=0.1 / config.hidden**0.5)
        nn.init.zeros_(self.logits.bias)

    def forward(self, x_SLF: Tensor, context_SC: Tensor | None) -> Tensor:
        """Choose the weights."""
        seen = x_SLF if self.per_step else x_SLF[:, -1:]
        logits = self.logits(self.grn(seen, None if context_SC is None else context_SC[:, None]))
        return torch.softmax(logits, dim=-1) * x_SLF.shape[-1]


class LinearSelection(nn.Module):
    """Variable selection over linear embeddings e_f(x) = x E_f + b_f.

    sum_f w_f e_f(x_f) = (w * x) E + w b: two matrix products; [S, L, F, H] is never built.

    Args: as :class:`SelectionWeights`, and ``width`` H.

    Shapes: x [S, L, F], weights [S, L or 1, F] -> [S, L, H].
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(features, width))
        self.bias = nn.Parameter(torch.empty(features, width))
        nn.init.normal_(self.embedding, std=features**-0.5)
        nn.init.normal_(self.bias, std=0.02 * features**-0.5)

    def forward(self, x_SLF: Tensor, weights_SLF: Tensor) -> Tensor:
        """Embed and sum."""
        return (x_SLF * weights_SLF) @ self.embedding + weights_SLF @ self.bias


class GRNSelection(nn.Module):
    """Variable selection with the paper's GRN for each variable; its time grows with F x H x H.

    Args:
        features: F.
        width: H.
        dropout: of the GRNs.

    Shapes: x [S, L, F], weights [S, L or 1, F] -> [S, L, H].
    """

    def __init__(self, features: int, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(features, width))
        self.bias = nn.Parameter(torch.zeros(features, width))
        bound = width**-0.5
        self.inner = nn.Parameter(torch.empty(features, width, width).uniform_(-bound, bound))
        self.outer = nn.Parameter(torch.empty(features, width, width).uniform_(-bound, bound))
        self.gate = nn.Parameter(torch.empty(features, width, 2 * width).uniform_(-bound, bound))
        self.inner_bias = nn.Parameter(torch.zeros(features, width))
        self.outer_bias = nn.Parameter(torch.zeros(features, width))
        self.gate_bias = nn.Parameter(torch.zeros(features, 2 * width))
        self.norm_weight = nn.Parameter(torch.ones(features, width))
        self.norm_bias = nn.Parameter(torch.zeros(features, width))
        self.dropout = dropout

    def forward(self, x_SLF: Tensor, weights_SLF: Tensor) -> Tensor:
        """Transform each variable by itself, then sum."""
        slope = torch.bmm(self.embedding[:, None], self.inner)[:, 0]
        offset = torch.bmm(self.bias[:, None], self.inner)[:, 0] + self.inner_bias
        networks = Networks(
            self.embedding, self.bias, slope, offset, self.outer, self.outer_bias, self.gate, self.gate_bias,
            self.norm_weight, self.norm_bias,
        )  # fmt: skip
        features = x_SLF.shape[-1]
        rows, weights = x_SLF.reshape(-1, features), weights_SLF.expand_as(x_SLF).reshape(-1, features)
        total = weighted_networks(rows, weights, networks, self.dropout if self.training else 0.0)
        return total.view(*x_SLF.shape[:-1], -1) / float(features**0.5)


def build_selection(
    config: SelectionConfig, features: int, width: int, dropout: float
) -> LinearSelection | GRNSelection:
    """The selection that a configuration names: F features to H width."""
    return LinearSelection(features, width) if config.kind == "linear" else GRNSelection(features, width, dropout)

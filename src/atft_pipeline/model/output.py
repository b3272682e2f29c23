"""What the model returns. Legend: S samples, L steps, F features, k neighbours, Q horizons, P quantiles."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class ModelOutput(NamedTuple):
    """Predictions for every sample; all float32.

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
    """Weights of selection, attention and graph.

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

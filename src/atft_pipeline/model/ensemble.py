"""Models of the same shape, trained with different seeds, whose scores are averaged.

Legend: E models, S samples of a day, Q horizons, P quantiles.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.output import ModelOutput


class Ensemble(nn.Module):
    """The models; one is an ensemble of one.

    Args:
        members: of the same shape.
    """

    def __init__(self, members: Iterable[ATFTGATFAN]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def __iter__(self) -> Iterator[ATFTGATFAN]:
        return iter(cast("Iterable[ATFTGATFAN]", self.members))

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, place: int) -> ATFTGATFAN:
        return cast("ATFTGATFAN", self.members[place])


class Combined(NamedTuple):
    """Scores of an ensemble on a day.

    Attributes:
        score: [S, Q].
        disagreement: standard deviation of the members' standardised scores [S, Q]; ``None`` of a single model.
        quantiles: [S, Q, P], or ``None``.
    """

    score: Tensor
    disagreement: Tensor | None
    quantiles: Tensor | None

    def cpu(self) -> "Combined":
        """The same in the memory of the host."""
        disagreement, quantiles = (None if x is None else x.cpu() for x in (self.disagreement, self.quantiles))
        return Combined(self.score.cpu(), disagreement, quantiles)


def combine(outputs: list[ModelOutput]) -> Combined:
    """Average what the members say of all samples of one day.

    Scores are standardised within the day first, so that no member counts for more because its scores spread wider; a
    score is a rank, and its scale means nothing. The scores of a single model stay as they are, and so do quantiles,
    which are of returns.

    Args:
        outputs: of each member, on the same samples.
    """
    first = outputs[0]
    quantiles = [output.quantiles.float() for output in outputs if output.quantiles is not None]
    if len(outputs) == 1:
        return Combined(first.score.float(), None, quantiles[0] if quantiles else None)
    scores_ESQ = torch.stack([output.score.float() for output in outputs])
    spread = scores_ESQ.std(dim=1, correction=0, keepdim=True)
    # A day of one listing, or scores that are all the same, have no spread: they stand in the middle.
    standard = (scores_ESQ - scores_ESQ.mean(dim=1, keepdim=True)) / spread.clamp(min=1e-12)
    mean_quantiles = torch.stack(quantiles).mean(dim=0) if quantiles else None
    return Combined(standard.mean(dim=0), standard.std(dim=0, correction=0), mean_quantiles)

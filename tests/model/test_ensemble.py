"""Averages of several models, by hand."""

import pytest
import torch
from torch import Tensor

from atft_pipeline.model.ensemble import combine
from atft_pipeline.model.output import ModelOutput


def output(score: list[list[float]], quantiles: Tensor | None = None) -> ModelOutput:
    return ModelOutput(torch.tensor(score), quantiles, None)


def test_scores_of_one_model_are_left_as_they_are() -> None:
    one = output([[3.0, -7.0], [0.5, 2.0]])
    found = combine([one])
    assert torch.equal(found.score, one.score)
    assert (found.disagreement, found.quantiles) == (None, None)


def test_members_count_alike_whatever_the_spread_of_their_scores() -> None:
    # Standardised: -1, 1 and -1, 1 at the first horizon; -1, 1 and 1, -1 at the second.
    found = combine([output([[0.0, 0.0], [2.0, 2.0]]), output([[100.0, 900.0], [300.0, 100.0]])])
    assert found.score.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert found.disagreement is not None
    assert found.disagreement.tolist() == [[0.0, 1.0], [0.0, 1.0]]


def test_three_members_by_hand() -> None:
    found = combine([output([[0.0], [0.0], [3.0]]), output([[1.0], [0.0], [0.0]]), output([[5.0], [5.0], [5.0]])])
    # (-1, -1, 2) / sqrt(2), (2, -1, -1) / sqrt(2) and a member that cannot tell the listings apart.
    root = 2**0.5
    assert found.score[:, 0].tolist() == pytest.approx([1 / (3 * root), -2 / (3 * root), 1 / (3 * root)])
    assert found.disagreement is not None
    assert float(found.disagreement[1, 0]) == pytest.approx(torch.tensor([-1, -1, 0]).div(root).std(correction=0))


def test_a_day_of_one_listing_stands_in_the_middle() -> None:
    found = combine([output([[4.0]]), output([[9.0]])])
    assert (found.score.tolist(), found.disagreement.tolist()) == ([[0.0]], [[0.0]])  # type: ignore[union-attr]


def test_quantiles_are_averaged_in_units_of_returns() -> None:
    found = combine([output([[1.0]], torch.tensor([[[-0.1, 0.3]]])), output([[1.0]], torch.tensor([[[0.1, 0.5]]]))])
    assert found.quantiles is not None
    assert found.quantiles.flatten().tolist() == pytest.approx([0.0, 0.4])

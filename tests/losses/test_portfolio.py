import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atft_pipeline.losses import portfolio


def test_turnover_by_hand() -> None:
    # Day 4: long listing 7, short 9. Day 5: 7 is gone, 9 is long, 11 is new and short.
    weights = torch.tensor([[[0.5, -0.5]], [[0.5, -0.5]], [[0.5, -0.5]]])
    listing = torch.tensor([[7, 9], [9, 11], [9, 11]])
    days = torch.tensor([4, 5, 9])
    # |0 - .5| for 7, |.5 + .5| for 9, |-.5| for 11, halved; day 9 does not follow day 5, nor has day 4 a day before it.
    assert portfolio.turnover(weights, days, listing).flatten().tolist() == [0.0, 1.0, 0.0]


def test_an_unchanged_portfolio_costs_nothing_and_a_reversed_one_costs_twice_its_half() -> None:
    weights = torch.tensor([[[0.5, -0.5, 0.0]], [[0.5, -0.5, 0.0]], [[-0.5, 0.5, 0.0]]])
    listing = torch.tensor([[1, 2, -1]] * 3)
    assert portfolio.turnover(weights, torch.tensor([0, 1, 2]), listing).flatten().tolist() == [0.0, 0.0, 1.0]
    padded = portfolio.turnover(weights, torch.tensor([-1, -1, -1]), listing)
    assert padded.abs().sum() == 0


@given(seed=st.integers(0, 200))
def test_turnover_equals_dense_portfolios(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(3, 12, generator=generator) < 0.6
    dense = torch.randn(3, 2, 12, generator=generator) * present[:, None]
    width = int(present.sum(dim=1).max()) + 1
    listing = torch.full((3, width), -1)
    weights = torch.zeros(3, 2, width)
    for day in range(3):
        found = present[day].nonzero().squeeze(1)
        listing[day, : len(found)] = found
        weights[day, :, : len(found)] = dense[day][:, found]
    expected = 0.5 * (dense[1:] - dense[:-1]).abs().sum(dim=-1)
    torch.testing.assert_close(portfolio.turnover(weights, torch.arange(3), listing)[1:], expected)


def test_gradient_reaches_both_days() -> None:
    weights = torch.tensor([[[0.5, -0.5]], [[0.1, -0.1]]], requires_grad=True)
    portfolio.turnover(weights, torch.tensor([0, 1]), torch.tensor([[3, 5], [3, 5]])).sum().backward()
    assert weights.grad is not None
    assert weights.grad.abs().min() == pytest.approx(0.5)

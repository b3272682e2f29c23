import math

import numpy as np
import pytest
import torch
from scipy import stats

from atft_pipeline.losses import base, masked, portfolio

SCORE = torch.tensor([[0.0, 1.0, -2.0, 9.0]])
TARGET = torch.tensor([[0.5, -1.0, 1.0, 5.0]])
MASK = torch.tensor([[True, True, True, False]])


def test_huber_by_hand() -> None:
    # errors 0.5, 2, 3 with delta 1: 0.125, 1.5, 2.5
    assert base.huber(SCORE, TARGET, MASK).item() == pytest.approx((0.125 + 1.5 + 2.5) / 3)


def test_pinball_by_hand() -> None:
    quantiles = SCORE[..., None].expand(1, 4, 2)
    # errors target - score: 0.5, -2, 3; level 0.1: 0.05, 1.8, 0.3; level 0.9: 0.45, 0.2, 2.7
    expected = (0.05 + 1.8 + 0.3 + 0.45 + 0.2 + 2.7) / 6
    assert base.quantile(quantiles, TARGET, MASK, torch.tensor([0.1, 0.9])).item() == pytest.approx(expected)


def test_pinball_is_least_at_the_quantile() -> None:
    y = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(y, dtype=torch.bool)
    at = torch.quantile(y, 0.8).item()
    losses = [
        base.quantile(torch.full((1, 4000, 1), at + d), y, mask, torch.tensor([0.8])).item() for d in (-0.1, 0.0, 0.1)
    ]
    assert losses[1] == min(losses)


def test_student_t_is_scipys_likelihood() -> None:
    parameters = torch.tensor([[[0.1, 0.7, 3.0], [0.0, 1.0, 5.0], [-1.0, 2.0, 30.0], [0.0, 1.0, 4.0]]])
    expected = -np.mean(
        [
            stats.t.logpdf(t, df, loc, scale)
            for t, (loc, scale, df) in zip(TARGET[0, :3], parameters[0, :3], strict=True)
        ]
    )
    assert base.student_t(parameters, TARGET, MASK).item() == pytest.approx(expected, rel=1e-5)


def test_correlation_is_pearsons_and_zero_for_a_constant() -> None:
    expected = np.corrcoef([0.0, 1.0, -2.0], [0.5, -1.0, 1.0])[0, 1]
    assert masked.correlation(SCORE, TARGET, MASK).item() == pytest.approx(expected, rel=1e-5)
    constant = torch.full_like(SCORE, 2.0).requires_grad_()
    value = masked.correlation(constant, TARGET, MASK)
    value.sum().backward()
    assert value.item() == 0
    assert constant.grad is not None
    assert torch.isfinite(constant.grad).all()


def test_portfolio_is_neutral_and_its_return_is_the_weighted_sum() -> None:
    weights = portfolio.positions(SCORE, MASK)
    assert weights.sum().item() == pytest.approx(0, abs=1e-6)
    assert weights.abs().sum().item() == pytest.approx(1, rel=1e-5)
    assert weights[0, 3] == 0
    returns = torch.tensor([[0.01, 0.02, -0.03, math.nan]])
    expected = float((weights[0, :3] * returns[0, :3]).sum())
    assert portfolio.portfolio_returns(SCORE, returns, MASK).item() == pytest.approx(expected, rel=1e-5)


def test_sharpe_by_hand() -> None:
    returns = torch.tensor([[0.01], [0.03], [9.0], [-0.01], [0.02]])
    known = torch.tensor([True, True, False, True, True])
    expected = -returns[known].numpy().mean() / returns[known].numpy().std(ddof=1)
    assert portfolio.sharpe(returns, known).item() == pytest.approx(float(expected), rel=1e-5)
    assert portfolio.sharpe(returns[:1], known[:1]).item() == 0

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from atft_pipeline.config import from_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.losses import composite, portfolio
from atft_pipeline.losses.composite import CompositeLoss
from atft_pipeline.losses.config import TERMS, LossConfig

HORIZONS = (1, 5)
LEVELS = (0.1, 0.5, 0.9)


class Output(NamedTuple):
    score: Tensor
    quantiles: Tensor | None = None
    student_t: Tensor | None = None


class Batch(NamedTuple):
    output: Output
    targets: Tensor
    returns: Tensor
    label_mask: Tensor


def only(name: str, **others: object) -> LossConfig:
    weights = dict.fromkeys(TERMS, 0.0) | {name: 1.0}
    return from_mapping(LossConfig, {**weights, **others})


def batch(seed: int = 0, days: int = 6, listings: int = 40) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(days, listings, 2, generator=generator)
    score = (0.1 * torch.randn(days, listings, 2, generator=generator)).requires_grad_()
    quantiles = torch.randn(days, listings, 2, 3, generator=generator).requires_grad_()
    t = torch.randn(days, listings, 2, 3, generator=generator).abs() + torch.tensor([0.0, 0.1, 2.1])
    label_mask = torch.rand(days, listings, 2, generator=generator) < 0.8
    return Batch(Output(score, quantiles, t.requires_grad_()), targets, targets / 50, label_mask)


def source(name: str, output: Output) -> Tensor:
    """The tensor that a term reads."""
    found = {"quantile": output.quantiles, "student_t": output.student_t}.get(name, output.score)
    assert found is not None
    return found


@pytest.mark.parametrize("name", TERMS)
def test_one_step_against_the_gradient_improves_each_term(name: str) -> None:
    given = batch()
    loss = CompositeLoss(only(name), HORIZONS, LEVELS)
    before = loss(*given)
    read = source(name, given.output)
    (gradient,) = torch.autograd.grad(before.total, read)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0
    moved = read.detach() - 0.02 * gradient / gradient.norm()
    swapped = {"quantile": "quantiles", "student_t": "student_t"}.get(name, "score")
    loss.reset()
    after = loss(given.output._replace(**{swapped: moved}), *given[1:])
    if name != "rank_ic":  # its value moves in steps
        assert after.total < before.total
    assert list(before.terms) == [name]


@pytest.mark.parametrize("name", TERMS)
def test_rows_without_label_count_nothing(name: str) -> None:
    given = batch()
    loss = CompositeLoss(only(name), HORIZONS, LEVELS)
    expected = loss(*given).total
    read = source(name, given.output)
    (gradient,) = torch.autograd.grad(expected, read)
    hidden = ~given.label_mask
    assert (gradient[hidden] == 0).all()
    loss.reset()
    disturbed = [part.masked_fill(hidden, 1e3) for part in (given.targets, given.returns)]
    torch.testing.assert_close(loss(given.output, *disturbed, given.label_mask).total, expected)


@pytest.mark.parametrize("name", ["rank_ic", "ic", "sharpe", "spearman"])
def test_cross_sectional_terms_ignore_the_level_of_a_day(name: str) -> None:
    given = batch()
    loss = CompositeLoss(only(name), HORIZONS, LEVELS)
    expected = loss(*given).total
    loss.reset()
    shifted = given.output._replace(score=given.output.score + 3.0)
    torch.testing.assert_close(loss(shifted, *given[1:]).total, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["rank_ic", "ic", "spearman"])
def test_cross_sectional_terms_ignore_a_constant_shift_of_the_targets(name: str) -> None:
    given = batch()
    loss = CompositeLoss(only(name), HORIZONS, LEVELS)
    expected = loss(*given).total
    torch.testing.assert_close(
        loss(given.output, given.targets + 2.0, *given[2:]).total, expected, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("name", [name for name in TERMS if name != "rank_ic"])
def test_gradients_agree_with_finite_differences(name: str) -> None:
    given = batch(listings=12)
    loss = CompositeLoss(only(name), HORIZONS, LEVELS)
    read = source(name, given.output)
    (gradient,) = torch.autograd.grad(loss(*given).total, read)
    field = {"quantile": "quantiles", "student_t": "student_t"}.get(name, "score")
    generator = torch.Generator().manual_seed(3)
    for _ in range(3):
        direction = torch.randn(read.shape, generator=generator)
        ends = []
        for sign in (1, -1):
            loss.reset()
            moved = given.output._replace(**{field: read.detach() + sign * 3e-4 * direction})
            ends.append(float(loss(moved, *given[1:]).total))
        slope = (ends[0] - ends[1]) / 6e-4
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=0.03, abs=2e-3)


def test_straight_through_gradient_points_where_pairwise_finite_differences_do() -> None:
    """The straight-through term moves in steps; its gradient is that of the smooth reference, in direction."""
    given = batch(days=4, listings=200)
    gradients = [
        torch.autograd.grad(CompositeLoss(only(name), HORIZONS)(*given).total, given.output.score)[0]
        for name in ("rank_ic", "spearman")
    ]
    assert torch.cosine_similarity(*(g.flatten() for g in gradients), dim=0) > 0.9


def test_rank_ic_ignores_monotone_maps_of_scores_and_targets() -> None:
    given = batch()
    loss = CompositeLoss(only("rank_ic"), HORIZONS)
    expected = loss(*given).total
    mapped = given.output._replace(score=given.output.score.exp())
    torch.testing.assert_close(loss(mapped, given.targets**3, *given[2:]).total, expected)


def test_perfect_and_opposite_scores() -> None:
    given = batch()
    for name in ("rank_ic", "ic"):
        loss = CompositeLoss(only(name), HORIZONS)
        assert loss(Output(given.targets), *given[1:]).total.item() == pytest.approx(0, abs=1e-5)
        assert loss(Output(-given.targets), *given[1:]).total.item() == pytest.approx(2, abs=1e-5)


def test_total_is_the_weighted_sum_and_zero_weights_are_not_computed() -> None:
    given = batch()
    result = CompositeLoss(LossConfig(huber=2.0, rank_ic=0.5, ic=0.0), HORIZONS)(*given)
    assert set(result.terms) == {"huber", "rank_ic"}
    expected = 2 * result.terms["huber"].value + 0.5 * result.terms["rank_ic"].value
    torch.testing.assert_close(result.total, expected)
    assert result.terms["huber"].weight == 2.0
    torch.testing.assert_close(result.terms["huber"].weighted, 2 * result.terms["huber"].value)


def test_a_horizon_of_few_independent_labels_weighs_less() -> None:
    """1,400 days hold 70 labels of 20 sessions that do not overlap, 280 hold a fifth of that."""
    horizons = (1, 5, 10, 20)
    assert LossConfig().for_days(horizons, 1400).weights_of(horizons) == LossConfig().weights_of(horizons)
    told = LossConfig().for_days(horizons, 280).horizon_weights
    assert told == {1: 1.0, 5: 0.8, 10: 0.4, 20: 0.2}
    assert LossConfig(horizon_weights={20: 2.0}).for_days(horizons, 280).horizon_weights == {**told, 20: 2.0}


def test_horizon_weights() -> None:
    given = batch()
    parts = [
        CompositeLoss(only("huber", horizon_weights={1: float(first), 5: float(1 - first)}), HORIZONS)(*given).total
        for first in (1, 0)
    ]
    both = CompositeLoss(only("huber", horizon_weights={1: 3.0}), HORIZONS)(*given).total
    torch.testing.assert_close(both, 0.75 * parts[0] + 0.25 * parts[1])
    with pytest.raises(ConfigError, match=r"horizon \[20\] is not predicted"):
        CompositeLoss(LossConfig(horizon_weights={20: 1.0}), HORIZONS)


def test_days_with_too_few_labels_count_nothing() -> None:
    given = batch()
    sparse = given.label_mask.clone()
    sparse[0, 3:] = False
    without = [part[1:] for part in given[1:]]
    loss = CompositeLoss(LossConfig(), HORIZONS)
    expected = loss(Output(given.output.score[1:]), *without).total
    torch.testing.assert_close(loss(given.output, *given[1:3], sparse).total, expected)


def test_sharpe_remembers_the_days_before_and_forgets_at_reset() -> None:
    loss = CompositeLoss(only("sharpe"), HORIZONS)
    first, second = batch(1), batch(2)
    fresh = loss(*second).total
    loss.reset()
    loss(*first)
    after_first = loss(*second).total
    days = [
        portfolio.portfolio_returns(*(part.transpose(1, 2) for part in (b.output.score, b.returns, b.label_mask)))
        for b in (first, second)
    ]
    expected = portfolio.sharpe(torch.cat(days), torch.ones(12, dtype=torch.bool)).mean()
    torch.testing.assert_close(after_first, expected)
    assert not torch.allclose(fresh, after_first)
    # Days that lie further back than the Sharpe ratio looks are forgotten.
    for _ in range(composite.SHARPE_DAYS // 6 + 1):
        loss(*second)
    many = loss(*second).total
    loss.reset()
    for _ in range(composite.SHARPE_DAYS // 6 + 2):
        forgotten = loss(*second).total
    torch.testing.assert_close(many, forgotten)
    loss.reset()
    torch.testing.assert_close(loss(*second).total, fresh)


def test_a_head_that_is_missing_is_named() -> None:
    given = batch()
    for name, message in (("quantile", "model.heads.quantiles"), ("student_t", "model.heads.student_t")):
        with pytest.raises(ConfigError, match=message):
            CompositeLoss(only(name), HORIZONS)(Output(given.output.score), *given[1:])


def test_spread_of_the_scores_is_reported() -> None:
    given = batch()
    flat = given.output.score.detach().clone()
    flat[0] = 0.0
    result = CompositeLoss(LossConfig(), HORIZONS)(Output(flat), *given[1:])
    assert result.narrow.item() == pytest.approx(1 / 6)
    assert result.spread.item() == pytest.approx(0.1 * 5 / 6, rel=0.1)


def test_days_count_by_their_regimes() -> None:
    given = batch(days=3)
    regime = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [2.0, 1.0]])
    weights = {"MARKET_VOL20": (0.0, 1.0, 3.0), "MARKET_CORR20": (1.0, 1.0, 0.5)}
    found = CompositeLoss(only("huber", regime_weights=weights), HORIZONS)(*given, regime=regime).total
    single = [
        CompositeLoss(only("huber"), HORIZONS)(
            Output(given.output.score[d : d + 1]), *(x[d : d + 1] for x in given[1:])
        ).total
        for d in range(3)
    ]
    torch.testing.assert_close(found, (1.0 * single[1] + 1.5 * single[2]) / 2.5)
    with pytest.raises(ConfigError, match="brings no market features"):
        CompositeLoss(only("huber", regime_weights=weights), HORIZONS)(*given)


def test_turnover_is_charged_to_the_portfolio() -> None:
    given = batch(days=3)
    days, listing = torch.arange(3), torch.arange(40).expand(3, 40)
    free, dear = (
        CompositeLoss(only("sharpe", turnover_cost=cost), HORIZONS)(*given, days=days, listing=listing).total
        for cost in (0.0, 0.01)
    )
    assert dear > free
    apart = CompositeLoss(only("sharpe", turnover_cost=0.01), HORIZONS)(*given, days=days * 2, listing=listing).total
    torch.testing.assert_close(apart, free)


@pytest.mark.parametrize(
    "change",
    [
        {"huber": -1.0},
        {"turnover_cost": 0.001},
        {"regime_weights": {"a": (1.0,)}},
    ],
)
def test_bad_values_are_refused(change: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        replace(LossConfig(), **change)

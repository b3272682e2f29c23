import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from atft_pipeline.losses.masked import correlation
from atft_pipeline.losses.ranks import SoftRank, hard_rank, pairwise_rank, straight_through_rank


def scores(days: int = 3, listings: int = 50, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(days, listings, generator=generator)
    return x, torch.rand(days, listings, generator=generator) < 0.8


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=20))
def test_hard_ranks_are_those_of_scipy(values: list[int]) -> None:
    x = torch.tensor([values], dtype=torch.float32)
    expected = (rankdata(values) - 0.5) / len(values)
    assert hard_rank(x, torch.ones_like(x, dtype=torch.bool))[0].tolist() == pytest.approx(expected.tolist())


def test_masked_listings_have_no_rank_and_change_none() -> None:
    x, mask = scores()
    for rank in (hard_rank, straight_through_rank, pairwise_rank):
        found = rank(x, mask)
        assert (found[~mask] == 0).all()
        for day in range(3):
            alone = rank(x[day][mask[day]][None], torch.ones(1, int(mask[day].sum()), dtype=torch.bool))
            torch.testing.assert_close(found[day][mask[day]], alone[0], atol=1e-5, rtol=1e-4)


def test_straight_through_is_exact_and_soft_ranks_approach_it() -> None:
    x, mask = scores()
    exact = hard_rank(x, mask)
    torch.testing.assert_close(straight_through_rank(x, mask), exact)
    torch.testing.assert_close(pairwise_rank(x, mask, temperature=1e-4), exact, atol=1e-3, rtol=0)


def test_gradient_points_where_the_pairwise_one_does() -> None:
    x, _ = scores(1, 400)
    mask = torch.ones_like(x, dtype=torch.bool)
    target = hard_rank(0.3 * x + torch.randn(1, 400, generator=torch.Generator().manual_seed(5)), mask)
    gradients = []
    for rank in (straight_through_rank, pairwise_rank):
        score = x.clone().requires_grad_()
        correlation(rank(score, mask), target, mask).sum().backward()
        assert score.grad is not None
        gradients.append(score.grad.flatten())
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0)
    assert cosine > 0.85


@pytest.mark.parametrize("rank", [straight_through_rank, pairwise_rank])
def test_ranks_do_not_depend_on_scale_or_level(rank: SoftRank) -> None:
    x, mask = scores()
    torch.testing.assert_close(rank(100 * x + 7, mask), rank(x, mask), atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_straight_through_is_cheap_and_true_at_the_size_of_a_market() -> None:
    """4,484 listings: a gradient near that of all pairs, at a fiftieth of the cost."""
    from benchmarks.losses import compare

    milliseconds, share, cosines = compare(4484, 3)["straight_through"]
    assert min(cosines.values()) >= 0.9, cosines
    assert share <= 1 / 50, milliseconds

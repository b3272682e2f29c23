import numpy as np
import pytest

from atft_pipeline.stats.bootstrap import Bootstrap, optimal_block


def ar1(seed: int, days: int, memory: float, mean: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.empty(days)
    state = rng.standard_normal() / np.sqrt(1 - memory**2)
    for day in range(days):
        state = memory * state + rng.standard_normal()
        values[day] = state
    return values + mean


@pytest.mark.parametrize("memory", [0.0, 0.6])
def test_interval_holds_the_truth_as_often_as_it_says(memory: float) -> None:
    """Over 200 series with and without memory the 95 % interval holds the true mean in about 95 % of them."""
    bootstrap = Bootstrap(draws=300)
    found = [bootstrap.mean(ar1(seed, 600, memory), 1) for seed in range(200)]
    inside = np.mean([interval.low <= 0.1 <= interval.high for interval in found])
    assert 0.88 < inside <= 0.99


def test_ignoring_the_memory_would_miss_it() -> None:
    """The same with blocks of one day: the test above can fail."""
    bootstrap = Bootstrap(draws=300, block=1)
    found = [bootstrap.mean(ar1(seed, 600, 0.6), 1) for seed in range(200)]
    assert np.mean([interval.low <= 0.1 <= interval.high for interval in found]) < 0.8


@pytest.mark.parametrize("memory", [0.3, 0.6])
def test_block_is_that_of_theory_for_an_autoregression(memory: float) -> None:
    """For AR(1): b = (2 phi / (1 - phi^2))^(2/3) n^(1/3), from G and D of Politis and White in closed form."""
    days = 4000
    theory = (2 * memory / (1 - memory**2)) ** (2 / 3) * days ** (1 / 3)
    found = np.median([optimal_block(ar1(seed, days, memory)) for seed in range(15)])
    assert found == pytest.approx(theory, rel=0.25)


def test_blocks_have_the_asked_mean_length_and_run_on() -> None:
    bootstrap = Bootstrap(draws=200)
    paths = bootstrap.paths(500, 10)
    begins = (paths[:, 1:] != (paths[:, :-1] + 1) % 500).mean()
    assert begins == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(bootstrap.weights(500, 10).sum(axis=1), 500)
    # Every day is as likely as any other, the last ones too: the blocks wrap around.
    assert bootstrap.weights(500, 10).mean(axis=0).std() < 0.25


def test_blocks_are_never_shorter_than_the_horizon() -> None:
    noise = np.random.default_rng(0).standard_normal(300)
    bootstrap = Bootstrap()
    assert bootstrap.block(noise, 1) <= 6
    assert bootstrap.block(noise, 20) >= 20


def test_same_seed_same_interval_whatever_was_asked_before() -> None:
    series = ar1(1, 200, 0.3)
    first, second = Bootstrap(), Bootstrap()
    second.mean(ar1(2, 150, 0.5), 5)
    assert first.mean(series, 5) == second.mean(series, 5)
    assert Bootstrap(seed=1).mean(series, 5) != first.mean(series, 5)


def test_interval_of_the_mean_is_that_of_theory_on_independent_days() -> None:
    series = np.random.default_rng(0).standard_normal(1000)
    interval = Bootstrap(draws=4000, block=1).mean(series, 1)
    half = 1.96 * series.std() / np.sqrt(1000)
    assert interval.low == pytest.approx(series.mean() - half, abs=0.006)
    assert interval.high == pytest.approx(series.mean() + half, abs=0.006)


def test_missing_days_and_short_series() -> None:
    bootstrap = Bootstrap(block=2)
    with_hole = np.array([0.1, np.nan, 0.2, 0.3, 0.1, 0.2])
    interval = bootstrap.mean(with_hole, 1)
    assert 0.1 <= interval.low < np.nanmean(with_hole) < interval.high <= 0.3
    assert np.isnan(bootstrap.mean(np.array([0.1]), 1).low)
    assert np.isnan(bootstrap.information_ratio(np.full(50, 0.1), 1).low)
    ones = np.ones(50)
    assert bootstrap.ratio(2 * ones, ones, 1).low == pytest.approx(2)


def test_drawdown_of_steady_gain_is_zero() -> None:
    interval = Bootstrap().max_drawdown(np.full(50, 0.01), 1)
    assert interval.low == interval.high == 0

import math

import numpy as np
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.stats.overfitting import (
    deflated_sharpe,
    expected_maximum_sharpe,
    overfitting_probability,
    probabilistic_sharpe,
)


def test_numeric_example_of_the_paper() -> None:
    """Bailey and Lopez de Prado (2014), section "A numerical example": 100 trials, variance 1/2 a year, Sharpe 2.5
    over 1,250 days, skewness -3, kurtosis 10: benchmark 0.1132 a day, probability 0.9004; 46 trials: 0.9505."""
    deviation = math.sqrt(0.5 / 250)
    benchmark = expected_maximum_sharpe(deviation, 100)
    assert benchmark == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic_sharpe(2.5 / math.sqrt(250), benchmark, 1250, -3, 10) == pytest.approx(0.9004, abs=5e-5)
    fewer = expected_maximum_sharpe(deviation, 46)
    assert probabilistic_sharpe(2.5 / math.sqrt(250), fewer, 1250, -3, 10) == pytest.approx(0.9505, abs=5e-4)


def test_expected_maximum_is_that_of_simulation() -> None:
    best = np.random.default_rng(0).standard_normal((20_000, 50)).max(axis=1).mean()
    assert expected_maximum_sharpe(1.0, 50) == pytest.approx(best, rel=0.02)
    assert expected_maximum_sharpe(1.0, 1) == 0


def test_more_trials_deflate_more() -> None:
    returns = 0.001 + 0.01 * np.random.default_rng(0).standard_normal(500)
    found = [deflated_sharpe(returns, trials).probability for trials in (1, 10, 1000)]
    assert found[0] > found[1] > found[2]
    assert math.isnan(deflated_sharpe(np.full(50, 0.01), 1).probability)


def test_noise_overfits_half_of_the_time() -> None:
    rng = np.random.default_rng(0)
    found = [overfitting_probability(rng.standard_normal((400, 20)), 8) for _ in range(30)]
    assert np.mean([result.probability for result in found]) == pytest.approx(0.5, abs=0.12)
    assert all(result.se > 0 for result in found)
    assert found[0].combinations == 70


def test_a_dominant_trial_does_not_overfit() -> None:
    trials = np.random.default_rng(0).standard_normal((800, 20))
    trials[:, 3] += 0.5
    result = overfitting_probability(trials)
    assert result.probability < 0.01
    assert result.loss_probability < 0.01
    assert result.combinations == 12870


def test_bad_trials_are_named() -> None:
    with pytest.raises(DataError, match="1 trials"):
        overfitting_probability(np.ones((100, 1)))
    with pytest.raises(DataError, match="not finite"):
        overfitting_probability(np.full((100, 2), np.nan))
    with pytest.raises(DataError, match="groups must be even"):
        overfitting_probability(np.ones((20, 2)), 16)

"""The selection-bias number against values computed by hand."""

import numpy as np
import pytest

from atft_pipeline.tuning.bias import selection_bias


def test_two_opposite_trials_of_two_days_by_hand() -> None:
    """Days (a, b), trials (1, -1) and (-1, 1). Draws aa, ab, ba, bb: best mean 1, 0, 0, 1, so 0.5 on average."""
    daily = np.array([[1.0, -1.0], [-1.0, 1.0]])
    found = selection_bias(daily, 0.9, block=1, draws=20_000, seed=1)
    assert found.expected_best == pytest.approx(0.5, abs=0.02)
    assert found.share_above == pytest.approx(0.5, abs=0.02)
    assert found.upper == 1.0
    assert (found.trials, found.days, found.block) == (2, 2, 1)


def test_one_trial_has_no_selection_bias() -> None:
    """One trial: best mean 1, 0, 0, -1, so 0 on average."""
    found = selection_bias(np.array([[1.0, -1.0]]), 0.9, block=1, draws=20_000, seed=1)
    assert found.expected_best == pytest.approx(0.0, abs=0.02)


def test_skill_of_the_trials_does_not_enter() -> None:
    rng = np.random.default_rng(0)
    daily = rng.standard_normal((5, 60))
    bare = selection_bias(daily, 0.5, block=5, draws=500, seed=1)
    skilled = selection_bias(daily + np.arange(5)[:, None], 0.5, block=5, draws=500, seed=1)
    assert bare.expected_best == pytest.approx(skilled.expected_best)


def test_independent_noise_follows_the_expected_maximum_of_normals() -> None:
    """Ten independent trials: the expected maximum of ten standard normals is 1.539 (Harter, 1961)."""
    days, trials = 400, 10
    daily = np.random.default_rng(2).standard_normal((trials, days))
    found = selection_bias(daily, 1.0, block=1, draws=4000, seed=3)
    assert found.expected_best * np.sqrt(days) == pytest.approx(1.539, rel=0.06)


def test_a_block_as_long_as_the_days_leaves_nothing_to_draw() -> None:
    found = selection_bias(np.random.default_rng(0).standard_normal((3, 10)), 0.1, block=50, draws=100, seed=0)
    assert found.block == 10
    assert found.expected_best == pytest.approx(0.0)

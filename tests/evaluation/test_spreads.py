import numpy as np
import pytest
from benchmarks.spreads import estimates, simulate

from atft_pipeline.evaluation.spreads import ESTIMATES, half_spreads, two_day_spreads


def error(found: np.ndarray, spread: float) -> float:
    return float(np.sqrt(np.mean((found - spread) ** 2)))


def test_two_days_by_hand() -> None:
    """Two days of one range: beta = 2 r^2, gamma = r^2, and the whole range is the spread but for the volatility."""
    high, low, close = (np.full((2, 1), price) for price in (101.0, 100.0, 100.5))
    r = np.log(1.01)
    k = 3 - 2 * np.sqrt(2)
    alpha = (np.sqrt(4 * r**2) - np.sqrt(2 * r**2)) / k - np.sqrt(r**2 / k)
    found = two_day_spreads(high, low, close)
    assert np.isnan(found[0, 0])
    assert found[1, 0] == pytest.approx(2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)))
    assert found[1, 0] == pytest.approx(r, rel=1e-4)


def test_an_overnight_move_is_no_range() -> None:
    """The same two days with the second one far above or below the first close: the gap is taken out."""
    high, low, close = (np.full((2, 1), price) for price in (101.0, 100.0, 101.0))
    jump = np.array([[1.0], [1.2]])
    plain = two_day_spreads(high, low, close)[1, 0]
    # After the gap the low of the second day is the first close, so the range of both days is twice that of one.
    touching = two_day_spreads(high * np.array([[1.0], [1.01]]), low * np.array([[1.0], [1.01]]), close)[1, 0]
    assert two_day_spreads(high * jump, low * jump, close)[1, 0] == pytest.approx(touching)
    assert touching < plain


@pytest.mark.parametrize(
    ("spread", "low", "high"), [(0.001, 0.0005, 0.002), (0.005, 0.0025, 0.005), (0.02, 0.015, 0.02)]
)
def test_known_spreads_are_found_and_nearer_than_by_roll(spread: float, low: float, high: float) -> None:
    """10, 50 and 200 bp under a volatility of 2 %: the mean is of the right size, and Roll's error is a multiple."""
    *bars, _ = simulate(spread, 0.02, sessions=200, listings=20)
    found = estimates(*bars)
    ours = found["Corwin-Schultz, month at least 0"]
    assert low < ours.mean() < high
    assert error(ours, spread) < 0.6 * error(found["Roll"], spread)
    if spread < 0.02:
        assert error(ours, spread) < error(found["Corwin-Schultz, pairs at least 0"], spread)


def test_no_later_day_moves_an_estimate() -> None:
    *bars, _ = simulate(0.01, 0.02, sessions=60, listings=5)
    changed = [values.copy() for values in bars]
    generator = np.random.default_rng(1)
    for values in changed:
        values[40:] *= generator.uniform(0.5, 2, values[40:].shape)
    before, after = half_spreads(*bars), half_spreads(*changed)
    np.testing.assert_array_equal(before[:40], after[:40])
    assert (before[40:] != after[40:]).any()


def test_too_few_pairs_are_unknown_and_absent_days_left_out() -> None:
    *bars, _ = simulate(0.01, 0.02, sessions=40, listings=2)
    found = half_spreads(*bars)
    assert np.isnan(found[:ESTIMATES]).all()
    assert np.isfinite(found[ESTIMATES:]).all()
    assert (found[ESTIMATES:] >= 0).all()
    halted = [values.copy() for values in bars]
    for values in halted:
        values[20, 0] = np.nan
    again = half_spreads(*halted)
    pairs = two_day_spreads(*halted)
    assert np.isnan(pairs[20:22, 0]).all()
    assert again[25, 0] == pytest.approx(max(np.nanmean(pairs[6:26, 0]), 0) / 2)
    np.testing.assert_array_equal(again[:, 1], found[:, 1])
    assert half_spreads(*(values[:1] for values in bars)).shape == (1, 2)

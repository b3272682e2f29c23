import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, rankdata

from atft_pipeline.features.normalise import normalise_day, rank_gauss, robust_z


def day(seed: int, rows: int = 60, missing: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(5, rows)).astype(np.float32)
    values[1] = np.round(values[1])  # ties
    values[2] = 7.0  # constant
    values[3, rng.random(rows) < missing] = np.nan
    values[4] = np.nan
    return values, rng.random(rows) < 0.7


def by_scipy(line: np.ndarray, universe: np.ndarray, clip: float) -> np.ndarray:
    """Reference: average ranks of the universe rows; a row outside is placed among them."""
    out = np.zeros(len(line))
    inside = universe & np.isfinite(line)
    count = int(inside.sum())
    if count:
        out[inside] = norm.ppf((rankdata(line[inside]) - 0.5) / count)
        for row in np.flatnonzero(~universe & np.isfinite(line)):
            share = ((line[inside] < line[row]).sum() + 0.5 * (line[inside] == line[row]).sum()) / count
            out[row] = norm.ppf(np.clip(share, 0.5 / count, 1 - 0.5 / count))
    return np.clip(out, -clip, clip)


@pytest.mark.parametrize("seed", range(5))
def test_rank_gauss_against_scipy(seed: int) -> None:
    values, universe = day(seed)
    found = rank_gauss(values, universe, 2.0)
    wanted = np.stack([by_scipy(line, universe, 2.0) for line in values])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float32, (2, 9), elements=st.sampled_from([-2.0, -0.0, 0.0, 1.0, 1.5, 3e9, np.inf, np.nan])),
    arrays(np.bool_, 9),
)
def test_rank_gauss_on_ties_signs_and_missing_values(values: np.ndarray, universe: np.ndarray) -> None:
    found = rank_gauss(values, universe, 3.0)
    np.testing.assert_allclose(found, np.stack([by_scipy(line, universe, 3.0) for line in values]), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_robust_z_against_numpy(seed: int) -> None:
    values, universe = day(seed)
    found = robust_z(values, universe, 3.0)
    for line, got in zip(values[[0, 3]], found[[0, 3]], strict=True):
        inside = line[universe & np.isfinite(line)].astype(np.float64)
        centre = np.median(inside)
        scale = 1.4826022185056018 * np.median(np.abs(inside - centre))
        wanted = np.nan_to_num(np.clip((line - centre) / scale, -3, 3))
        np.testing.assert_allclose(got, wanted, atol=1e-5)
    assert not found[2].any()
    assert not found[4].any()


def test_robust_z_of_mostly_level_values_uses_the_deviation() -> None:
    values = np.zeros((1, 20), dtype=np.float32)
    values[0, 0] = 1.0
    found = robust_z(values, np.ones(20, dtype=np.bool_), 10.0)
    assert found[0, 0] == pytest.approx(1.0 / np.sqrt(1 / 20))


@pytest.mark.parametrize("method", ["rank_gauss", "robust_z"])
def test_rows_outside_the_universe_change_nothing(method: str) -> None:
    values, universe = day(9)
    other = values.copy()
    other[:, ~universe] = 1e6
    one, two = (normalise_day(x, universe, method, 3.0)[:, universe] for x in (values, other))
    np.testing.assert_array_equal(one, two)


def test_none_keeps_values_and_fills_missing() -> None:
    values, universe = day(2)
    found = normalise_day(values * 50, universe, "none", 1.0)
    np.testing.assert_array_equal(found, np.nan_to_num(values * 50))


def test_empty_universe_gives_zeros() -> None:
    values, universe = day(4)
    for method in ("rank_gauss", "robust_z"):
        assert not normalise_day(values, np.zeros_like(universe), method, 3.0).any()

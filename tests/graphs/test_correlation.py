import numpy as np
import pandas as pd
import pytest
import torch

from atft_pipeline.graphs.build import BLOCK
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.correlation import correlate, prepare, row_ranges, session_weights, taking_part
from tests.graphs.market import Array, make_market, plain_correlations

CPU = torch.device("cpu")


def all_correlations(returns: Array, sector: Array, config: GraphConfig, size: int = 7) -> Array:
    """Correlations [N, N] in the input's order; NaN for what takes no part."""
    active = taking_part(returns, config)
    window = prepare(returns[:, active], sector[active], config, CPU)
    listing = active[window.order]
    result = np.full((len(sector), len(sector)), np.nan)
    for start, stop in row_ranges(window, size):
        result[np.ix_(listing[start:stop], listing)] = correlate(window, start, stop, config).numpy()
    return result


@pytest.mark.parametrize("demean", ["market", "sector", "none"])
@pytest.mark.parametrize("halflife", [None, 15.0])
@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
def test_equals_a_plain_double_loop(demean: str, halflife: float | None, shrinkage: float) -> None:
    returns, _, sector, _ = make_market(days=40, listings=26, gaps=0.15)
    returns[:20, 3] = np.nan  # too short to take part
    returns[5, 4] = 3.0  # clipped
    config = GraphConfig(
        window=40,
        min_observations=25,
        demean=demean,  # type: ignore[arg-type]
        halflife=halflife,
        shrinkage=shrinkage,
    )
    expected = plain_correlations(returns, sector, config)
    found = all_correlations(returns, sector, config)
    assert np.isnan(expected[3]).all()
    assert 0 < np.isfinite(expected).mean() < 1
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_equals_pandas_on_500_listings() -> None:
    returns, _, sector, _ = make_market(days=60, listings=500, gaps=0.3)
    config = GraphConfig(demean="none", clip=None, shrinkage=0.0)
    expected = pd.DataFrame(returns.astype(np.float64)).corr(min_periods=config.min_observations).to_numpy().copy()
    np.fill_diagonal(expected, np.nan)
    # pandas asks the pair alone for enough days; here each listing needs them too, which follows.
    found = all_correlations(returns, sector, config)
    assert np.isnan(expected).sum() > 500
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_weights_and_shrinkage_by_hand() -> None:
    # Weights 1 : 2 : 4. Means 3 and 4/7, covariance -6/7, variances 10/7 and 26/49; effective observations 7/3.
    returns = np.array([[1, 2], [2, 1], [4, 0]], dtype=np.float32)
    expected = (-6 / 7) / np.sqrt(10 / 7 * 26 / 49)
    settings = {"window": 3, "min_observations": 2, "demean": "none", "clip": None, "halflife": 1.0}
    assert session_weights(3, 1.0).sum() == pytest.approx(7 / 3)
    weighted = all_correlations(returns, np.zeros(2, np.int64), GraphConfig(**settings, shrinkage=0.0))  # type: ignore[arg-type]
    assert weighted[0, 1] == pytest.approx(expected, abs=1e-6)
    halved = all_correlations(returns, np.zeros(2, np.int64), GraphConfig(**settings, shrinkage=7 / 3))  # type: ignore[arg-type]
    assert halved[1, 0] == pytest.approx(expected / 2, abs=1e-6)


def test_fewer_common_days_are_shrunk_more() -> None:
    returns, _, sector, _ = make_market(days=60, listings=3, gaps=0.0)
    returns[:, 1] = returns[:, 0]
    returns[:, 2] = returns[:, 0]
    returns[:30, 2] = np.nan
    found = all_correlations(returns, sector, GraphConfig(demean="none", shrinkage=30.0))
    assert found[0, 1] == pytest.approx(60 / 90, abs=1e-5)
    assert found[0, 2] == pytest.approx(30 / 60, abs=1e-5)


def test_prices_that_do_not_move_take_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    returns, _, _, _ = make_market(days=60, listings=4, gaps=0.0)
    returns[:, 1] = 0
    returns[:31, 2] = 0
    returns[:30, 3] = 0
    assert taking_part(returns, GraphConfig()).tolist() == [0, 3]
    monkeypatch.setattr("atft_pipeline.graphs.correlation.MAX_UNCHANGED", 1.0)
    assert taking_part(returns, GraphConfig()).tolist() == [0, 2, 3]


def test_infinite_returns_count_as_missing() -> None:
    returns, _, sector, _ = make_market(days=60, listings=6, gaps=0.0)
    config = GraphConfig()
    missing = returns.copy()
    missing[4, 2] = np.nan
    returns[4, 2] = np.inf
    np.testing.assert_array_equal(all_correlations(returns, sector, config), all_correlations(missing, sector, config))


def test_a_pair_without_variation_in_common_has_no_correlation() -> None:
    returns, _, sector, _ = make_market(days=60, listings=4, gaps=0.0)
    returns[:, 0] = 0.001
    returns[:10, 0] = np.linspace(-0.1, 0.1, 10)
    returns[:10, 1] = np.nan
    found = all_correlations(returns, sector, GraphConfig(demean="none"))
    assert np.isnan(found[0, 1])
    assert np.isnan(found[1, 0])
    assert np.isfinite(found[0, 2])


@pytest.mark.parametrize("gaps", [0.0, 0.2])
def test_the_block_size_does_not_matter(gaps: float) -> None:
    returns, _, sector, _ = make_market(days=60, listings=20, gaps=gaps)
    whole = all_correlations(returns, sector, GraphConfig(), size=1000)
    one = all_correlations(returns, sector, GraphConfig(), size=1)
    np.testing.assert_allclose(one, whole, atol=1e-6)


def test_a_single_listing_has_only_itself() -> None:
    returns, _, sector, _ = make_market(days=60, listings=1, gaps=0.0)
    assert np.isnan(all_correlations(returns, sector, GraphConfig(demean="none"))).all()


@pytest.mark.gpu
def test_cuda_equals_cpu() -> None:
    returns, _, sector, _ = make_market(days=60, listings=300, gaps=0.1)
    config = GraphConfig()
    windows = [prepare(returns, sector, config, torch.device(name)) for name in ("cpu", "cuda")]
    for start, stop in row_ranges(windows[0], BLOCK):
        cpu, cuda = (correlate(window, start, stop, config).cpu() for window in windows)
        torch.testing.assert_close(cpu, cuda, atol=1e-5, rtol=0, equal_nan=True)

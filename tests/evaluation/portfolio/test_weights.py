import numpy as np
import pytest

from atft_pipeline.errors import ConfigError
from atft_pipeline.evaluation.portfolio.config import PortfolioConfig
from atft_pipeline.evaluation.portfolio.weights import KINDS, Kind, portfolio_weights
from atft_pipeline.stats.rank_ic import rank_rows

SECTOR = np.repeat(np.arange(4), 20)
DECILES, TOP_K = 10, 8


def ranks(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((10, 80))
    scores[rng.random(scores.shape) < 0.1] = np.nan
    return rank_rows(scores)


def beta() -> np.ndarray:
    return 1 + 0.5 * np.random.default_rng(1).standard_normal((10, 80))


@pytest.mark.parametrize("kind", KINDS)
def test_sides_add_up(kind: Kind) -> None:
    weights = portfolio_weights(kind, ranks(), 1.0, DECILES, TOP_K, SECTOR, beta())
    long, short = np.maximum(weights, 0).sum(axis=1), -np.minimum(weights, 0).sum(axis=1)
    np.testing.assert_allclose(long, 1.0, rtol=1e-6)
    np.testing.assert_allclose(short, 0.0 if kind == "top_k" else 1.0, rtol=1e-6)


def test_deciles_hold_best_and_worst() -> None:
    found, placed = portfolio_weights("long_short", ranks(), 1.0, DECILES, TOP_K), ranks()
    for day in range(10):
        rest = (found[day] == 0) & np.isfinite(placed[day])
        assert placed[day][found[day] > 0].min() > placed[day][rest].max()
        assert placed[day][found[day] < 0].max() < placed[day][rest].min()
    assert (found[np.isnan(placed)] == 0).all()


def test_sector_neutral_has_no_net_sector() -> None:
    found = portfolio_weights("sector_neutral", ranks(), 1.0, DECILES, TOP_K, SECTOR)
    for sector in range(4):
        np.testing.assert_allclose(found[:, sector == SECTOR].sum(axis=1), 0, atol=1e-12)
    plain = portfolio_weights("long_short", ranks(), 1.0, DECILES, TOP_K)
    assert max(abs(plain[:, sector == SECTOR].sum(axis=1)).max() for sector in range(4)) > 0.1


def test_beta_neutral_has_neither_beta_nor_net() -> None:
    found, slope = portfolio_weights("beta_neutral", ranks(), 1.0, DECILES, TOP_K, beta=beta()), beta()
    np.testing.assert_allclose((found * slope).sum(axis=1), 0, atol=1e-10)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-10)
    plain = portfolio_weights("long_short", ranks(), 1.0, DECILES, TOP_K)
    assert abs((plain * slope).sum(axis=1)).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_limit_holds(kind: Kind) -> None:
    assert abs(portfolio_weights(kind, ranks(), 0.05, DECILES, TOP_K, SECTOR, beta())).max() <= 0.05


def test_equal_scores_hold_nothing() -> None:
    constant = rank_rows(np.ones((2, 80)))
    for kind in ("long_short", "top_k", "beta_neutral"):
        assert (portfolio_weights(kind, constant, 1.0, DECILES, TOP_K, SECTOR, np.ones((2, 80))) == 0).all()


def test_bad_settings_are_named() -> None:
    with pytest.raises(ConfigError, match="cost_bp: must be from 0"):
        PortfolioConfig(cost_bp=-1)
    with pytest.raises(ConfigError, match="max_weight: must be from"):
        PortfolioConfig(max_weight=5)

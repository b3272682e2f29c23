"""Targets without what exposures explain."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression

from atft_pipeline.config import from_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.features.labels import group_means
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.training.config import TargetsConfig
from atft_pipeline.training.targets import check_targets, less_sector_means, neutral_targets, neutralise


def test_residuals_equal_those_of_a_regression_by_day_and_horizon() -> None:
    """The other library fits each day and horizon on the rows that count, with an intercept that is put back."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 40, 2)).astype(np.float32)
    y = (x @ rng.standard_normal((2, 4)) + rng.standard_normal((3, 40, 4)) + 0.3).astype(np.float32)
    mask = rng.random((3, 40, 4)) < 0.8
    found = neutralise(torch.from_numpy(y), torch.from_numpy(x), torch.from_numpy(mask)).numpy()
    for day in range(3):
        for horizon in range(4):
            rows = mask[day, :, horizon]
            fit = LinearRegression().fit(x[day, rows], y[day, rows, horizon])
            slope = (x[day, rows] - x[day, rows].mean(axis=0)) @ fit.coef_
            np.testing.assert_allclose(found[day, rows, horizon], y[day, rows, horizon] - slope, atol=1e-4)
    np.testing.assert_array_equal(found[~mask], y[~mask])


def test_a_constant_exposure_and_days_without_labels_change_nothing() -> None:
    y = torch.randn(2, 10, 3)
    mask = torch.ones(2, 10, 3, dtype=torch.bool)
    mask[1] = False
    torch.testing.assert_close(neutralise(y, torch.ones(2, 10, 1), mask), y)
    alone = neutralise(y, torch.randn(2, 10, 1), mask)
    torch.testing.assert_close(alone[1], y[1])
    assert not torch.equal(alone[0], y[0])
    torch.testing.assert_close(alone[0].mean(dim=0), y[0].mean(dim=0))


def test_sector_means_are_those_of_the_features() -> None:
    """Against the means that sector-relative features take: unknown and lone sectors are compared with all listings."""
    rng = np.random.default_rng(1)
    y = rng.standard_normal((2, 30, 3)).astype(np.float32)
    sector = rng.integers(0, 4, (2, 30))
    sector[:, 0] = 4  # alone in its sector
    mask = np.repeat(rng.random((2, 30, 1)) < 0.8, 3, axis=2)
    mask[:, 0] = True
    given = (torch.from_numpy(part) for part in (y, sector, mask))
    found = less_sector_means(*given, sectors=5).numpy()
    for day in range(2):
        means = group_means(y[day].T, mask[day, :, 0], sector[day]).T
        wanted = np.where(mask[day], y[day] - means, y[day])
        np.testing.assert_allclose(found[day], wanted, atol=1e-5)


def test_names_are_looked_up_and_the_sector_goes_first() -> None:
    torch.manual_seed(0)
    y, features = torch.randn(1, 20, 2), torch.randn(1, 20, 3)
    sector, mask = torch.randint(0, 3, (1, 20)), torch.ones(1, 20, 2, dtype=torch.bool)
    meta = SimpleNamespace(feature_names=("a", "b", "c"), sectors=("unknown", "one", "two"))

    def neutral(*names: str) -> torch.Tensor:
        return neutral_targets(TargetsConfig(neutral_to=names), meta, y, features, sector, mask)  # type: ignore[arg-type]

    assert torch.equal(neutral(), y)
    assert torch.equal(neutral("c", "a"), neutralise(y, features[..., [2, 0]], mask))
    apart = less_sector_means(y, sector, mask, 3)
    assert torch.equal(neutral("b", "sector"), neutralise(apart, features[..., [1]], mask))
    with pytest.raises(ConfigError, match=r"targets\.neutral_to: d is not among the features"):
        check_targets(TargetsConfig(neutral_to=("a", "d", "sector")), meta)  # type: ignore[arg-type]


def test_earlier_names_say_what_replaces_them() -> None:
    with pytest.raises(ConfigError, match=r"^neutral_to: is no longer a parameter; use targets\.neutral_to"):
        from_mapping(LossConfig, {"neutral_to": ["BETAMKT60"]})
    with pytest.raises(ConfigError, match=r"^target: is no longer a parameter; use targets\.neutral_to"):
        from_mapping(FeaturesConfig, {"target": "beta_residual"})

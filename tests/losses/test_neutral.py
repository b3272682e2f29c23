"""Targets without what exposures explain."""

import numpy as np
import torch
from sklearn.linear_model import LinearRegression

from atft_pipeline.losses.neutral import neutralise


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

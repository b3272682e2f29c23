import datetime as dt

import numpy as np
import polars as pl
import pytest

from atft_pipeline.evaluation.drift import score_drift, stability_index


def test_index_by_hand() -> None:
    """Half of the reference on each side of the edge, a quarter and three quarters of the values."""
    reference, values = np.arange(100.0), np.concatenate([np.zeros(25), np.full(75, 99.0)])
    expected = (0.25 - 0.5) * np.log(0.25 / 0.5) + (0.75 - 0.5) * np.log(0.75 / 0.5)
    assert stability_index(reference, values, bins=2) == pytest.approx(expected)


def test_same_population_is_stable_and_another_is_not() -> None:
    rng = np.random.default_rng(0)
    reference, values = rng.standard_normal((2, 5000))
    chance = 9 * 2 / 5000
    assert 0 < stability_index(reference, values) < 3 * chance
    assert stability_index(reference, 1 + values) > 0.25
    assert stability_index(reference, 3 * values) > 0.25
    assert np.isnan(stability_index(np.ones(10), values))
    assert np.isnan(stability_index(reference, np.array([])))


def test_months_against_training_days_or_the_first_months() -> None:
    rng = np.random.default_rng(0)
    days = [dt.date(2020, month, 5) for month in range(1, 7) for _ in range(500)]
    scores = rng.standard_normal(len(days)) + np.where(np.array([day.month for day in days]) == 6, 2.0, 0.0)
    table = pl.DataFrame({"Date": days, "score_5": scores})
    found = score_drift(table, 5, None)
    assert found["reference"] == "the first 3 months"
    assert [row["month"] for row in found["months"]] == [f"2020-0{month}" for month in range(1, 7)]
    assert max(row["psi"] for row in found["months"][:5]) < 0.1 < found["months"][5]["psi"]
    training = pl.DataFrame({"score_5": 2 + rng.standard_normal(2000)})
    against = score_drift(table, 5, training)
    assert against["reference"] == "training days"
    assert against["months"][5]["psi"] < 0.1 < against["months"][0]["psi"]

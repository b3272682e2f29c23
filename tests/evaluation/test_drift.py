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
    training = pl.DataFrame({"Date": days[:2000], "score_5": 2 + rng.standard_normal(2000)})
    against = score_drift(table, 5, training)
    assert against["reference"] == "training days"
    assert against["months"][5]["psi"] < 0.1 < against["months"][0]["psi"]


def test_a_days_level_and_spread_are_no_drift_of_the_shape() -> None:
    """Days with another mean and another spread: the same normal shape. Then a month of two-humped days."""
    rng = np.random.default_rng(0)
    days = [dt.date(2020, month, day) for month in range(1, 7) for day in range(1, 9) for _ in range(300)]
    month = np.array([day.month for day in days])
    normal = rng.standard_normal(len(days))
    scores = np.select([month == 4, month == 5, month == 6], [2 + normal, 4 * normal, np.sign(normal)], normal)
    found = score_drift(pl.DataFrame({"Date": days, "score_5": scores}), 5, None)
    moved, wide, humped = found["months"][3:]
    assert min(moved["psi"], wide["psi"]) > 0.25
    assert max(moved["shape_psi"], wide["shape_psi"]) < 0.05
    assert humped["shape_psi"] > 0.25
    assert 0 < found["shape_chance"] < 0.05


def test_chance_knows_that_rows_of_a_day_move_together() -> None:
    """With a mean of its own for each day, halves of the reference differ; independent rows would promise 0.01."""
    rng = np.random.default_rng(0)
    days = [dt.date(2020, 1, day) for day in range(1, 13) for _ in range(300)]
    common = np.repeat(rng.standard_normal(12), 300)
    table = pl.DataFrame({"Date": days, "score_5": common + rng.standard_normal(len(days))})
    found = score_drift(table, 5, table)
    assert found["chance"] > 0.1
    assert found["shape_chance"] < 0.02
    assert score_drift(table.head(600), 5, None)["chance"] is None

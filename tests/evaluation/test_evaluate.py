import json

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.evaluate import EvaluationConfig, evaluate
from atft_pipeline.evaluation.table import results_table
from tests.panel.market import business_days


def predictions(days: int = 120, listings: int = 60, seed: int = 0, skill: float = 0.2) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal((days, listings))
    returns = 0.01 * (0.3 * truth + rng.standard_normal((days, listings)))
    scores = skill * truth + (1 - skill) * rng.standard_normal((days, listings))
    columns = {
        "Date": np.repeat(business_days(days), listings),
        "Listing": [f"L{n:02d}" for n in range(listings)] * days,
        "sector": ["energy"] * (days * listings),
        "score_1": scores.ravel(),
        "return_1": returns.ravel(),
        "ridge_1": (0.1 * truth + rng.standard_normal((days, listings))).ravel(),
        "oracle_1": truth.ravel(),
    }
    return pl.DataFrame(columns)


def test_report_holds_every_score_with_its_error() -> None:
    result = evaluate(predictions(), EvaluationConfig())
    json.dumps(result.metrics, allow_nan=False)
    horizon = result.metrics["horizons"]["1"]
    assert list(horizon["scores"]) == ["model", "ridge", "oracle"]
    model, ridge, oracle = (horizon["scores"][name] for name in ("model", "ridge", "oracle"))
    assert oracle["rank_ic"]["mean"] > model["rank_ic"]["mean"] > ridge["rank_ic"]["mean"]
    for name in ("rank_ic", "ic", "hit_rate", "decile_spread", "positive_days"):
        assert model[name]["se"] > 0
        assert model[name]["n_days"] == 120
    assert len(model["decile_returns"]) == 10
    assert horizon["share_of_oracle"]["value"] == pytest.approx(model["rank_ic"]["mean"] / oracle["rank_ic"]["mean"])
    paired = horizon["paired"]["ridge"]
    expected = model["rank_ic"]["mean"] - ridge["rank_ic"]["mean"]
    assert paired["rank_ic_difference"] == pytest.approx(expected)


def test_perfect_foresight_and_noise() -> None:
    table = predictions()
    perfect = evaluate(table.with_columns(score_1=pl.col("return_1")), EvaluationConfig()).metrics
    assert perfect["horizons"]["1"]["scores"]["model"]["rank_ic"]["mean"] == pytest.approx(1.0)
    noise = evaluate(predictions(skill=0.0, seed=5), EvaluationConfig()).metrics["horizons"]["1"]["scores"]["model"]
    assert abs(noise["rank_ic"]["mean"]) < 3 * noise["rank_ic"]["se"]


def test_undefined_days_are_none_and_do_not_count() -> None:
    table = predictions()
    first = table["Date"].min()
    constant = table.with_columns(score_1=pl.when(pl.col("Date") == first).then(0.5).otherwise("score_1"))
    model = evaluate(constant, EvaluationConfig()).metrics["horizons"]["1"]["scores"]["model"]
    assert model["rank_ic"]["n_days"] == 119


def test_labels_that_are_not_known_yet_are_left_out() -> None:
    table = predictions()
    last = table["Date"].max()
    cut = table.with_columns(return_1=pl.when(pl.col("Date") == last).then(None).otherwise("return_1"))
    model = evaluate(cut, EvaluationConfig()).metrics["horizons"]["1"]["scores"]["model"]
    assert model["rank_ic"]["n_days"] == 119


def test_table_is_narrow_and_figures_draw_every_score() -> None:
    result = evaluate(predictions(), EvaluationConfig())
    text = results_table(result.metrics)
    assert max(len(line) for line in text.splitlines()) <= 120
    assert "…" not in text
    names = {trace.name for trace in result.figures["cumulative_rank_ic"].data}
    assert {"model", "ridge", "oracle"} <= names
    assert len(result.figures["decile_returns"].data) == 2
    assert set(result.daily.columns) >= {"Date", "horizon", "score", "rank_ic", "ic"}


def test_bad_tables_are_named() -> None:
    table = predictions(days=3)
    with pytest.raises(DataError, match="column Listing is missing"):
        evaluate(table.drop("Listing"), EvaluationConfig())
    with pytest.raises(DataError, match="appears 2 times"):
        evaluate(pl.concat([table, table.head(1)]), EvaluationConfig())
    with pytest.raises(DataError, match="no horizon"):
        evaluate(table.drop("return_1"), EvaluationConfig())
    with pytest.raises(DataError, match="no rows"):
        evaluate(table.clear(), EvaluationConfig())

import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.characteristics import Characteristics
from atft_pipeline.evaluation.evaluate import EvaluationConfig, Extras, evaluate
from atft_pipeline.evaluation.grid import fingerprint
from atft_pipeline.reporting.conclusions import Conclusion, conclusions
from atft_pipeline.reporting.evaluation_figures import all_figures
from atft_pipeline.reporting.evaluation_table import results_table
from atft_pipeline.stats.overfitting import overfitting_probability
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


def every_estimate_has_an_error(node: object) -> bool:
    """A dictionary that gives a mean or a value also gives an error or an interval, all the way down."""
    if isinstance(node, dict):
        if "mean" in node or "value" in node or "rank_ic_difference" in node:
            assert {"se", "low"} & set(node), node
        return all(every_estimate_has_an_error(item) for item in node.values())
    return all(map(every_estimate_has_an_error, node)) if isinstance(node, list) else True


def test_report_holds_every_score_with_its_error() -> None:
    result = evaluate(predictions(), EvaluationConfig())
    json.dumps(result.metrics, allow_nan=False)
    assert every_estimate_has_an_error(result.metrics["horizons"])
    horizon = result.metrics["horizons"]["1"]
    assert list(horizon["scores"]) == ["model", "ridge", "model+ridge", "random", "oracle"]
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
    perfect = evaluate(table.with_columns(score_1=pl.col("return_1")), EvaluationConfig(top_k=20)).metrics
    model = perfect["horizons"]["1"]["scores"]["model"]
    for name in ("rank_ic", "ic", "hit_rate", "top_precision", "top_k_precision", "monotonicity"):
        assert model[name]["mean"] == pytest.approx(1.0, abs=0.05), name
    opposite = evaluate(table.with_columns(score_1=-pl.col("return_1")), EvaluationConfig(top_k=20)).metrics
    model = opposite["horizons"]["1"]["scores"]["model"]
    for name in ("rank_ic", "ic", "monotonicity"):
        assert model[name]["mean"] == pytest.approx(-1.0, abs=0.05), name
    for name in ("hit_rate", "top_precision", "top_k_precision"):
        assert model[name]["mean"] == pytest.approx(0.0, abs=0.05), name
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
    assert "oracle %" in text
    real = results_table(evaluate(predictions().drop("oracle_1"), EvaluationConfig()).metrics)
    assert "oracle" not in real
    assert "paired (t)" in real
    figures = all_figures(result)
    names = {trace.name for trace in figures["cumulative_rank_ic"].data}
    assert {"model", "ridge", "oracle"} <= names
    assert len(figures["decile_returns"].data) == 2
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


def test_constant_scores_are_undefined_not_zero() -> None:
    metrics = evaluate(predictions().with_columns(score_1=pl.lit(0.1)), EvaluationConfig()).metrics
    model = metrics["horizons"]["1"]["scores"]["model"]
    for name in ("rank_ic", "ic", "hit_rate", "decile_spread", "top_precision", "top_k_precision", "icir"):
        assert model[name].get("mean", model[name].get("value")) is None, name
    assert "RankIC is undefined" in results_table(metrics)


def test_ic_and_quantile_returns_are_those_of_alphalens() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from alphalens.performance import factor_information_coefficient, mean_return_by_quantile
    table = predictions(days=40)
    settings = EvaluationConfig(deciles=5, min_listings=20)
    result = evaluate(table, settings)
    pandas = table.select("Date", "Listing", "score_1", "return_1").to_pandas()
    pandas["Date"] = pd.to_datetime(pandas["Date"])
    data = pandas.set_index(["Date", "Listing"]).rename_axis(["date", "asset"])
    data.columns = pd.Index(["factor", "1D"])
    data["factor_quantile"] = data.groupby("date")["factor"].transform(lambda day: pd.qcut(day, 5, labels=False) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = factor_information_coefficient(data)["1D"].to_numpy()
        by_day, _ = mean_return_by_quantile(data, by_date=True, demeaned=False)
    daily = result.daily.filter(pl.col("score") == "model")
    np.testing.assert_allclose(daily["rank_ic"].to_numpy(), reference, rtol=1e-9)
    for quantile in range(1, 6):
        expected = by_day.loc[quantile, "1D"].to_numpy()
        np.testing.assert_allclose(daily[f"decile_{quantile}"].to_numpy(), expected, rtol=1e-9)


def test_a_blend_is_the_mean_of_ranks() -> None:
    table = predictions(days=30)
    metrics = evaluate(table, EvaluationConfig()).metrics["horizons"]["1"]
    ranks = (pl.col("score_1").rank().over("Date") + pl.col("ridge_1").rank().over("Date")) / 2
    by_hand = evaluate(table.with_columns(mixed_1=ranks), EvaluationConfig()).metrics["horizons"]["1"]
    assert metrics["scores"]["model+ridge"]["rank_ic"] == by_hand["scores"]["mixed"]["rank_ic"]


def test_what_the_model_adds_to_a_benchmark() -> None:
    """The daily RankIC of the mean of both rankings less the benchmark's own; a copy of the benchmark adds nothing."""
    table = predictions(days=30)
    result = evaluate(table, EvaluationConfig())
    daily = {
        name: result.daily.filter(pl.col("score") == name)["rank_ic"].to_numpy() for name in ("model+ridge", "ridge")
    }
    found = result.metrics["horizons"]["1"]["incremental_ic"]
    assert list(found) == ["ridge"]
    assert found["ridge"]["rank_ic_difference"] == pytest.approx((daily["model+ridge"] - daily["ridge"]).mean())
    assert found["ridge"]["se"] > 0
    copy = evaluate(table.with_columns(score_1=pl.col("ridge_1")), EvaluationConfig())
    assert copy.metrics["horizons"]["1"]["incremental_ic"]["ridge"]["rank_ic_difference"] == 0


def test_paired_difference_is_on_the_rows_of_both() -> None:
    """The benchmark lacks half of the listings: the difference is that of both scores on the other half."""
    table = predictions()
    kept = pl.col("Listing") < "L30"
    half = table.with_columns(ridge_1=pl.when(kept).then("ridge_1"))
    found = evaluate(half, EvaluationConfig()).metrics["horizons"]["1"]["paired"]["ridge"]
    alone = evaluate(table.filter(kept), EvaluationConfig()).metrics["horizons"]["1"]["paired"]["ridge"]
    assert found["rank_ic_difference"] == pytest.approx(alone["rank_ic_difference"])
    assert found["se"] == pytest.approx(alone["se"])


def test_metrics_belong_to_their_predictions() -> None:
    """The same table has the same fingerprint in any process; one changed score has another."""
    table = predictions(days=30)
    first = evaluate(table, EvaluationConfig()).metrics
    assert first == evaluate(table.clone(), EvaluationConfig()).metrics
    other = table.with_columns(score_1=pl.when(pl.int_range(pl.len()) == 0).then(9.0).otherwise("score_1"))
    assert evaluate(other, EvaluationConfig()).metrics["predictions"] != first["predictions"]
    assert fingerprint(table) == first["predictions"]


def test_trials_deflate_and_their_table_gives_the_probability_of_overfitting() -> None:
    table = predictions(skill=0.03)
    rng = np.random.default_rng(0)
    trials = pl.DataFrame({"Date": business_days(200)} | {f"t{n}": rng.standard_normal(200) for n in range(10)})
    plain = evaluate(table, EvaluationConfig()).metrics
    many = evaluate(table, EvaluationConfig(trials=1000)).metrics
    study = evaluate(table, EvaluationConfig(), Extras(trials=trials)).metrics
    portfolios = [
        m["horizons"]["1"]["portfolios"]["long_short"]["model"]["deflated_sharpe"] for m in (plain, many, study)
    ]
    assert portfolios[0]["probability"] > portfolios[1]["probability"]
    assert [portfolio["trials"] for portfolio in portfolios] == [1, 1000, 10]
    assert plain["trials"]["probability_of_overfitting"] is None
    expected = overfitting_probability(trials.drop("Date").to_numpy())
    assert study["trials"]["probability_of_overfitting"] == {"value": expected.probability, "se": expected.se}
    # One trial that is better throughout: choosing it is no overfitting, choosing among noise often is.
    dominant = trials.with_columns(pl.col("t3") + 0.5)
    better = evaluate(table, EvaluationConfig(), Extras(trials=dominant)).metrics["trials"]
    assert better["probability_of_overfitting"]["value"] < 0.02 < expected.probability
    # One trial, or fewer sessions than the groups need: the number of trials is known, the probability is not.
    for short in (trials.select("Date", "t0"), trials.head(15)):
        few = evaluate(table, EvaluationConfig(), Extras(trials=short)).metrics["trials"]
        assert few == {"count": short.width - 1, "probability_of_overfitting": None}


def test_the_first_conclusion_names_the_side_and_the_errors() -> None:
    good = evaluate(predictions(skill=0.3), EvaluationConfig()).metrics
    assert conclusions(good)[0].level == "good"
    assert "beats ridge by" in conclusions(good)[0].text
    said = [[told.text for told in conclusions(good | {"total_returns": known})] for known in (True, False, None)]
    assert ["Returns are without dividends" in " ".join(texts) for texts in said] == [False, True, False]
    swapped = predictions(skill=0.3).rename({"score_1": "ridge_1", "ridge_1": "score_1"})
    bad = evaluate(swapped, EvaluationConfig()).metrics
    assert conclusions(bad)[0].level == "bad"
    same = evaluate(predictions(skill=0.1), EvaluationConfig()).metrics
    assert conclusions(same)[0].level == "open"


def test_what_is_clearly_below_zero_is_bad() -> None:
    """Each conclusion that may be good may also be bad: what is left of the styles and the chance of a Sharpe ratio."""
    metrics = evaluate(predictions(skill=0.3), EvaluationConfig()).metrics
    part = metrics["horizons"]["1"]

    def levels(t: float, probability: float) -> list[str]:
        part["slices"]["style_neutral"] = {"styles": ["size"], "model": {"mean": 0.01 * t, "se": 0.01, "t": t}}
        part["portfolios"]["long_short"]["model"]["deflated_sharpe"] |= {"probability": probability}
        part["portfolios"]["long_short"]["model"]["net"]["sharpe"] |= {"value": t / 2}
        metrics["trading"]["execution"] = "open_to_open"
        starts = ("Neutral to the styles size", "The probability that its true Sharpe ratio")
        return [next(c.level for c in conclusions(metrics) if c.text.startswith(start)) for start in starts]

    assert levels(-7.3, 0.0) == ["bad", "bad"]
    assert levels(-1.0, 0.5) == ["open", "open"]
    assert levels(7.3, 1.0) == ["good", "good"]


def against(benchmark: str, table: pl.DataFrame, weak: str | None = None) -> list[Conclusion]:
    """Conclusions where this baseline was the best of the validation days."""
    card = {
        "validation_days": 60,
        "validation_rank_ic": {"1": {"ridge": {"mean": 0.02}, "lightgbm": {"mean": 0.03}}},
        "benchmark": {"1": benchmark},
        "lightgbm": {"horizons": {"1": {"weak": weak}}},
    }
    return conclusions(evaluate(table, EvaluationConfig(), Extras(baselines=card)).metrics)


def test_being_ahead_of_a_weaker_baseline_is_not_said() -> None:
    """Ridge knows more than the model, which is far ahead of LightGBM, which is noise."""
    one, two = (pl.Series(np.random.default_rng(seed).standard_normal(120 * 60)) for seed in (1, 2))
    table = predictions(skill=0.3).with_columns(lightgbm_1=one, ridge_1=pl.col("oracle_1") + two)
    found = against("ridge", table)
    assert found[0].level == "bad"
    assert "worse than ridge, the best baseline of the validation days, by" in found[0].text
    assert not any("LightGBM" in conclusion.text for conclusion in found)
    # The choice passed over the one that is ahead of the model: that is said beside the benchmark.
    found = against("lightgbm", table)
    assert found[0].level == "good"
    assert "beats LightGBM, the best baseline of the validation days, by" in found[0].text
    assert found[1].level == "bad"
    assert "worse than ridge by" in found[1].text


def test_being_ahead_of_a_weak_baseline_is_no_finding() -> None:
    table = predictions(skill=0.3).rename({"ridge_1": "lightgbm_1"})
    assert against("lightgbm", table)[0].level == "good"
    found = against("lightgbm", table, weak="it keeps 5 trees")
    assert found[0].level == "open"
    assert found[0].text.endswith("It is a weak baseline: this is no finding.")
    assert found[1].text.startswith("At 1 session LightGBM is a weak baseline: it keeps 5 trees;")
    assert not any(c.level == "good" and "LightGBM" in c.text for c in found)


def test_folds_with_a_weak_benchmark_are_no_finding() -> None:
    """Each fold has its own benchmark; one weak of three is told, two of three decide nothing."""
    table = predictions(skill=0.3).with_columns(benchmark_1=pl.col("ridge_1"), lightgbm_1=pl.col("ridge_1"))
    metrics = evaluate(table, EvaluationConfig()).metrics
    strong = {"benchmark": {"1": "lightgbm"}, "weak": {}}
    weak = strong | {"weak": {"1": "it keeps 5 trees"}}
    few, most = (conclusions(metrics | {"folds": folds}) for folds in ([weak, strong, strong], [weak, weak, strong]))
    assert few[0].level == "good"
    assert "beats each fold's best baseline by" in few[0].text
    assert "LightGBM is a weak baseline: it is one in 1 of 3 folds;" in few[1].text
    assert most[0].level == "open"
    assert most[0].text.endswith("this is no finding.")


def test_a_factor_may_be_the_benchmark() -> None:
    """Its blend with the model, its portfolios and the slices are those of any other benchmark."""
    table = predictions(skill=0.3)
    ranks = pl.Series(np.random.default_rng(1).standard_normal(120 * 60))
    card = {"benchmark": {"1": "momentum"}, "lightgbm": None}
    momentum = Characteristics({"MOM252": ranks.to_numpy().reshape(120, 60)})
    extras = Extras(baselines=card, characteristics=momentum)
    metrics = evaluate(table, EvaluationConfig(), extras).metrics
    part = metrics["horizons"]["1"]
    assert part["benchmark"] == "momentum"
    assert set(part["incremental_ic"]) == {"ridge", "momentum"}
    assert set(part["portfolios"]["long_short"]) == {"model", "ridge", "momentum"}
    assert "beats momentum" in conclusions(metrics)[0].text


def test_scores_that_know_the_returns_are_an_alarm() -> None:
    known = predictions(skill=0.1).with_columns(score_1=pl.col("return_1"))
    first = conclusions(evaluate(known, EvaluationConfig()).metrics)[0]
    assert first.level == "bad"
    assert "is implausible" in first.text
    assert "kedro run --pipeline=audit" in first.text


def test_an_absent_headline_is_named() -> None:
    with pytest.raises(DataError, match="headline 7: the predictions have the horizons 1"):
        evaluate(predictions(days=30), EvaluationConfig(headline=7))


def test_days_that_all_have_too_few_listings_are_one_line() -> None:
    few = predictions(days=30, listings=12)
    with pytest.raises(
        DataError, match=r"no test day has evaluation.min_listings \(20\) scored listings, the fullest has 12"
    ):
        evaluate(few, EvaluationConfig())
    # What the line advises works.
    result = evaluate(few, EvaluationConfig(min_listings=10))
    assert result.metrics["horizons"]["1"]["scores"]["model"]["rank_ic"]["n_days"] == 30

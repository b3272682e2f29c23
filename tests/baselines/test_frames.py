"""Baselines on hand-made markets: which of them is the benchmark, and what follows from it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.baselines import frames
from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.baselines.frames import Rows, best_of, fit_baselines, weak_fits
from atft_pipeline.evaluation.evaluate import EvaluationConfig, Extras, evaluate
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.reporting.conclusions import conclusions
from atft_pipeline.splits.split import SplitConfig, single_split
from atft_pipeline.training.config import TargetsConfig
from tests.panel import market
from tests.training.runs import BATCHES

SETTINGS = LightGBMConfig(leaves=(4, 8), learning_rates=(0.1,), rounds=60)
SPLIT = SplitConfig(validation_share=0.2, test_share=0.2, embargo=2)
Label = Callable[[np.ndarray, np.ndarray], np.ndarray]


def write(folder: Path, label: Label, *, days: int = 140, until: int | None = None) -> Rows:
    """A market of 40 listings whose targets are a function of RET1 and SHAPE plus noise.

    Args:
        folder: of the panel.
        label: what is planted.
        days: of the market.
        until: first day from which the targets are turned round.
    """
    market.write_features(folder / "features", days=days, listings=40)
    dates = market.business_days(days)
    for path in (folder / "features").glob("*.parquet"):
        frame = pl.read_parquet(path)
        known = label(frame["RET1"].to_numpy(), frame["SHAPE"].to_numpy())
        later = np.searchsorted(dates, frame["Date"].to_numpy()) >= (days if until is None else until)
        sign = np.where(later, -1.0, 1.0)
        columns = [
            (sign * (frame[name].to_numpy() + scale * known)).astype(np.float32)
            for name, scale in (("target_1", 1), ("target_5", 1), ("return_1", 0.02), ("return_5", 0.02))
        ]
        names = ("target_1", "target_5", "return_1", "return_5")
        frame.with_columns(
            pl.Series(name, values).fill_nan(None) for name, values in zip(names, columns, strict=True)
        ).write_parquet(path)
    build_panel(folder / "features", market.listings_table(40), folder / "panel.arrow", PanelConfig(dtype="float32"))
    panel = Panel.open(folder / "panel.arrow")
    split = single_split(panel.dates, SPLIT, panel.meta.label_span)
    return Rows(ResidentPanel.load(panel, ResidencyConfig()), split, BATCHES, TargetsConfig())


@pytest.fixture(autouse=True)
def features(monkeypatch: pytest.MonkeyPatch) -> None:
    """The market's features are one of the simple factors, one that is none, noise, and one of the day."""
    monkeypatch.setattr(market, "FEATURES", ("RET1", "SHAPE", "noise", "regime"))


def product(ret: np.ndarray, shape: np.ndarray) -> np.ndarray:
    return 1.5 * ret * shape


def test_what_only_trees_find_makes_lightgbm_the_benchmark(tmp_path: Path) -> None:
    rows = write(tmp_path, product)
    fitted = fit_baselines(rows, SETTINGS)
    assert fitted.card["benchmark"] == {"1": "lightgbm", "5": "lightgbm"}
    assert weak_fits(fitted.card) == {}
    found = {name: report["mean"] for name, report in fitted.card["validation_rank_ic"]["1"].items()}
    assert set(found) == {"ridge", "lightgbm", "ridge+lightgbm", "reversal_1d"}
    assert found["lightgbm"] > 0.3
    assert abs(found["ridge"]) < 0.1
    frame = fitted.frame(rows.parts[2], benchmark=True)
    assert frame["benchmark_1"].to_list() == frame["lightgbm_1"].to_list()
    # Every validation day counts.
    assert fitted.card["validation_days"] == len(rows.split.validation)


def test_the_best_baseline_may_be_a_simple_factor(tmp_path: Path) -> None:
    """RET1 turned round is all that is known; who has to learn that from few noisy days stays behind."""
    rows = write(tmp_path, lambda ret, _: -0.1 * ret, days=80)
    fitted = fit_baselines(rows, SETTINGS)
    assert fitted.card["benchmark"]["1"] == "reversal_1d"
    test = rows.parts[2]
    frame = fitted.frame(test, benchmark=True)
    panel = rows.resident.panel
    day = test.days[0]
    view = panel.day(day)
    place = np.searchsorted(view.listing, test.samples_of(day))
    mine = frame.filter(pl.col("Date") == panel.dates[day].astype(object))
    np.testing.assert_allclose(mine["benchmark_1"], -view.features[place, 0], rtol=1e-6)
    assert "reversal_1d_1" not in frame.columns  # the evaluation reads factors from the panel


def test_the_mean_of_ridge_and_lightgbm_is_that_of_their_ranks(tmp_path: Path) -> None:
    rows = write(tmp_path, product, days=90)
    frame = fit_baselines(rows, SETTINGS).frame(rows.parts[2])
    rank = (pl.col("ridge_5").rank().over("Date") + pl.col("lightgbm_5").rank().over("Date")) / 2
    expected = frame.select(rank / pl.len().over("Date")).to_series()
    np.testing.assert_allclose(frame["ridge+lightgbm_5"], expected, rtol=1e-6)


def test_the_benchmark_does_not_know_the_test_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets and returns of all test days turned round: the same fits, the same benchmark."""
    # The card tells the limit of rows, and the machine's memory changes from one moment to the next.
    monkeypatch.setattr(frames, "available_memory", lambda: 2**30)
    rows = write(tmp_path / "one", product)
    other = write(tmp_path / "two", product, until=rows.split.test[0])
    one, two = (fit_baselines(of, SETTINGS) for of in (rows, other))
    assert one.card == two.card
    assert one.frame(rows.parts[2]).equals(two.frame(other.parts[2]))
    panels = [of.resident.panel.day(of.split.test[0]).targets for of in (rows, other)]
    np.testing.assert_allclose(panels[0], -panels[1])


def test_rows_follow_the_memory_that_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = write(tmp_path, product, days=90)
    whole = fit_baselines(rows, SETTINGS).card["lightgbm"]
    assert whole["training_rows"] == whole["available_rows"] < whole["row_limit"]
    monkeypatch.setattr(frames, "available_memory", lambda: 200_000)
    little = fit_baselines(rows, SETTINGS).card
    trees = little["lightgbm"]
    assert 0.8 * trees["row_limit"] < trees["training_rows"] <= trees["row_limit"] < whole["training_rows"]
    assert trees["training_days"] < whole["training_days"]
    assert little["validation_days"] == len(rows.split.validation)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_good_in_pure_noise(tmp_path: Path, seed: int) -> None:
    rows = write(tmp_path, lambda ret, _: 0.0 * ret, days=180)
    fitted = fit_baselines(rows, SETTINGS)
    batches = rows.parts[2]
    frame = fitted.frame(batches)
    panel = rows.resident.panel
    place = {name: number for number, name in enumerate(panel.listings)}
    day = np.searchsorted(panel.dates, frame["Date"].to_numpy())
    column = np.array([place[name] for name in frame["Listing"]])
    rng = np.random.default_rng(seed)
    columns = {}
    for q, horizon in enumerate(panel.meta.horizons):
        columns[f"score_{horizon}"] = rng.standard_normal(len(frame))
        columns[f"return_{horizon}"] = rows.resident.returns.numpy()[day, column, q].astype(float)
    table = frame.with_columns(**{name: pl.Series(values).fill_nan(None) for name, values in columns.items()})
    settings = EvaluationConfig(min_listings=10, deciles=5, top_k=5, headline=1)
    metrics = evaluate(table, settings, Extras(baselines=fitted.card)).metrics
    assert metrics["horizons"]["1"]["benchmark"] in {"ridge", "lightgbm", "ridge+lightgbm"}
    found = conclusions(metrics)
    # The shape of the scores over time is no skill.
    assert [c.text for c in found if c.level == "good" and not c.text.startswith("The scores")] == []


def test_the_best_is_the_highest_mean_and_ridge_where_nothing_is_known() -> None:
    assert best_of({"ridge": {"mean": 0.01}, "lightgbm": {"mean": 0.02}, "momentum": {"mean": None}}) == "lightgbm"
    assert best_of({"ridge": {"mean": -0.02}, "lightgbm": {"mean": -0.01}}) == "lightgbm"
    assert best_of({"ridge": {"mean": None}, "lightgbm": {"mean": None}}) == "ridge"

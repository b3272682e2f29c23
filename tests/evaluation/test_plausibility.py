import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.evaluation.evaluate import EvaluationConfig, evaluate
from atft_pipeline.evaluation.grid import Grid
from atft_pipeline.evaluation.plausibility import (
    check_backtest,
    check_returns,
    extreme_returns,
    implausible_skill,
)
from atft_pipeline.evaluation.portfolio.backtest import run_backtest
from atft_pipeline.evaluation.portfolio.config import PortfolioConfig
from atft_pipeline.reporting.evaluation_table import results_table
from tests.evaluation.test_evaluate import predictions

DAYS = np.datetime64("2020-01-01") + np.arange(20)
NAMES = ("GOOD", "BROKEN")


def judge(forward: np.ndarray) -> dict:
    backtest = run_backtest(np.tile([0.5, 0.5], (20, 1)), forward, 1, 0.0, overlapping=True)
    return check_backtest(backtest, DAYS, NAMES)


def test_one_broken_tick_is_named_with_its_day() -> None:
    forward = np.full((20, 2), 0.0001)
    forward[7, 1] = 9.0
    found = judge(forward)
    assert not found["plausible"]
    assert "BROKEN" in found["reasons"][0]
    assert "2020-01-08" in found["reasons"][0]
    assert found["top_contributors"][0]["listing"] == "BROKEN"


def test_a_steady_impossible_gain_is_named() -> None:
    forward = np.full((20, 2), 0.0001)
    forward[:, 1] = 0.2
    found = judge(forward)
    assert "% a year, most of it from BROKEN" in found["reasons"][0]


def test_ordinary_returns_pass() -> None:
    assert judge(0.01 * np.random.default_rng(0).standard_normal((20, 2)))["plausible"]


def test_a_return_below_minus_one_is_refused_by_name() -> None:
    table = predictions(days=30)
    grid = Grid.of(table)
    wrong = table.with_columns(return_1=pl.when(pl.int_range(pl.len()) == 65).then(-12.5).otherwise("return_1"))
    with pytest.raises(DataError, match=r"below -1 \(a fraction, not per cent\), first L05 on .*-12.5"):
        evaluate(wrong, EvaluationConfig())
    check_returns(grid, grid.to_days(table["return_1"]), 1)


def test_largest_returns_are_listed() -> None:
    table = predictions(days=30).with_columns(
        return_1=pl.when(pl.int_range(pl.len()) == 65).then(7.0).otherwise("return_1")
    )
    grid = Grid.of(table)
    first = extreme_returns(grid, grid.to_days(table["return_1"]))[0]
    assert first["listing"] == "L05"
    assert first["return"] == 7.0


def test_numbers_of_an_impossible_portfolio_are_withheld_everywhere() -> None:
    """A broken price would have made +1,000 %: no Sharpe ratio of it is shown, the reason is."""
    table = predictions(days=60).with_columns(
        score_1=pl.when(pl.int_range(pl.len()) % 60 == 5).then(100.0).otherwise("score_1"),
        return_1=pl.when(pl.int_range(pl.len()) == 605).then(50.0).otherwise("return_1"),
    )
    settings = EvaluationConfig(top_k=10, portfolios=PortfolioConfig(max_weight=1.0))
    metrics = evaluate(table, settings).metrics
    portfolio = metrics["horizons"]["1"]["portfolios"]["long_short"]["model"]
    assert not portfolio["plausible"]
    assert "net" not in portfolio
    assert "L05" in portfolio["reasons"][0]
    text = results_table(metrics)
    assert "implausible" in text
    assert "L05" in text


@pytest.mark.parametrize(
    ("rank_ic", "share", "word"),
    [
        (0.207, {"value": 0.80, "se": 0.02}, None),
        (0.207, {"value": 1.03, "se": 0.02}, None),
        (0.964, {"value": 4.04, "se": 0.1}, "404 %"),
        (0.05, {"value": 1.10, "se": 0.02}, "110 %"),
        (0.40, {"value": 0.9, "se": 0.02}, None),
        (0.70, {"value": 0.9, "se": 0.02}, "0.700"),
        (0.05, None, None),
        (0.31, None, None),
        (0.45, None, "0.450"),
        (-0.45, None, "-0.450"),
        (0.45, {"value": None, "se": None}, "0.450"),
        (None, None, None),
    ],
)
def test_a_skill_beyond_belief_is_an_alarm(rank_ic: float | None, share: dict | None, word: str | None) -> None:
    found = implausible_skill({"mean": rank_ic, "se": 0.01}, share)
    if word is None:
        assert found is None
    else:
        assert word.replace(" %", "%") in (found or "")

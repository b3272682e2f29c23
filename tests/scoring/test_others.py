"""What is no stock is scored by itself and stands in one row of the slices."""

import shutil

import numpy as np
import polars as pl
import pytest

from atft_pipeline.evaluation.config import EvaluationConfig
from atft_pipeline.evaluation.evaluate import Extras, evaluate
from atft_pipeline.scoring.others import score_others
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.stats.rank_ic import rank_ic
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import MarketData
from tests.training.runs import market, run

DAYS = range(100, 118)


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    folder = tmp_path_factory.mktemp("market")
    panel, graphs = market(folder)
    shutil.copytree(run(panel, graphs, folder / "run", epochs=1).checkpoint, folder / "model")
    return Scorer.open(folder / "model", MarketData(panel, graphs), RuntimeConfig(device="cpu"))


def prices(scorer: Scorer, others: int) -> pl.DataFrame:
    """Every listing on every day; the first ones are no stocks, the last of these was not traded."""
    panel = scorer.data.panel
    number = pl.col("Listing").rank("dense")
    frame = pl.DataFrame({"Date": panel.dates}).join(pl.DataFrame({"Listing": list(panel.listings)}), how="cross")
    return frame.with_columns(Stock=number > others, Tradable=number != others)


def test_what_is_no_stock_has_scores_and_changes_none(scorer: Scorer) -> None:
    before = scorer.frame(DAYS)
    found = score_others(scorer, prices(scorer, 14), DAYS)
    assert scorer.frame(DAYS).equals(before)
    names = sorted(scorer.data.panel.listings)
    # The panel has no rows of one of them, and the fourteenth was not traded.
    assert set(found["Listing"]) <= set(names[:13])
    assert found["Listing"].n_unique() == 12
    assert set(found["Date"]) == set(scorer.data.panel.dates[list(DAYS)].astype(object).tolist())
    assert found.select(pl.col("^score_.*$").is_finite().all()).row(0) == (True,) * len(scorer.data.panel.meta.horizons)
    # Returns are those of the panel, also of rows that are out of the universe.
    day = scorer.data.panel.day(DAYS[0])
    known = {scorer.data.panel.listings[one]: value for one, value in zip(day.listing, day.returns[:, 0], strict=True)}
    first = found.filter(pl.col("Date") == found["Date"].min())
    np.testing.assert_array_equal(first["return_1"], np.array([known[name] for name in first["Listing"]]))


@pytest.mark.parametrize("prepared", [True, False])
def test_too_few_are_none(scorer: Scorer, prepared: bool) -> None:
    frame = prices(scorer, 5)
    found = score_others(scorer, frame.drop("Stock", "Tradable") if prepared else frame, DAYS)
    assert found.is_empty()
    assert {"Date", "Listing", "score_1", "return_1"} <= set(found.columns)


def test_they_are_one_row_of_the_slices_and_in_no_other_number(scorer: Scorer) -> None:
    table = scorer.frame(DAYS, ["return"], quantiles=False)
    settings = EvaluationConfig(min_listings=5, deciles=5)
    others = score_others(scorer, prices(scorer, 14), DAYS)
    alone, beside = (evaluate(table, settings, Extras(others=found)).metrics for found in (None, others))
    for horizon in map(str, scorer.data.panel.meta.horizons):
        (row,) = beside["horizons"][horizon]["slices"].pop("others")
        laid = [others.pivot("Listing", index="Date", values=f"{name}_{horizon}") for name in ("score", "return")]
        scores, returns = (one.sort("Date").drop("Date").fill_null(float("nan")).to_numpy() for one in laid)
        expected = rank_ic(scores.astype(np.float64), returns.astype(np.float64), 10)
        assert row["model"]["mean"] == pytest.approx(np.nanmean(expected))
        assert (row["name"], row["difference"]) == ("no stocks", None)
    assert beside == alone

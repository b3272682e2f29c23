"""The benchmark beside the newest scores: as the evaluation fitted it, and only where it belongs to the model."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.baselines.config import LightGBMConfig
from atft_pipeline.baselines.frames import Baselines, Rows, fit_baselines
from atft_pipeline.baselines.saved import FittedBaselines, from_document, to_document
from atft_pipeline.errors import ArtifactError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.config import PredictConfig
from atft_pipeline.scoring.newest import score_newest
from atft_pipeline.splits.split import single_split
from atft_pipeline.training.config import RuntimeConfig, TargetsConfig
from tests.training.runs import BATCHES, SPLIT, market, run

RUNTIME = RuntimeConfig(device="cpu")
SETTINGS = LightGBMConfig(leaves=(4,), learning_rates=(0.1,), rounds=20)


class Made:
    """A trained model and the baselines of its evaluation."""

    def __init__(self, folder: Path) -> None:
        self.panel: Panel
        self.graphs: MonthlyGraphs
        self.panel, self.graphs = market(folder)
        self.model = folder / "model" / "2026-01-01T00.00.00.000Z" / "model"
        shutil.copytree(run(self.panel, self.graphs, folder / "run", epochs=1).checkpoint, self.model)
        self.split = single_split(self.panel.dates, SPLIT, self.panel.meta.label_span)
        resident = ResidentPanel.load(self.panel, ResidencyConfig(mode="host"))
        self.rows = Rows(resident, self.split, BATCHES, TargetsConfig())
        self.baselines: Baselines = fit_baselines(self.rows, SETTINGS)
        self.document = json.loads(json.dumps(to_document(self.baselines, self.panel, self.split)))

    def scored(self, fitted: FittedBaselines | None) -> pl.DataFrame:
        return score_newest(self.model, self.panel, self.graphs, PredictConfig(days=3), RUNTIME, fitted)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("market"))


def test_saved_baselines_score_as_the_fitted_ones_bit_for_bit(made: Made) -> None:
    again = from_document(made.document).baselines
    day = made.rows.parts[2]
    columns = made.baselines.frame(day, benchmark=True)
    assert again.frame(day, benchmark=True).equals(columns)
    assert "benchmark_1" in columns.columns


@pytest.mark.parametrize("name", ["ridge", "lightgbm", "ridge+lightgbm"])
def test_model_benchmark_and_their_mean_stand_side_by_side(made: Made, name: str) -> None:
    fitted = from_document({**made.document, "benchmark": {"1": name, "5": "ridge"}})
    table = made.scored(fitted)
    assert table.drop("benchmark_1", "benchmark_5").columns[:3] == ["Date", "Code", "Listing"]
    assert (table["benchmark_name_1"].unique().to_list(), table["benchmark_name_5"].unique().to_list()) == (
        [name],
        ["ridge"],
    )
    plain = made.scored(None)
    assert plain.equals(table.select(plain.columns))
    newest = made.panel.dates[-1].astype(object)
    day = table.filter(pl.col("Date") == newest).sort("Listing")
    view = made.panel.day(len(made.panel.dates) - 1)
    listing = [made.panel.listings.index(one) for one in day["Listing"]]
    features = view.features[np.searchsorted(view.listing, listing)].astype(np.float32)
    expected = fitted.baselines.scores(features, made.panel)[name][:, 0]
    np.testing.assert_array_equal(day["benchmark_1"].to_numpy(), expected)
    # Both ranks by hand: the share of the others that a listing is ahead of.
    ahead = [
        (values[:, None] > values[None]).sum(axis=1) / (len(values) - 1)
        for values in (day["score_1"].to_numpy(), expected)
    ]
    ties = (expected[:, None] == expected[None]).sum(axis=1) - 1
    ahead[1] = ahead[1] + ties / 2 / (len(expected) - 1)
    np.testing.assert_allclose(day["model+benchmark_1"].to_numpy(), np.mean(ahead, axis=0), atol=1e-12)


def test_baselines_of_another_training_are_left_out(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    fitted = from_document(made.document)
    for other in (replace(fitted, panel="0" * 64), replace(fitted, train=(("2001-01-01", "2002-01-01"),))):
        with caplog.at_level(logging.WARNING):
            assert made.scored(other).equals(made.scored(None))
        assert "the newest evaluation was of another training" in caplog.text
        caplog.clear()


def test_damaged_baselines_are_refused_in_one_line(made: Made) -> None:
    for broken in ({"ridge": {}}, {"lightgbm": [["no trees"]]}, {"train": 3}):
        with pytest.raises(ArtifactError, match=r"damaged .*kedro run --pipeline=evaluate"):
            from_document({**made.document, **broken})

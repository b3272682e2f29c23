"""What the model is worth on the sample market, whose best possible score is known: three seeds, and two ablations."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from atft_pipeline.config import from_mapping
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.splits.split import SplitConfig, single_split
from atft_pipeline.stats.significance import estimate
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.loop import fit
from tests.project import newest

pytestmark = pytest.mark.slow


def parameters(project: Path) -> dict[str, Any]:
    """The parameters of the training as the project states them."""
    text = (project / "conf/base/parameters_train.yml").read_text()
    stated = yaml.safe_load(text.replace("${globals:models.${runtime_params:size, small}}", "null"))
    stated["model"] = yaml.safe_load((project / "conf/base/globals.yml").read_text())["models"]["small"]
    return stated


def trained_scores(project: Path, folder: Path, model: Mapping[str, Any], training: Mapping[str, Any]) -> pl.DataFrame:
    """Train with some parameters replaced; return the test days' scores beside the oracle and its parts."""
    given = parameters(project)
    panel = Panel.open(newest(project, "data/05_model_input/panel.arrow"))
    graphs = MonthlyGraphs.open(newest(project, "data/05_model_input/graphs.arrow"))
    experiment = Experiment(
        batches=from_mapping(BatchConfig, given["batches"]),
        model=from_mapping(ModelConfig, {**given["model"], **model}),
        loss=from_mapping(LossConfig, given["loss"]),
        training=from_mapping(TrainingConfig, {**given["training"], **training}),
        runtime=RuntimeConfig(device="cpu"),
    )
    resident = ResidentPanel.load(panel.select(experiment.batches.features), ResidencyConfig())
    data = MarketData(panel, graphs, resident)
    split = single_split(panel.dates, from_mapping(SplitConfig, given["split"]), panel.meta.label_span)
    result = fit(experiment, data, split, folder)
    scores = Scorer.open(result.checkpoint, data, experiment.runtime).frame(split.test, ["return"])
    codes = pl.DataFrame({"Listing": list(panel.listings), "Code": list(panel.codes)})
    oracle = pl.read_parquet(project / "data/01_raw/sample_market/oracle.parquet")
    frame = scores.join(codes, on="Listing")
    return frame.join(oracle, on=["Date", "Code"], how="inner")


def daily(frame: pl.DataFrame, left: str, right: str) -> np.ndarray:
    """Rank correlation of two columns on each day."""
    both = frame.drop_nulls([left, right])
    ranked = both.select("Date", pl.col(left).rank().over("Date"), pl.col(right).rank().over("Date"))
    return ranked.group_by("Date", maintain_order=True).agg(c=pl.corr(left, right))["c"].to_numpy()


@pytest.fixture(scope="module")
def full(finished: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> dict[int, pl.DataFrame]:
    """Test scores of the model as the project states it, by seed."""
    folder = tmp_path_factory.mktemp("full")
    return {seed: trained_scores(finished[0], folder, {}, {"seed": seed}) for seed in (1, 2, 3)}


def test_the_model_reaches_most_of_the_oracle(full: dict[int, pl.DataFrame]) -> None:
    """Three seeds together: one alone moves by a hundredth with its random numbers."""
    shares = {
        seed: daily(frame.sort("Date"), "score_1", "return_1").mean()
        / daily(frame.sort("Date"), "oracle_1", "return_1").mean()
        for seed, frame in full.items()
    }
    assert np.mean(list(shares.values())) >= 0.85, shares
    assert min(shares.values()) >= 0.84, shares


@pytest.mark.parametrize(
    ("part", "model"),
    [("neighbour", {"graph": {"layers": 0}}), ("cycle", {"normaliser": {"kind": "none"}})],
    ids=["graph", "fan"],
)
def test_each_block_earns_its_part_of_the_signal(
    full: dict[int, pl.DataFrame], finished: tuple[Path, str], tmp_path: Path, part: str, model: dict[str, Any]
) -> None:
    """Without the graph the neighbours' part is lost, without FAN the cycle's; and the whole score is worse."""
    poor = trained_scores(finished[0], tmp_path, model, {"seed": 1, "epochs": 2}).sort("Date")
    rich = full[1].sort("Date")
    for column, least in ((f"oracle_{part}_1", 20.0), ("return_1", 3.0)):
        lost = estimate(daily(rich, "score_1", column) - daily(poor, "score_1", column), horizon=1)
        assert lost.t > least, (column, lost)
    assert abs(daily(poor, "score_1", f"oracle_{part}_1").mean()) < 0.1

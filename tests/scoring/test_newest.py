import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import ArtifactError, DataError
from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.scoring.config import PredictConfig
from atft_pipeline.scoring.inference import score_days
from atft_pipeline.scoring.newest import check_prices, score_newest
from atft_pipeline.scoring.scorer import score_frame
from atft_pipeline.training.checkpoint.model import load_model
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.runtime.runtime import choose_runtime
from tests.panel.market import listings_table, restate, write_features
from tests.training.runs import market, run

RUNTIME = RuntimeConfig(device="cpu")
Trained = tuple[Panel, MonthlyGraphs, Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("market")
    panel, graphs = market(folder)
    best = run(panel, graphs, folder / "run", epochs=1).checkpoint
    model = folder / "model" / "2026-01-01T00.00.00.000Z" / "model"
    shutil.copytree(best, model)
    return panel, graphs, model


def rebuild(folder: Path, change: pl.Expr | None = None, **size: int) -> Panel:
    """A panel like the trained one, without the rows for which ``change`` does not hold."""
    write_features(folder / "features", **({"days": 120, "listings": 30} | size), signal=1.0)
    for path in (folder / "features").glob("*.parquet"):
        if change is not None:
            pl.read_parquet(path).filter(change).write_parquet(path)
    restate(folder / "features")
    build_panel(folder / "features", listings_table(30), folder / "panel.arrow", PanelConfig())
    return Panel.open(folder / "panel.arrow")


def graphs_for(panel: Panel, path: Path, days: int | None = None) -> MonthlyGraphs:
    """Graphs over the panel, or over its first days under the panel's own fingerprint."""
    config = GraphConfig(k=3, window=20, min_observations=10, threshold=0.0, min_sector_neighbours=1)
    dates = panel.dates[:days]
    returns = np.random.default_rng(1).standard_normal((len(dates), len(panel.listings))).astype(np.float32)
    axes = (dates, panel.listings, panel.sector, panel.market)
    build_graphs(returns, *axes, config, panel.meta.index_fingerprint, path, {})
    return MonthlyGraphs.open(path)


@pytest.mark.parametrize("days", [1, 5])
def test_scores_are_those_of_a_resident_panel_bit_for_bit(trained: Trained, days: int) -> None:
    panel, graphs, model = trained
    table = score_newest(model, panel, graphs, PredictConfig(days=days), RUNTIME)
    network, card = load_model(model)
    resident = ResidentPanel.load(panel, ResidencyConfig(mode="host"))
    scores = score_days(network, resident, graphs.align(panel.dates), range(120), card.batches, choose_runtime(RUNTIME))
    whole = score_frame(scores, panel, card.model.heads.quantiles)
    newest = whole.filter(pl.col("Date") >= panel.dates[-days].astype(object)).sort("Date", "Listing")
    columns = [name for name in whole.columns if name in table.columns]
    assert len(columns) == len(whole.columns)
    assert table.select(columns).sort("Date", "Listing").equals(newest.select(columns))


def test_ranks_codes_and_lineage(trained: Trained) -> None:
    panel, graphs, model = trained
    table = score_newest(model, panel, graphs, PredictConfig(days=2), RUNTIME)
    assert table["Date"].unique().to_list() == panel.dates[-2:].astype(object).tolist()
    for _, day in table.group_by("Date"):
        for horizon in panel.meta.horizons:
            order = day.sort(f"score_{horizon}", descending=True)
            assert order[f"rank_{horizon}"].to_list() == list(range(1, day.height + 1))
    assert table["Code"].equals(table["Listing"].rename("Code"))
    (version,) = table["model_version"].unique()
    assert version == "2026-01-01T00.00.00.000Z"
    (line,) = table.select("model", "trained_on", "panel", "graphs").unique().rows()
    assert line[1:] == (panel.meta.fingerprint, panel.meta.fingerprint, graphs.meta.fingerprint)
    assert len(line[0]) == 32


def test_graphs_that_end_before_the_newest_month(trained: Trained, tmp_path: Path) -> None:
    panel, _, model = trained
    # Graphs always reach one month beyond their last day.
    old = graphs_for(panel, tmp_path / "old.arrow", days=60)
    with pytest.raises(
        ArtifactError, match=r"the graphs end with 2021-04, but the newest day is 2021-06-18; update wi"
    ):
        score_newest(model, panel, old, PredictConfig(), RUNTIME)


def test_graphs_of_another_panel(trained: Trained, tmp_path: Path) -> None:
    _, graphs, model = trained
    longer = rebuild(tmp_path, days=125)
    with pytest.raises(ArtifactError, match="rebuild the graphs with: kedro run --pipeline=graphs"):
        score_newest(model, longer, graphs, PredictConfig(), RUNTIME)


def test_a_model_of_other_columns(trained: Trained) -> None:
    panel, graphs, model = trained
    names = panel.meta.feature_names
    swapped = replace(panel.meta, feature_names=(names[1], names[0], *names[2:]))
    other = Panel(panel.path, panel._reader, swapped, panel.index)
    with pytest.raises(ArtifactError, match="the model was trained on other features"):
        score_newest(model, other, graphs, PredictConfig(), RUNTIME)


def test_a_day_with_too_few_listings(trained: Trained, tmp_path: Path) -> None:
    """Half of the last day's prices have not arrived."""
    *_, model = trained
    last = date(2021, 6, 18)
    panel = rebuild(tmp_path, (pl.col("Date") < last) | (pl.col("Listing") < "L12"))
    graphs = graphs_for(panel, tmp_path / "graphs.arrow")
    with pytest.raises(
        DataError, match=r"2021-06-18 has 1\d listings, usually there are 2\d: its prices look unfinish"
    ):
        score_newest(model, panel, graphs, PredictConfig(), RUNTIME)
    assert score_newest(model, panel, graphs, PredictConfig(min_delivered=0.2), RUNTIME).height >= 3


def test_a_day_without_a_cross_section(trained: Trained, tmp_path: Path) -> None:
    *_, model = trained
    panel = rebuild(tmp_path, (pl.col("Date") < date(2021, 6, 18)) | (pl.col("Listing") < "L02"))
    graphs = graphs_for(panel, tmp_path / "graphs.arrow")
    with pytest.raises(DataError, match="2021-06-18: fewer than 3 listings of the universe"):
        score_newest(model, panel, graphs, PredictConfig(days=2, min_delivered=0.0), RUNTIME)


def quality(source: Path, read: str, cleaned: str) -> dict:
    return {"source": str(source), "input": {"last": read}, "output": {"last": cleaned}}


def test_prices_newer_than_the_panel(trained: Trained, tmp_path: Path) -> None:
    panel = trained[0]
    path = tmp_path / "prices.parquet"
    days = [date(2021, 6, 18), date(2021, 6, 21)]
    pl.DataFrame({"Date": days, "Code": ["a", "b"]}).write_parquet(path)
    csv = tmp_path / "prices.csv"
    pl.DataFrame({"Date": ["2021/06/18", "2021/06/22"], "Code": ["a", "b"]}).write_csv(csv)
    settings = PricesConfig()
    stale = "goes to 2021-06-21, but prices were read to 2021-06-18 .* update with: kedro run --pipeline=update$"
    with pytest.raises(ArtifactError, match=stale):
        check_prices(panel, quality(path, "2021-06-18", "2021-06-18"), None, settings)
    with pytest.raises(ArtifactError, match=r"goes to 2021-06-22, .* --pipeline=update --params prices=.*prices\.csv"):
        check_prices(panel, quality(path, "2021-06-21", "2021-06-18"), csv, settings)
    with pytest.raises(ArtifactError, match="the clean prices go to 2021-06-21, the panel ends on 2021-06-18"):
        check_prices(panel, quality(path, "2021-06-21", "2021-06-21"), None, settings)
    # Rows of a holiday that the cleaning dropped are no newer prices.
    check_prices(panel, quality(path, "2021-06-21", "2021-06-18"), None, settings)
    # A prepared table reports its last day in one place.
    with pytest.raises(ArtifactError, match="goes to 2021-06-21"):
        check_prices(panel, {"source": str(path), "last": "2021-06-18"}, None, settings)


def test_prices_that_are_gone_are_told(trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check_prices(trained[0], quality(tmp_path / "gone", "2021-06-18", "2021-06-18"), None, PricesConfig())
    assert "whether there are newer prices is not checked" in caplog.text

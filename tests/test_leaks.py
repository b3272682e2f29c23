"""Nothing before a date knows anything of what comes after it."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.market.columns import FeaturesConfig
from atft_pipeline.market.features import build_features
from atft_pipeline.market.ingest import IngestConfig, ingest
from atft_pipeline.market.returns import daily_returns
from atft_pipeline.market.sample_market import SampleMarketConfig, generate
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.panel.batches import BatchConfig
from atft_pipeline.panel.build import PanelConfig, build_panel
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import ResidencyConfig, ResidentPanel
from atft_pipeline.training.build import input_spec
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.inference import score_days
from atft_pipeline.training.runtime import choose_runtime

pytestmark = pytest.mark.slow

LAST = date(2020, 11, 12)  # in the middle of a month
FEATURES = FeaturesConfig()


@dataclass
class Built:
    """Every artifact made from one set of raw prices."""

    clean: pl.DataFrame
    features: pl.DataFrame
    panel: Panel
    graphs: MonthlyGraphs
    scores: pl.DataFrame


def build(prices: pl.DataFrame, listings: pl.DataFrame, folder: Path) -> Built:
    folder.mkdir()
    prices.write_parquet(folder / "prices.parquet")
    listings.write_parquet(folder / "listings.parquet")
    result = ingest(folder / "prices.parquet", folder / "listings.parquet", IngestConfig())
    build_features(result.prices, result.listings, FEATURES, folder / "features")
    build_panel(folder / "features", result.listings.to_arrow(), folder / "panel.arrow", PanelConfig(), {})
    panel = Panel.open(folder / "panel.arrow")
    returns = daily_returns(result.prices, panel.dates, panel.listings)
    fingerprint = panel.meta.index_fingerprint
    build_graphs(
        returns,
        panel.dates,
        panel.listings,
        panel.sector,
        panel.market,
        GraphConfig(),
        fingerprint,
        folder / "graphs.arrow",
        {},
    )
    graphs = MonthlyGraphs.open(folder / "graphs.arrow")
    torch.manual_seed(0)
    batches = BatchConfig()
    model = ATFTGATFAN(ModelConfig(width=16), input_spec(panel.meta, batches.window)).eval()
    days = np.flatnonzero((panel.dates <= np.datetime64(LAST)) & (panel.dates > np.datetime64("2020-09-01"))).tolist()
    resident = ResidentPanel.load(panel, ResidencyConfig())
    runtime = choose_runtime(RuntimeConfig(device="cpu"))
    scores = score_days(model, resident, graphs.align(panel.dates), days, batches, runtime)
    table = pl.DataFrame(
        {
            "Date": panel.dates[scores.day],
            "Listing": np.array(panel.listings, dtype=object)[scores.listing],
            **{f"score_{place}": scores.score[:, place] for place in range(scores.score.shape[1])},
        },
        schema_overrides={"Listing": pl.String},
    )
    features = pl.read_parquet(folder / "features" / "*.parquet")
    return Built(result.prices, features, panel, graphs, table)


def scramble(prices: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Replace everything after LAST: other prices, other volumes, codes gone, a code that never was."""
    rng = np.random.default_rng(seed)
    past = prices.filter(pl.col("Date") <= LAST)
    future = prices.filter(pl.col("Date") > LAST)
    gone = rng.choice(future["Code"].unique().sort().to_numpy(), size=10, replace=False).tolist()
    future = future.filter(~pl.col("Code").is_in(gone))
    close = rng.lognormal(3, 1, future.height)
    future = future.with_columns(
        Open=pl.Series(close * rng.uniform(0.9, 1.1, future.height)),
        High=pl.Series(close * 1.2),
        Low=pl.Series(close * 0.8),
        Close=pl.Series(close),
        Volume=pl.Series(rng.integers(1, 10**7, future.height)).cast(prices.schema["Volume"]),
    )
    # In the middle of the alphabet, so that it moves the places of the others.
    newcomer = future.filter(pl.col("Code") == future["Code"][0]).with_columns(Code=pl.lit("S0030x"))
    return pl.concat([past, future, newcomer]).sort("Code", "Date")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Built]:
    folder = tmp_path_factory.mktemp("leaks")
    market = generate(SampleMarketConfig(listings=80, sessions=300, seed=3))
    return (
        build(market.prices, market.listings, folder / "true"),
        build(scramble(market.prices, seed=1), market.listings, folder / "scrambled"),
    )


def past(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("Date") <= LAST).sort("Date", "Listing")


def test_the_future_differs(worlds: tuple[Built, Built]) -> None:
    futures = [built.clean.filter(pl.col("Date") > LAST) for built in worlds]
    assert not futures[0].equals(futures[1])
    assert worlds[0].panel.listings != worlds[1].panel.listings


def test_clean_prices_and_universe(worlds: tuple[Built, Built]) -> None:
    first, second = (past(built.clean) for built in worlds)
    assert first.height > 10_000
    assert first["InUniverse"].any()
    assert first.equals(second)


def test_features(worlds: tuple[Built, Built]) -> None:
    labels = [f"{kind}_{h}" for kind in ("target", "return") for h in FEATURES.horizons]
    first, second = (past(built.features.drop(labels)) for built in worlds)
    assert first.width > 150
    assert first.equals(second)


def test_complete_labels(worlds: tuple[Built, Built]) -> None:
    """A label that ends before the date is the same; one that reaches beyond it is not."""
    dates = worlds[0].clean.filter(pl.col("Date") <= LAST)["Date"].unique().sort()
    for horizon in FEATURES.horizons:
        complete = dates[-horizon - 1]
        columns = ["Date", "Listing", f"return_{horizon}"]
        first, second = (past(built.features).select(columns) for built in worlds)
        known = pl.col("Date") <= complete
        assert first.filter(known).equals(second.filter(known))
        assert not first.equals(second)


def test_panel_rows(worlds: tuple[Built, Built]) -> None:
    for day in range(int(np.searchsorted(worlds[0].panel.dates, np.datetime64(LAST), side="right"))):
        views = [built.panel.day(day) for built in worlds]
        names = [
            [built.panel.listings[place] for place in view.listing] for built, view in zip(worlds, views, strict=True)
        ]
        assert names[0] == names[1]
        assert np.array_equal(views[0].features, views[1].features, equal_nan=True)
        assert np.array_equal(views[0].universe, views[1].universe)


def test_graphs_up_to_the_month_of_the_date(worlds: tuple[Built, Built]) -> None:
    def edges(built: Built, month: int) -> dict[tuple[str, str], tuple[float, ...]]:
        names = built.panel.listings
        neighbors, attributes = built.graphs.neighbors(month), built.graphs.edge_attr(month)
        return {
            (names[target], names[source]): tuple(attributes[target, place].tolist())
            for target in range(len(names))
            for place, source in enumerate(neighbors[target])
            if source >= 0
        }

    months = [np.datetime64(month, "M") for month in worlds[0].graphs.months]
    served = [place for place, month in enumerate(months) if month <= np.datetime64(LAST, "M")]
    assert len(served) >= 6
    for place in served:
        first, second = (edges(built, place) for built in worlds)
        assert first
        assert first == second
    assert edges(worlds[0], len(months) - 1) != edges(worlds[1], len(months) - 1)


def test_scores(worlds: tuple[Built, Built]) -> None:
    first, second = (past(built.scores) for built in worlds)
    assert first.height > 2_000
    assert first.equals(second)

"""The nodes of the daily update: what they refuse before anything is saved, and an update that was stopped."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import ArtifactError, DataError
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.pipelines.features.nodes import compute_features
from atft_pipeline.pipelines.graphs.nodes import connect_listings
from atft_pipeline.pipelines.ingest.nodes import ingest_prices
from atft_pipeline.pipelines.panel.nodes import pack_panel
from atft_pipeline.pipelines.update.nodes import continue_features, continue_panel, update_prices
from atft_pipeline.prices.ingest import IngestConfig
from tests.features.market import raw_market

INGEST = IngestConfig()
FEATURES = FeaturesConfig(groups=("extras",), horizons=(1, 2))
PANEL = PanelConfig()
GRAPHS = GraphConfig(k=3, window=20, min_observations=10, min_sector_neighbours=0)
MARKET = raw_market(12, 100)
DAYS = MARKET["Date"].unique().sort()


class World:
    """Artifacts of some prices, each at a path of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0

    def prices(self, days: int, frame: pl.DataFrame = MARKET) -> Path:
        path = self.path(".parquet")
        frame.filter(pl.col("Date") < DAYS[days - 1] if days < 100 else pl.lit(value=True)).write_parquet(path)
        return path

    def path(self, suffix: str) -> Path:
        self.count += 1
        return self.folder / f"{self.count}{suffix}"

    def store(self, draft: Path, suffix: str = ".arrow") -> Path:
        """As the datasets do."""
        return draft.rename(self.path(suffix))

    def build(self, prices: Path) -> None:
        """As the stages that build everything do."""
        clean, listings, *_ = ingest_prices(prices, None, INGEST)
        self.features = self.store(compute_features(clean, listings, FEATURES, self.folder), "")
        self.panel = Panel.open(self.store(pack_panel(self.features, listings, PANEL, self.folder)))
        self.graphs = MonthlyGraphs.open(self.store(connect_listings(clean, self.panel, GRAPHS, self.folder)))

    def update(self, prices: Path, stop: str = "") -> None:
        """As the pipeline does; a stop leaves what was saved before it."""
        clean, listings, *_ = update_prices(prices, None, self.features, self.panel, self.graphs, INGEST, FEATURES)
        features, panel, graphs = self.features, self.panel, self.graphs
        if stop == "prices":
            return
        self.features = self.store(continue_features(clean, listings, features, FEATURES, self.folder), "")
        if stop == "features":
            return
        made = continue_panel(self.features, features, panel, clean, listings, FEATURES, self.folder)
        self.panel = Panel.open(self.store(made))
        if stop == "panel":
            return
        self.graphs = MonthlyGraphs.open(
            self.store(connect_listings(clean, self.panel, GRAPHS, self.folder, previous=graphs))
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.build(world.prices(97))
    return world


def content(world: World) -> list[object]:
    """What the artifacts hold, apart from their history."""
    table = [(path.name, path.read_bytes()) for path in sorted(world.features.iterdir())]
    days = [world.panel.batch(day).serialize().to_pybytes() for day in range(len(world.panel.dates))]
    months = [world.graphs.batch(month).serialize().to_pybytes() for month in range(len(world.graphs))]
    return [table, world.panel.index, days, world.graphs.meta.fingerprint, months]


@pytest.mark.parametrize("stop", ["prices", "features", "panel"])
def test_an_update_that_was_stopped_can_be_repeated(world: World, stop: str) -> None:
    prices = world.prices(100)
    world.update(prices, stop)
    world.update(prices)
    whole = World(world.folder)
    whole.count = world.count
    whole.build(prices)
    assert content(world) == content(whole)
    with pytest.raises(ArtifactError, match="as the panel does: there is nothing to update; pass newer"):
        world.update(prices)


def test_an_update_leaves_out_what_a_rebuild_leaves_out(tmp_path: Path) -> None:
    """A bond and a preferred by its code have no label and no neighbour, whichever way the days came."""
    calm = {name: (pl.col(name) / 50) ** 0.05 * 50 for name in ("Open", "High", "Low", "Close")}
    bond = raw_market(["BOND"], 100, seed=5).with_columns(**calm)
    frame = pl.concat([raw_market(24, 100), bond, raw_market(["BAC-PL"], 100, seed=6)])
    updated, whole = World(tmp_path / "updated"), World(tmp_path / "whole")
    for each in (updated, whole):
        each.folder.mkdir()
    updated.build(updated.prices(97, frame))
    updated.update(updated.prices(100, frame))
    whole.build(whole.prices(100, frame))
    assert content(updated) == content(whole)
    others = [whole.panel.listings.index(name) for name in ("BOND", "BAC-PL")]
    for day in (-1, -20):
        view = whole.panel.day(day % 100)
        assert set(view.listing[~view.universe]) == set(others)
        assert np.isnan(view.targets[~view.universe]).all()
    linked = whole.graphs.neighbors(len(whole.graphs) - 1)
    assert not np.isin(linked, others).any()
    assert (linked[others] == -1).all()
    assert (linked >= 0).sum() > 24


def test_only_the_new_days_are_one_line(world: World) -> None:
    prices = world.folder / "new.parquet"
    MARKET.filter(pl.col("Date") > DAYS[97]).write_parquet(prices)
    with pytest.raises(
        ArtifactError, match=rf"begins on {DAYS[98]}, the panel on {DAYS[0]}: an update needs all prices"
    ):
        world.update(prices)


def test_older_prices_and_another_past_are_refused_before_anything_is_saved(world: World) -> None:
    with pytest.raises(ArtifactError, match=r"goes to .*: there is nothing to update"):
        world.update(world.prices(90))
    names = ("Open", "High", "Low", "Close")
    halved = MARKET.with_columns(
        pl.when(pl.col("Code") == "C02").then(pl.col(name) / 2).otherwise(name).alias(name) for name in names
    )
    prices = world.prices(100, halved)
    with pytest.raises(
        ArtifactError, match=rf"are not those that .*kedro run --pipeline=data --params prices={prices}"
    ):
        world.update(prices)


def test_a_half_delivered_day_is_refused_and_the_whole_one_taken(world: World) -> None:
    half = MARKET.filter((pl.col("Date") < DAYS[-1]) | (pl.col("Code") < "C05"))
    with pytest.raises(DataError, match=rf"{DAYS[-1]} has 5 traded listings, usually there are 12: its prices look"):
        world.update(world.prices(100, half))
    world.update(world.prices(100))
    assert str(world.panel.dates[-1]) == str(DAYS[-1])


def test_a_half_day_that_was_built_in_is_no_dead_end(world: World) -> None:
    """The stages that build everything took it; the whole day is told apart from nothing new."""
    half = MARKET.filter((pl.col("Date") < DAYS[-1]) | (pl.col("Code") < "C05"))
    world.build(world.prices(100, half))
    whole = world.prices(100)
    with pytest.raises(ArtifactError, match=rf"delivered in full later.*rebuild with: .*--params prices={whole}"):
        world.update(whole)


def test_ingest_saves_nothing_of_prices_that_leave_nothing_in_the_universe(world: World) -> None:
    prices = world.prices(100, MARKET.with_columns(pl.col("Volume") / 1e4))
    with pytest.raises(DataError, match=r"no row of 1,200 is in the universe: dollar volume too low in 1,200"):
        ingest_prices(prices, None, INGEST)
    with pytest.raises(DataError, match=r"no row of 1,200 is in the universe"):
        world.update(prices)

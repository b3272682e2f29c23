"""The chain from raw prices to scores as replaceable steps, and one run of it."""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from atft_pipeline.features.build import build_features
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig, ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.prices.ingest import IngestConfig, IngestResult, ingest
from atft_pipeline.prices.listings import read_listings
from atft_pipeline.prices.prepared import summarise_prepared
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.returns import daily_returns
from atft_pipeline.scoring.scorer import STREAMED, Scorer
from atft_pipeline.training.checkpoint.model import ModelCard, load_model, panel_for
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import MarketData
from atft_pipeline.training.runtime.runtime import choose_runtime

AHEAD = 5


@dataclass(frozen=True)
class Steps:
    """The steps of the chain; each may be replaced, which is how the audit itself is tested.

    Attributes:
        ingest: prices file, listings file or ``None`` -> clean prices and listings.
        features: clean prices, listings, folder to fill, first day to write or ``None`` for all.
        panel: folder of features, listings, file to write.
        graphs: clean prices, panel, file to write.
        score: panel, graphs, days -> Date, Listing, ``score_{h}``; ``None`` without a trained model.
    """

    ingest: Callable[[Path, Path | None], IngestResult]
    features: Callable[[pl.DataFrame, pl.DataFrame, Path, dt.date | None], None]
    panel: Callable[[Path, pl.DataFrame, Path], None]
    graphs: Callable[[pl.DataFrame, Panel, Path], None]
    score: Callable[[Panel, MonthlyGraphs, list[int]], pl.DataFrame] | None = None


@dataclass(frozen=True)
class World:
    """Every artifact that one set of raw prices leads to.

    Attributes:
        clean: clean prices with InUniverse.
        features: the feature table with labels.
        panel: the panel.
        graphs: the monthly graphs.
        scores: Date, Listing, ``score_{h}`` of the audited days, or ``None`` without a model.
    """

    clean: pl.DataFrame
    features: pl.DataFrame
    panel: Panel
    graphs: MonthlyGraphs
    scores: pl.DataFrame | None


def real_steps(
    config: IngestConfig,
    features: FeaturesConfig,
    panel: PanelConfig,
    graphs: GraphConfig,
    model: Path | None,
    runtime: RuntimeConfig,
) -> Steps:
    """The project's own steps under its own parameters.

    Args:
        config: of ingest. With ``prepared``, what enters is the table as it was read already.
        features: of the features.
        panel: of the panel.
        graphs: of the graphs.
        model: folder of a trained model, or ``None``.
        runtime: where it computes.
    """

    def write_features(clean: pl.DataFrame, listings: pl.DataFrame, folder: Path, since: dt.date | None) -> None:
        build_features(clean, listings, features, folder, since=since)

    def write_panel(folder: Path, listings: pl.DataFrame, path: Path) -> None:
        build_panel(folder, listings.to_arrow(), path, panel)

    def write_graphs(clean: pl.DataFrame, built: Panel, path: Path) -> None:
        build_graphs(
            daily_returns(clean, built.dates, built.listings),
            built.dates,
            built.listings,
            built.sector,
            built.market,
            graphs,
            built.meta.index_fingerprint,
            path,
            {},
        )

    return Steps(
        ingest=partial(_prepared, config.prices) if config.prepared.returns else partial(_ingest, config),
        features=write_features,
        panel=write_panel,
        graphs=write_graphs,
        score=partial(_score, model, runtime) if model is not None else None,
    )


def build_world(
    prices: pl.DataFrame, listings: pl.DataFrame | None, steps: Steps, folder: Path, days: int, last: np.datetime64
) -> World:
    """Run the chain in a folder of its own.

    Args:
        prices: raw prices.
        listings: raw listings, or ``None``.
        steps: the chain.
        folder: made here.
        days: newest days up to ``last`` that are scored.
        last: the audited date.
    """
    folder.mkdir(parents=True)
    prices.write_parquet(folder / "prices.parquet")
    table = None
    if listings is not None:
        table = folder / "listings.parquet"
        listings.write_parquet(table)
    result = steps.ingest(folder / "prices.parquet", table)
    steps.features(result.prices, result.listings, folder / "features", None)
    steps.panel(folder / "features", result.listings, folder / "panel.arrow")
    panel = Panel.open(folder / "panel.arrow")
    steps.graphs(result.prices, panel, folder / "graphs.arrow")
    graphs = MonthlyGraphs.open(folder / "graphs.arrow")
    scores = None
    if steps.score is not None:
        wanted = np.flatnonzero(panel.dates <= last)[-days:]
        scores = steps.score(panel, graphs, wanted.tolist())
    return World(result.prices, pl.read_parquet(folder / "features" / "*.parquet"), panel, graphs, scores)


def _ingest(config: IngestConfig, prices: Path, listings: Path | None) -> IngestResult:
    """Ingest without its information, which would tell of codes that only the scrambled prices have."""
    log = logging.getLogger(ingest.__module__.rpartition(".")[0])
    before = log.level
    log.setLevel(logging.WARNING)
    try:
        return ingest(prices, listings, config)
    finally:
        log.setLevel(before)


def _prepared(config: PricesConfig, table: Path, listings: Path | None) -> IngestResult:
    frame = pl.read_parquet(table)
    return IngestResult(frame, summarise_prepared(frame, read_listings(listings, config)), {})


def _score(model: Path, runtime: RuntimeConfig, panel: Panel, graphs: MonthlyGraphs, days: list[int]) -> pl.DataFrame:
    """Scores from memory, as training and evaluation compute them, and streamed, as prediction does."""
    network, card = load_model(model)
    panel = panel_for(card, _named_as(card, panel))
    # A few days after the last one are loaded with it: a window that looks ahead then finds something.
    first = max(0, days[0] - card.batches.window - AHEAD)
    part = panel.between(first, min(days[-1] + AHEAD, len(panel.dates)))
    # The least a day may hold is a matter of learning; the audit may look at few codes.
    card = replace(card, batches=replace(card.batches, min_listings=1))
    wanted = [day - first for day in days]
    in_memory, streamed = (
        Scorer.on(network, card, MarketData(part, graphs), runtime, residency).frame(wanted, quantiles=False)
        for residency in (_in_memory(runtime), STREAMED)
    )
    return in_memory.with_columns(streamed[f"score_{h}"].alias(f"streamed_{h}") for h in card.horizons)


def _in_memory(runtime: RuntimeConfig) -> ResidencyConfig:
    return ResidencyConfig(mode="host" if choose_runtime(runtime).torch_device.type == "cpu" else "device")


def _named_as(card: ModelCard, panel: Panel) -> Panel:
    """The panel with sectors and markets numbered as in the training: some codes alone have fewer of them."""

    def encode(own: tuple[str, ...], trained: tuple[str, ...], ids: tuple[int, ...]) -> tuple[int, ...]:
        number = {name: place for place, name in enumerate(trained)}
        return tuple(number.get(own[place], 0) for place in ids)

    meta, index = panel.meta, panel.index
    sector = encode(meta.sectors, card.sectors, index.sector)
    market = encode(meta.markets, card.markets, index.market)
    return panel.relabel(replace(meta, sectors=card.sectors, markets=card.markets), sector, market)

"""Stage one: raw prices to clean prices, listings and a report on their quality."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.config import config, within
from atft_pipeline.prices.cleaning.calendar import check_daily
from atft_pipeline.prices.cleaning.clean import CleaningConfig, clean_prices
from atft_pipeline.prices.dividends import total_returns
from atft_pipeline.prices.listings import match_listings, name_others, read_listings, summarise_listings
from atft_pipeline.prices.prepared import PreparedConfig, read_prepared, summarise_prepared
from atft_pipeline.prices.quality_report import quality_report
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.read import read_raw_prices
from atft_pipeline.prices.universe import REASONS, UniverseConfig, add_universe

log = logging.getLogger(__name__)

MARKS = tuple(REASONS)


@config
class IngestConfig:
    """Parameters of the stage.

    Attributes:
        prices: how the files are read.
        cleaning: which rules run.
        universe: the causal mask.
        min_delivered: least fraction of the usual number of traded listings (median of 20 sessions) that the last
            session must have for an update; with fewer its prices look unfinished.
        prepared: the raw input is a prepared feature table; nothing above but the names of Date and Code is used.
    """

    prices: PricesConfig = field(default_factory=PricesConfig)
    cleaning: CleaningConfig = field(default_factory=CleaningConfig)
    universe: UniverseConfig = field(default_factory=UniverseConfig)
    min_delivered: float = within(0.5, 0, 1)
    prepared: PreparedConfig = field(default_factory=PreparedConfig)


@dataclass(frozen=True)
class IngestResult:
    """What the stage gives.

    Attributes:
        prices: Date, Code, Listing, Open, High, Low, Close, Volume, [Vwap], InUniverse, Stock, Tradable, TotalReturn,
            [columns passed through]; sorted by Listing and Date.
        listings: Listing, Code, sector, market, first, last, fund (as of its last row).
        report: plain JSON types.
    """

    prices: pl.DataFrame
    listings: pl.DataFrame
    report: dict[str, Any]


def ingest(prices: Path, listings: Path | None, config: IngestConfig) -> IngestResult:
    """Read, check and clean raw prices, and mark the universe of every day.

    Args:
        prices: Parquet or CSV file, or a folder of them.
        listings: table of Code, sector, market, or ``None``.
        config: parameters.

    Raises:
        DataError: the input is unreadable or breaks its contract; nothing has been written.
    """
    table = read_listings(listings, config.prices)
    if config.prepared.returns:
        ready, coverage = read_prepared(prices, config.prepared, config.prices)
        return IngestResult(ready, summarise_prepared(ready, table), coverage)
    read = read_raw_prices(prices, config.prices)
    raw = read.frame
    table, matching = match_listings(table, raw["Code"])
    # Before any rule: weekly bars would lose most of their days to them and then look like gaps.
    spacing = check_daily(raw, prices)
    if listings is not None:
        log.log(logging.INFO if matching.matched else logging.WARNING, matching.line())
        for note in matching.notes:
            log.info("listings: %s", note)
    cleaned = clean_prices(raw, config.cleaning, table)
    prices_in_full, dividends = total_returns(cleaned.prices, read.reading.dividends, read.reading.preset)
    marked = add_universe(prices_in_full, name_others(table), config.universe)
    summary = summarise_listings(marked, table)
    report = quality_report(raw, cleaned, marked, source=prices, settings=config)
    report["remarks"] += [*spacing, *([] if dividends.known else [dividends.line])]
    reading = read.reading.as_json()
    if dividends.known:
        log.info("prices: %s", dividends.line)
        reading["notes"].append(dividends.line)
    report["reading"] = {**reading, "listings": matching.as_json() if listings is not None else None}
    vwap = [name for name in ("Vwap",) if name in marked.columns]
    first = ["Date", "Code", "Listing", "Open", "High", "Low", "Close", "Volume", *vwap]
    first += ["InUniverse", "Stock", "Tradable", "TotalReturn"]
    rest = [name for name in marked.columns if name not in (*first, *MARKS, "UnadjustedClose")]
    return IngestResult(marked.select(*first, *rest), summary, report)

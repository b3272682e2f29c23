"""The audit passes the real chain and catches leaks that are planted in it."""

import datetime as dt
import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.audit.audit import Audit, audit
from atft_pipeline.audit.chain import Steps, real_steps
from atft_pipeline.audit.config import AuditConfig
from atft_pipeline.audit.fingerprints import search_fingerprints
from atft_pipeline.errors import ConfigError, DataError
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.graphs.build import build_graphs
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.prices.cleaning.clean import CleaningConfig
from atft_pipeline.prices.ingest import IngestConfig, IngestResult, ingest
from atft_pipeline.prices.returns import daily_returns
from atft_pipeline.reporting.audit_table import audit_table
from atft_pipeline.synthetic.market import SampleMarket, SampleMarketConfig, generate
from atft_pipeline.training.config import RuntimeConfig
from tests.audit.planted import with_columns, with_feature

pytestmark = pytest.mark.slow

SETTINGS = AuditConfig(dates=("2020-09-17",), fingerprints=False)
FEATURES = FeaturesConfig(groups=("listing", "market"))


@pytest.fixture(scope="module")
def market() -> SampleMarket:
    return generate(SampleMarketConfig(listings=60, sessions=260, seed=3))


def steps(config: IngestConfig | None = None) -> Steps:
    return real_steps(config or IngestConfig(), FEATURES, PanelConfig(), GraphConfig(), None, RuntimeConfig())


def run(market: SampleMarket, chain: Steps, settings: AuditConfig = SETTINGS) -> Audit:
    return audit(market.prices, market.listings, chain, settings)


def leaks(result: Audit) -> set[str]:
    return {finding.artifact for finding in result.findings if not finding.passed}


def test_the_real_chain_passes(market: SampleMarket, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "atft_pipeline"):
        result = run(market, steps(), replace(SETTINGS, dates=(), count=2, fingerprints=True))
    # What ingest says of the prices in use it must not say of those that the audit invents.
    assert not [record for record in caplog.records if record.name.startswith("atft_pipeline.prices")]
    assert logging.getLogger("atft_pipeline.prices").level == logging.NOTSET
    assert result.passed, audit_table(result.report())
    artifacts = {line["artifact"]: line for line in result.artifacts()}
    assert set(artifacts) == {"clean_prices", "features", "labels", "panel", "graphs", "fingerprints"}
    assert all(line["values"] > 100 for line in artifacts.values())
    json.dumps(result.report(), allow_nan=False)
    text = audit_table(result.report())
    assert "PASSED" in text
    assert max(map(len, text.splitlines())) <= 120


CLOSE = pl.col("Close")
PLANTED: dict[str, pl.Expr] = {
    "full-sample scaling": (CLOSE - CLOSE.mean().over("Listing")) / CLOSE.std().over("Listing"),
    "centred rolling window": CLOSE / CLOSE.rolling_mean(5, center=True, min_samples=1).over("Listing"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_feature_that_sees_the_future_is_named(name: str, market: SampleMarket) -> None:
    result = run(market, with_feature(steps(), PLANTED[name]))
    failed = {finding.item for finding in result.findings if finding.artifact == "features" and not finding.passed}
    assert failed == {"PLANTED"}
    assert "panel" in leaks(result)
    assert "PLANTED" in audit_table(result.report())


def test_a_label_shifted_by_one(market: SampleMarket) -> None:
    """The label of a day is the return that ends on it: it needs no future, so it cannot be a label."""
    chain = steps()

    def write(clean: pl.DataFrame, listings: pl.DataFrame, folder: Path, since: dt.date | None) -> None:
        chain.features(clean, listings, folder, since)
        for path in sorted(folder.glob("*.parquet")):
            table = pl.read_parquet(path)
            past = clean.select(
                "Date", "Listing", shifted=(CLOSE / CLOSE.shift(1).over("Listing") - 1).cast(pl.Float32)
            )
            joined = table.join(past, on=["Date", "Listing"], how="left", maintain_order="left")
            joined.with_columns(return_1=pl.col("shifted")).drop("shifted").write_parquet(path)

    result = run(market, replace(chain, features=write))
    failed = [finding for finding in result.findings if not finding.passed and finding.artifact == "labels"]
    assert [finding.item for finding in failed] == ["return_1 incomplete"]


def test_targets_that_know_more_than_their_label(market: SampleMarket) -> None:
    """Whole-sample scaling reaches into the future from targets that are complete."""
    scaled = pl.col("target_1") / pl.col("return_1").std().over("Listing")
    result = run(market, with_columns(steps(), target_1=scaled))
    failed = {(finding.artifact, finding.item) for finding in result.findings if not finding.passed}
    assert failed == {("labels", "target_1 complete"), ("panel", "labels")}


def test_cleaning_that_needs_the_next_day(market: SampleMarket) -> None:
    """A tick on the audited day itself is voided only where the next day undoes it."""
    last = pl.lit(SETTINGS.dates[0]).str.to_date()
    code = market.prices.filter((pl.col("Date") == last) & (pl.col("Volume") > 0))["Code"][7]
    ticked = (pl.col("Date") == last) & (pl.col("Code") == code)
    # Loud volume: the causal rule lets it stand.
    prices = market.prices.with_columns(
        pl.when(ticked).then(2 * pl.col(name)).otherwise(name).alias(name) for name in ("Close", "High")
    ).with_columns(Volume=pl.when(ticked).then(pl.col("Volume") * 100).otherwise("Volume"))
    dirty = replace(market, prices=prices)
    assert run(dirty, steps()).passed
    seeing = steps(IngestConfig(cleaning=CleaningConfig(skip=())))
    assert "clean_prices" in leaks(run(dirty, seeing))


def test_survivorship_by_the_universe_of_the_last_day(market: SampleMarket) -> None:
    def survivors(prices: Path, listings: Path | None) -> IngestResult:
        result = ingest(prices, listings, IngestConfig())
        alive = result.prices.filter(pl.col("Date") == pl.col("Date").max())["Listing"]
        kept = pl.col("InUniverse") & pl.col("Listing").is_in(alive.implode())
        return replace(result, prices=result.prices.with_columns(InUniverse=kept))

    result = run(market, replace(steps(), ingest=survivors))
    failed = {finding.item for finding in result.findings if finding.artifact == "clean_prices" and not finding.passed}
    assert failed == {"InUniverse"}


def test_a_graph_that_sees_its_own_month(market: SampleMarket) -> None:
    def graphs(clean: pl.DataFrame, panel: Panel, path: Path) -> None:
        returns = daily_returns(clean, panel.dates, panel.listings)
        shifted = np.full_like(returns, np.nan)
        shifted[:-15] = returns[15:]
        build_graphs(
            shifted,
            panel.dates,
            panel.listings,
            panel.sector,
            panel.market,
            GraphConfig(),
            panel.meta.index_fingerprint,
            path,
            {},
        )

    result = run(market, replace(steps(), graphs=graphs))
    assert leaks(result) == {"graphs"}
    failed = [finding.item for finding in result.findings if not finding.passed]
    assert failed == ["2020-09"]


def table_with(feature: Callable[[np.ndarray], np.ndarray]) -> pl.DataFrame:
    """Random walks of 120 listings over 900 days and one feature made from their log prices."""
    rng = np.random.default_rng(0)
    days, listings = 900, 120
    log_price = np.cumsum(rng.normal(0, 0.02, (days, listings)), axis=0)
    table = {
        "Date": np.repeat(np.arange(np.datetime64("2018-01-01"), np.datetime64("2018-01-01") + days), listings),
        "Listing": [f"L{number:03d}" for number in range(listings)] * days,
        "InUniverse": [True] * (days * listings),
        "feature": feature(log_price).ravel(),
    }
    for horizon in (1, 5, 20):
        future = np.full_like(log_price, np.nan)
        future[:-horizon] = np.expm1(log_price[horizon:] - log_price[:-horizon])
        table[f"return_{horizon}"] = future.ravel()
    return pl.DataFrame(table)


def test_the_search_finds_full_sample_scaling_in_a_ready_made_column() -> None:
    scaled = table_with(lambda x: (x - x.mean(axis=0)) / x.std(axis=0))
    found = list(search_fingerprints(scaled, ("feature",), (1, 5, 20)))
    assert not found[0].passed
    assert found[0].score == "itself"
    ic = found[0].rank_ic
    assert abs(ic[20]) > 2 * abs(ic[1])


@pytest.mark.parametrize(
    "honest",
    [
        lambda x: x,
        lambda x: np.diff(x, axis=0, prepend=x[:1]),
        lambda x: np.random.default_rng(1).standard_normal(x.shape),
        # A real signal that fades: tomorrow's return in noise.
        lambda x: (
            np.roll(np.diff(x, axis=0, prepend=x[:1]), -1, axis=0) / 0.02
            + 5 * np.random.default_rng(1).standard_normal(x.shape)
        ),
    ],
)
def test_the_search_passes_honest_features(honest: Callable[[np.ndarray], np.ndarray]) -> None:
    found = list(search_fingerprints(table_with(honest), ("feature",), (1, 5, 20)))
    assert all(item.passed for item in found)


def test_bad_dates_are_named(market: SampleMarket) -> None:
    with pytest.raises(DataError, match="2031-01-01 leaves no session"):
        run(market, steps(), replace(SETTINGS, dates=("2031-01-01",)))
    with pytest.raises(ConfigError, match="ISO dates"):
        AuditConfig(dates=("yesterday",))


def test_fewer_codes_and_sessions(market: SampleMarket) -> None:
    settings = replace(SETTINGS, codes=40, sessions=120)
    result = run(market, steps(), settings)
    assert result.passed
    assert result.findings[0].checked <= 40 * 120 * 1.1

"""Every kind of leak that the audit exists for, planted into a tiny market: the audit fails on each."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from atft_pipeline.audit import audit as auditing
from atft_pipeline.audit import chain, newest, tables
from atft_pipeline.audit.audit import audit
from atft_pipeline.audit.chain import Steps, real_steps
from atft_pipeline.audit.config import AuditConfig
from atft_pipeline.audit.known import check_listings, check_parts
from atft_pipeline.audit.newest import check_update
from atft_pipeline.audit.prices import check_prices, check_reading
from atft_pipeline.audit.stored import Stored, draw_places
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.graphs import build as graph_build
from atft_pipeline.graphs.graphs import AlignedGraphs
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import ModelConfig
from atft_pipeline.model.ensemble import Ensemble
from atft_pipeline.panel.config import BatchConfig, PanelConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import DayCache, ResidentPanel
from atft_pipeline.prices.ingest import IngestConfig, IngestResult
from atft_pipeline.prices.prepared import PreparedConfig
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.read import read_prices
from atft_pipeline.reporting.audit_table import audit_table
from atft_pipeline.synthetic.market import SampleMarket, SampleMarketConfig, generate
from atft_pipeline.training.build import input_spec
from atft_pipeline.training.checkpoint.model import Member, ModelCard, columns_hash
from atft_pipeline.training.config import RuntimeConfig
from tests.audit.planted import (
    CLOSE,
    FEATURES,
    GRAPHS,
    NEXT,
    build_stored,
    failing,
    honest_steps,
    with_columns,
    with_feature,
)

pytestmark = pytest.mark.slow

PRICES = ("Open", "High", "Low", "Close")


@pytest.fixture(scope="module")
def market() -> SampleMarket:
    """60 listings over a year; some closes are missing."""
    made = generate(SampleMarketConfig(listings=60, sessions=260, seed=3))
    gone = np.random.default_rng(0).random(made.prices.height) < 0.01
    voided = (pl.when(pl.Series(gone)).then(None).otherwise(pl.col(name)).alias(name) for name in PRICES)
    return replace(made, prices=made.prices.with_columns(voided))


@pytest.fixture(scope="module")
def honest(market: SampleMarket, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    return build_stored(market, honest_steps(), tmp_path_factory.mktemp("honest"))


def test_an_honest_chain_passes(market: SampleMarket, honest: Stored) -> None:
    assert not failing(market, honest_steps(), honest, cuts=12)


def last_days(share: float, expression: pl.Expr) -> pl.Expr:
    """An expression on the last days alone, 0 before."""
    day = pl.col("Date").rank("dense")
    return pl.when(day > day.max() * (1 - share)).then(expression).otherwise(0.0)


def one_listing(expression: pl.Expr) -> pl.Expr:
    return pl.when(pl.col("Listing") == pl.col("Listing").unique().sort().get(7)).then(expression).otherwise(0.0)


@pytest.mark.parametrize(
    ("feature", "parts"),
    [
        (last_days(0.1, NEXT), {"stored features", "belief"}),
        (last_days(0.1, -5 * NEXT), {"stored features", "belief"}),
        (one_listing(last_days(0.06, NEXT)), {"stored features"}),
        (one_listing(CLOSE.mean().over("Listing")), {"stored features"}),
        (CLOSE.shift(-2).over("Listing") > CLOSE, {"stored features", "belief"}),
    ],
)
def test_a_feature_that_knows_the_future_at_the_end_or_of_one_listing(
    feature: pl.Expr, parts: set[str], market: SampleMarket, tmp_path: Path
) -> None:
    steps = with_feature(honest_steps(), feature)
    failed = failing(market, steps, build_stored(market, steps, tmp_path))
    assert set(failed) == parts
    assert {finding.item for finding in failed["stored features"]} == {"PLANTED"}


def test_listings_that_rarely_trade_move_the_ranks_of_others(
    market: SampleMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what is near a day is rebuilt: some listings lack their history there, and no false alarm comes of it."""
    monkeypatch.setattr(tables, "HISTORY", 61)
    monkeypatch.setattr(tables, "MEMORY", 80)
    how = FeaturesConfig(groups=("alpha158",))
    codes = market.prices["Code"].unique().sort()[:4]
    day = pl.col("Date").rank("dense").cast(pl.Int64)
    sparse = replace(market, prices=market.prices.filter((day % 3 == 0) | ~pl.col("Code").is_in(codes.implode())))
    stored = build_stored(sparse, honest_steps(how), tmp_path, how)
    assert not failing(sparse, honest_steps(how), stored, cuts=6)
    (tmp_path / "false").mkdir()
    steps = with_feature(honest_steps(how), one_listing(CLOSE.shift(-1).over("Listing")))
    failed = failing(sparse, steps, build_stored(sparse, steps, tmp_path / "false", how), cuts=3)
    assert {finding.item for finding in failed["stored features"]} == {"PLANTED"}


def filled(prices: pl.DataFrame) -> pl.DataFrame:
    return prices.with_columns(pl.col(*PRICES).fill_null(strategy="backward").over("Listing"))


def filled_forward(prices: pl.DataFrame) -> pl.DataFrame:
    return prices.with_columns(pl.col(*PRICES).fill_null(strategy="forward").over("Listing"))


def with_rows(prices: pl.DataFrame) -> pl.DataFrame:
    """A row of every listing on every session, filled from the next one."""
    days, names = prices.select("Date").unique(), prices.select("Listing", "Code").unique()
    full = (
        names.join(days, how="cross").join(prices, on=["Listing", "Code", "Date"], how="left").sort("Listing", "Date")
    )
    return filled(full).with_columns(pl.col("InUniverse").fill_null(value=False))


@pytest.mark.parametrize("fill", [filled, filled_forward, with_rows])
def test_prices_that_were_filled(
    fill: Callable[[pl.DataFrame], pl.DataFrame], market: SampleMarket, honest: Stored
) -> None:
    found = {finding.item: finding for finding in check_prices(market.prices, fill(honest.clean))}
    assert not found["Close"].passed
    assert "has no such raw value" in found["Close"].first
    assert all(finding.passed for finding in check_prices(market.prices, honest.clean))


def test_files_whose_gaps_were_filled_while_they_were_read(market: SampleMarket, tmp_path: Path) -> None:
    market.prices.filter(pl.col("Date") < dt.date(2020, 6, 1)).write_parquet(tmp_path / "one.parquet")
    market.prices.filter(pl.col("Date") >= dt.date(2020, 6, 1)).write_parquet(tmp_path / "two.parquet")
    read = read_prices(tmp_path, PricesConfig())
    assert [finding.passed for finding in check_reading(tmp_path, read)] == [True]
    backward = read.sort("Code", "Date").with_columns(pl.col("Close").fill_null(strategy="backward").over("Code"))
    for wrong in (backward, pl.concat([read, read.head(1).with_columns(Date=pl.lit(dt.date(2019, 1, 1)))])):
        assert [finding.passed for finding in check_reading(tmp_path, wrong)] == [False]
    # Other columns may be what is read: nothing can be said.
    market.prices.with_columns(AdjClose=pl.col("Close")).write_parquet(tmp_path / "two.parquet")
    assert not list(check_reading(tmp_path, backward))


RETURN, TARGET = pl.col("return_1"), pl.col("target_5")
DEVIATION = pl.col("return_5").std().over("Listing")
ALL_SAMPLE = {
    "returns a day off": ({"return_1": RETURN.shift(1).over("Listing")}, {"return_1"}),
    "returns a day ahead": ({"return_1": RETURN.shift(-1).over("Listing")}, {"return_1"}),
    "targets a day off": ({"target_5": TARGET.shift(1).over("Listing")}, {"target_5"}),
    "targets by full-sample volatility": ({"target_5": TARGET / (50 * DEVIATION)}, {"target_5"}),
    "ranks of returns by full-sample volatility": (
        {"target_5": ((pl.col("return_5") / DEVIATION).rank().over("Date") / 30 - 1).cast(pl.Float32)},
        {"target_5"},
    ),
}


@pytest.mark.parametrize("name", ALL_SAMPLE)
def test_labels_that_are_not_the_returns_of_the_prices(name: str, market: SampleMarket, tmp_path: Path) -> None:
    columns, items = ALL_SAMPLE[name]
    steps = with_columns(honest_steps(), **columns)
    failed = failing(market, steps, build_stored(market, steps, tmp_path), cuts=2)
    assert items <= {finding.item for finding in failed["stored labels"]} <= {*items, items.copy().pop()[-8:]}


def test_a_panel_joined_a_day_off(market: SampleMarket, tmp_path: Path) -> None:
    honest = honest_steps()

    def panel(features: Path, listings: pl.DataFrame, path: Path) -> None:
        moved = path.parent / "moved"
        moved.mkdir()
        whole = pl.concat([pl.read_parquet(month) for month in sorted(features.glob("*.parquet"))])
        column = whole.columns[5]
        off = whole.sort("Listing", "Date").with_columns(pl.col(column).shift(-1).over("Listing").fill_null(0.0))
        for (month,), rows in off.sort("Date", "Listing").group_by(
            pl.col("Date").dt.strftime("%Y-%m"), maintain_order=True
        ):
            rows.write_parquet(moved / f"{month}.parquet")
        (moved / "features.json").write_text((features / "features.json").read_text())
        honest.panel(moved, listings, path)

    steps = replace(honest, panel=panel)
    failed = failing(market, steps, build_stored(market, steps, tmp_path))
    assert [finding.item for finding in failed["stored panel"]] == ["features"]


@pytest.mark.parametrize("label", ["close_to_close", "open_to_open"])
def test_other_labels_pass_and_fail_alike(label: Any, market: SampleMarket, tmp_path: Path) -> None:
    how = replace(FEATURES, label=label, target_normalisation="robust_z", horizons=(1, 5))
    steps = honest_steps(how)
    (tmp_path / "true").mkdir()
    (tmp_path / "false").mkdir()
    assert not failing(market, steps, build_stored(market, steps, tmp_path / "true", how), cuts=1)
    wrong = with_columns(steps, target_1=pl.col("target_1").shift(-1).over("Listing"))
    failed = failing(market, wrong, build_stored(market, wrong, tmp_path / "false", how), cuts=1)
    assert [finding.item for finding in failed["stored labels"]] == ["target_1"]


def test_a_graph_whose_window_ends_a_day_late(
    market: SampleMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = graph_build.plan_months

    def ahead(dates: Any, config: Any) -> Any:
        return [(month, start + 1, min(stop + 1, len(dates))) for month, start, stop in plan(dates, config)]

    monkeypatch.setattr(graph_build, "plan_months", ahead)
    failed = failing(market, honest_steps(), build_stored(market, honest_steps(), tmp_path))
    assert set(failed) == {"stored graphs"}
    assert len(failed["stored graphs"]) > 3


def test_a_graph_of_returns_a_day_ahead(market: SampleMarket, tmp_path: Path) -> None:
    honest = honest_steps()

    def graphs(clean: pl.DataFrame, panel: Panel, path: Path) -> None:
        honest.graphs(clean.with_columns(pl.col("Close").shift(-1).over("Listing")), panel, path)

    steps = replace(honest, graphs=graphs)
    assert set(failing(market, steps, build_stored(market, steps, tmp_path))) == {"stored graphs"}


def test_days_that_are_served_by_the_graph_of_the_next_month(
    market: SampleMarket, honest: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = AlignedGraphs.month_of_day.fget
    assert served is not None
    ahead = property(lambda self: np.minimum(served(self) + 1, len(self.graphs) - 1))
    monkeypatch.setattr(AlignedGraphs, "month_of_day", ahead)
    failed = failing(market, honest_steps(), honest)
    assert set(failed) == {"stored graphs", "windows"}
    assert [finding.item for finding in failed["stored graphs"]] == ["month of each day"]


def dense_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows from memory end a day late; those from the map do not."""
    windows = ResidentPanel.windows

    def ahead(self: ResidentPanel, days: torch.Tensor, listing: torch.Tensor, steps: int) -> Any:
        late = 0 if self.choice.value == "mmap" else 1
        return windows(self, (days + late).clamp(max=len(self.present) - 1), listing, steps)

    monkeypatch.setattr(ResidentPanel, "windows", ahead)


def test_windows_a_day_ahead_in_memory(market: SampleMarket, honest: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    dense_ahead(monkeypatch)
    failed = failing(market, honest_steps(), honest)
    assert set(failed) == {"windows"}
    assert {finding.item for finding in failed["windows"]} >= {"features host"}
    assert not any("mmap" in finding.item for finding in failed["windows"])


def test_windows_a_day_ahead_in_the_stream(
    market: SampleMarket, honest: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = DayCache._read
    last = honest.panel.shape[0]
    monkeypatch.setattr(DayCache, "_read", lambda self, day: read(self, min(day + 1, self._panel.shape[0] - 1)))
    assert last
    failed = failing(market, honest_steps(), honest)
    assert {finding.item for finding in failed["windows"]} == {"features mmap"}


def test_targets_of_the_next_day_in_memory(
    market: SampleMarket, honest: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = ResidentPanel.__init__

    def off(self: ResidentPanel, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        self.targets = self.targets.roll(-1, dims=0)

    monkeypatch.setattr(ResidentPanel, "__init__", off)
    failed = failing(market, honest_steps(), honest)
    assert {finding.item for finding in failed["windows"]} == {"targets host", "targets mmap"}


def spans(panel: Panel, first: int, stop: int) -> list[list[str]]:
    return [[panel.index.dates[first], panel.index.dates[stop - 1]]]


def card(panel: Panel, train: int = 100, validation: int = 150, test: int = 200, **other: tuple[int, int]) -> Any:
    """Training to ``train``, validation from 130 to ``validation``, test from ``test`` on."""
    parts = {
        "train": (0, train),
        "validation": (130, validation),
        "test": (test, 250),
        "read_train": (19, train),
        "read_validation": (130, validation),
    }
    named = {name: spans(panel, *ends) for name, ends in {**parts, **other}.items()}
    return {"origin": {**named, "purge": 20, "embargo": 5}}


@pytest.mark.parametrize(
    ("changes", "items"),
    [
        ({"train": 130}, {"train to validation", "read_train to read_validation"}),
        ({"train": 108}, {"train to validation", "read_train to read_validation"}),
        ({"validation": 200}, {"validation to test", "read_validation to test"}),
        ({"read_validation": (200, 250)}, {"read_validation to test", "validation reads its own days"}),
        (
            {"read_train": (19, 210)},
            {"read_train to read_validation", "read_train to test", "train reads its own days"},
        ),
    ],
)
def test_days_of_training_that_touch_the_test(changes: dict[str, Any], items: set[str], honest: Stored) -> None:
    """No purge between the parts, the best epoch picked on test days, a training that read further."""
    good = list(check_parts(replace(honest, card=card(honest.panel))))
    assert good
    assert all(finding.passed for finding in good)
    found = check_parts(replace(honest, card=card(honest.panel, **changes)))
    assert {finding.item for finding in found if not finding.passed} == items


@pytest.mark.parametrize("column", ["Date", "as_of", "EffectiveDate"])
def test_sectors_from_the_future(column: str, market: SampleMarket, honest: Stored, tmp_path: Path) -> None:
    first = honest.clean["Date"].min()
    assert isinstance(first, dt.date)
    dated = market.listings.with_columns(pl.lit(first).alias(column))
    dated.write_parquet(tmp_path / "known.parquet")
    found, hashes = check_listings(tmp_path / "known.parquet", honest, PricesConfig())
    assert [finding.passed for finding in found] == [True, True]
    assert list(hashes) == [str(first)]
    late = pl.when(pl.col("Code") == dated["Code"][5]).then(pl.lit(dt.date(2020, 9, 1))).otherwise(pl.col(column))
    dated.with_columns(late.alias(column)).write_parquet(tmp_path / "late.parquet")
    found, hashes = check_listings(tmp_path / "late.parquet", honest, PricesConfig())
    assert not found[0].passed
    assert f"{dated['Code'][5]}: " in found[0].first
    assert list(hashes) == [str(first), "2020-09-01"]
    market.listings.write_parquet(tmp_path / "undated.parquet")
    found, hashes = check_listings(tmp_path / "undated.parquet", honest, PricesConfig())
    assert not found
    assert list(hashes) == ["undated"]


def test_an_update_that_completes_no_labels(
    market: SampleMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = market.prices.filter(pl.col("Date") >= dt.date(2020, 9, 1))
    (tmp_path / "true").mkdir()
    (tmp_path / "false").mkdir()
    assert all(found.passed for found in check_update(rows, None, honest_steps(), FEATURES, tmp_path / "true"))
    append = newest.append_days
    monkeypatch.setattr(newest, "append_days", lambda *args: append(*args[:4], None))
    found = {one.item: one.passed for one in check_update(rows, None, honest_steps(), FEATURES, tmp_path / "false")}
    assert found == {"features": True, "labels": False}


def scoring(monkeypatch: pytest.MonkeyPatch, panel: Panel, steps: Steps) -> Steps:
    """The chain with an untrained model of that panel; nothing but its days and inputs matters here."""
    torch.manual_seed(0)
    batches = BatchConfig()
    network = ATFTGATFAN(ModelConfig(width=16), input_spec(panel.meta, batches.window)).eval()
    meta = panel.meta
    made = ModelCard(
        model=network.config,
        spec=network.spec,
        batches=batches,
        panel=meta.fingerprint,
        origin=None,  # type: ignore[arg-type]  only a check reads it that this audit leaves out
        members=(Member(network.switches, {}),),
        columns=columns_hash(meta),
        **{name: getattr(meta, name) for name in ("horizons", "label", "sectors", "markets")},
    )
    monkeypatch.setattr(chain, "load_model", lambda _: (Ensemble([network]).eval(), made))
    return replace(steps, score=lambda *args: chain._score(Path(), RuntimeConfig(device="cpu"), *args))


QUICK = AuditConfig(dates=("2020-09-17",), fingerprints=False)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer days in every audit."""
    monkeypatch.setattr(auditing, "AFTER", 20)
    monkeypatch.setattr(auditing, "CUTS", 1)
    monkeypatch.setattr(auditing, "SCORE_DAYS", 3)


@pytest.mark.usefixtures("_small")
def test_scores_from_memory_and_streamed(market: SampleMarket, honest: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = scoring(monkeypatch, honest.panel, honest_steps())
    result = audit(market.prices, market.listings, steps, QUICK)
    assert result.passed
    scores = {finding.item for finding in result.findings if finding.artifact == "scores"}
    assert scores >= {"score_1", "streamed_1", "score_20", "streamed_20"}
    few = audit(market.prices, market.listings, steps, replace(QUICK, codes=10))
    assert few.passed
    dense_ahead(monkeypatch)
    result = audit(market.prices, market.listings, steps, QUICK)
    failed = {finding.item for finding in result.findings if not finding.passed}
    assert {item for item in failed if item != "rows"} == {f"score_{horizon}" for horizon in FEATURES.horizons}


def test_all_features_and_a_model_know_nothing_of_the_future(
    market: SampleMarket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = FeaturesConfig()
    monkeypatch.setattr(auditing, "CUTS", 2)
    stored = build_stored(market, honest_steps(how), tmp_path, how)
    steps = scoring(monkeypatch, stored.panel, honest_steps(how))
    result = audit(market.prices, market.listings, steps, replace(QUICK, count=1), stored)
    assert result.passed, audit_table(result.report())
    checked = {line["artifact"]: line["values"] for line in result.artifacts()}
    assert checked["features"] > 1_000_000
    assert checked["scores"] > 2_000
    assert checked["update"] > 100_000


@pytest.mark.usefixtures("_small")
def test_names_that_look_like_markup(market: SampleMarket) -> None:
    steps = with_feature(honest_steps(), CLOSE.shift(-1).over("Listing"), name="x[/b]")
    result = audit(market.prices, market.listings, steps, QUICK)
    assert not result.passed
    assert "x[/b]" in audit_table(result.report())


@pytest.mark.usefixtures("_small")
def test_the_table_says_what_was_not_looked_at(market: SampleMarket, honest: Stored) -> None:
    result = audit(market.prices, market.listings, honest_steps(), QUICK, honest)
    text = audit_table(result.report())
    assert "there is no trained model" in text
    assert "not looked at: sessions between" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 120


def test_places_cover_all_stretches_and_the_last() -> None:
    places = draw_places(12, 20, 260, seed=0)
    assert places[-1] == 259
    assert max(np.diff([20, *places])) <= 40
    assert draw_places(3, 5, 5, seed=0) == []


def ingest_with(change: Callable[[pl.DataFrame], pl.DataFrame], steps: Steps) -> Steps:
    def changed(prices: Path, listings: Path | None) -> IngestResult:
        result = steps.ingest(prices, listings)
        return replace(result, prices=change(result.prices))

    return replace(steps, ingest=changed)


def test_filling_in_the_chain_is_found_in_its_artifacts(market: SampleMarket, tmp_path: Path) -> None:
    steps = ingest_with(filled, honest_steps())
    failed = failing(market, steps, build_stored(market, steps, tmp_path), cuts=2)
    assert {finding.item for finding in failed["prices"]} >= set(PRICES)


def prepared(market: SampleMarket) -> pl.DataFrame:
    """A table as read: features and labels of its own, no prices."""
    priced = market.prices.unique(["Code", "Date"], keep="last").sort("Code", "Date")
    close = pl.col("Close")
    return priced.select(
        "Date",
        "Code",
        Listing=pl.col("Code"),
        InUniverse=pl.lit(value=True),
        momentum=(close / close.shift(5) - 1).over("Code"),
        size=pl.col("Volume").cast(pl.Float64),
        return_1=(close.shift(-1) / close - 1).over("Code"),
        return_5=(close.shift(-5) / close - 1).over("Code"),
    ).sort("Listing", "Date")


@pytest.mark.usefixtures("_small")
def test_a_prepared_table_is_audited(market: SampleMarket, tmp_path: Path) -> None:
    how = FeaturesConfig(groups=(), passthrough=("*",), horizons=(1, 5))
    reading = IngestConfig(prepared=PreparedConfig(returns={1: "return_1", 5: "return_5"}))
    steps = real_steps(reading, how, PanelConfig(), GRAPHS, None, RuntimeConfig())
    for name, change in {
        "honest": pl.col("size"),
        "leaking": last_days(0.1, pl.col("return_1")),
    }.items():
        table = prepared(market).with_columns(size=change)
        (tmp_path / name).mkdir()
        stored = build_stored(replace(market, prices=table), steps, tmp_path / name, how)
        result = audit(table, market.listings, steps, QUICK, stored)
        failed = {finding.artifact for finding in result.findings if not finding.passed}
        assert failed == (set() if name == "honest" else {"belief"}), audit_table(result.report())
        assert "nothing here saw how they were made" in audit_table(result.report())

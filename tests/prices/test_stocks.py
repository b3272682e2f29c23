"""What is no stock: planted funds, bonds, preferreds and codes in a small market of stocks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.prices.stocks import CALM, CLASS, FUND, NAMED, PAR, STOCK_REASONS, StocksConfig
from atft_pipeline.prices.universe import UniverseConfig, add_universe
from atft_pipeline.prices.universe_check import require_universe
from atft_pipeline.reporting.quality_page import quality_page
from atft_pipeline.reporting.quality_table import quality_table
from tests.prices.frames import weekdays

SESSIONS = 300
STOCKS = 40
OPEN = UniverseConfig(min_price=0, min_dollar_volume=0, min_history=1)
NONE = pl.Series([], dtype=pl.String)


def market(sessions: int = SESSIONS, seed: int = 0, rename: dict[str, str] | None = None) -> pl.DataFrame:
    """Forty stocks of one market and what is none: Date, Code, Listing and a bar.

    ``UTIL`` is a stock that moves half as much as the others, ``BETA`` one that follows the market closely.
    """
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 0.008, sessions)
    returns = {f"S{number:02d}": common + rng.normal(0, 0.016, sessions) for number in range(STOCKS)}
    returns["UTIL"] = 0.4 * common + rng.normal(0, 0.008, sessions)
    returns["BETA"] = 1.5 * common + rng.normal(0, 0.010, sessions)
    returns["INDEX"] = common + rng.normal(0, 0.002, sessions)
    returns["SHORT"] = -common + rng.normal(0, 0.002, sessions)
    returns["BOND"] = rng.normal(0, 0.003, sessions)
    returns["CASH"] = np.full(sessions, 1e-4)
    closes = {name: 60 * np.exp(np.cumsum(own)) for name, own in returns.items()}
    # A preferred that is called at 25: it moves as far as a stock in a day, and comes back.
    closes["PREF"] = 25 + rng.uniform(-0.4, 0.4, sessions)
    parts = []
    for name, close in closes.items():
        code = (rename or {}).get(name, name)
        bar = {"Open": close, "High": close * 1.001, "Low": close * 0.999, "Close": close}
        volume = np.floor(rng.uniform(5e4, 1e5, sessions))
        parts.append(pl.DataFrame({"Date": weekdays(sessions), "Code": [code] * sessions, **bar, "Volume": volume}))
    return pl.concat(parts).sort("Code", "Date").with_columns(Listing="Code")


def last_day(frame: pl.DataFrame, named: pl.Series = NONE, **settings: object) -> dict[str, list[str]]:
    """Codes that each reason keeps out on the last day; ``in`` has those in the universe."""
    config = replace(OPEN, stocks=StocksConfig(**settings))  # type: ignore[arg-type]
    marked = add_universe(frame, named, config)
    last = marked.filter(pl.col("Date") == marked["Date"].max())
    out = {name: last.filter(pl.col(name))["Code"].to_list() for name in STOCK_REASONS}
    return {name: codes for name, codes in out.items() if codes} | {"in": last.filter("InUniverse")["Code"].to_list()}


def codes_out(codes: list[str]) -> list[str]:
    """Which codes a market of these and of forty plain ones leaves out by their form."""
    frame = market(80, rename={f"S{number:02d}": code for number, code in enumerate(codes)})
    return last_day(frame).get(CLASS, [])


def test_what_moves_like_a_fund_a_bond_or_a_preferred_is_out_and_stocks_stay() -> None:
    found = last_day(market())
    assert set(found[FUND]) >= {"INDEX", "SHORT", "BOND", "CASH"}
    assert found[CALM] == ["BOND", "CASH"]
    assert found[PAR] == ["PREF"]
    stocks = {f"S{number:02d}" for number in range(STOCKS)} | {"UTIL", "BETA"}
    assert set(found["in"]) == stocks
    assert not set(found) - {FUND, CALM, PAR, "in"}


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"min_residual": 0.0, "min_volatility": 0.0}, {"BOND", "CASH"}),
        ({"max_r2": 1.0, "min_residual": 0.0}, {"INDEX", "SHORT"}),
        ({"max_r2": 1.0, "min_residual": 0.0, "min_volatility": 0.0}, {"BOND", "CASH", "INDEX", "SHORT"}),
    ],
)
def test_each_limit_can_be_switched_off(settings: dict[str, float], kept: set[str]) -> None:
    odd = {"INDEX", "SHORT", "BOND", "CASH", "PREF"}
    assert set(last_day(market(), **settings)["in"]) & odd == kept


def test_nothing_is_left_out_where_stocks_is_null() -> None:
    marked = add_universe(market(80), pl.Series(["S00"]), replace(OPEN, stocks=None))
    assert marked["InUniverse"].all()
    assert not marked.select(pl.any_horizontal(*STOCK_REASONS)).to_series().any()


def test_a_stock_stays_through_a_calm_quarter_and_a_fund_stays_out_of_a_wild_one() -> None:
    rng = np.random.default_rng(7)
    frame, days = market(420), weekdays(420)
    calm, wild = rng.normal(0, 0.002, 60), rng.normal(0, 0.02, 60)
    moves = pl.DataFrame({"Date": days[300:360], "S03": calm, "BOND": wild})
    own = pl.col("Close").log().diff().over("Code").fill_null(np.log(60))
    moved = pl.when(pl.col("Code") == "S03").then("S03").when(pl.col("Code") == "BOND").then("BOND")
    frame = frame.join(moves, on="Date", how="left", maintain_order="left").with_columns(
        Close=pl.coalesce(moved, own).cum_sum().over("Code").exp()
    )
    marked = add_universe(frame.with_columns(Open="Close", High="Close", Low="Close"), NONE, OPEN)
    held = marked.filter(pl.col("Date") >= days[290]).group_by("Code").agg(pl.col("InUniverse").mean())
    shares = dict(held.iter_rows())
    assert shares["S03"] == 1.0
    assert shares["BOND"] == 0.0


@pytest.mark.parametrize("seed", [1, 2])
def test_another_future_leaves_every_day_as_it_was(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rename = {"S01": "BAC-L", "S02": "AGNC", "S03": "AGNCP"}
    frame = market(200, rename=rename)
    day = weekdays(200)[150]
    # Other prices, other codes: a class behind a dot that comes later tells what a hyphen means, from then on.
    later = frame.filter(pl.col("Date") > day)
    renamed = pl.col("Code").replace("S09", "BRK.B")
    later = later.with_columns(pl.col("Close") * rng.uniform(0.1, 9, later.height), Code=renamed, Listing=renamed)
    other = pl.concat([frame.filter(pl.col("Date") <= day), later]).sort("Listing", "Date")
    found = [add_universe(each, NONE, OPEN).filter(pl.col("Date") <= day) for each in (frame, other)]
    assert found[0].equals(found[1])
    cut = add_universe(frame.filter(pl.col("Date") <= day), NONE, OPEN)
    assert found[0].equals(cut)
    after = add_universe(other, NONE, OPEN).filter(pl.col("Code") == "BAC-L").select("Date", CLASS)
    assert after.filter(pl.col(CLASS))["Date"].min() == weekdays(200)[151]


def test_codes_of_preferreds_warrants_units_and_rights_are_out_and_classes_stay() -> None:
    stocks = [
        "BRK.B",
        "BF.A",
        "MKC.V",
        "NYSE_AAPL",
        "GOOGL",
        "CMCSA",
        "AGNC",
        "TITAN",
        "7203.T",
        "VOLV-B.ST",
        "0700.HK",
    ]
    stocks += ["AAPL.US", "RIO.L"]
    others = ["NYSE_BAC-L", "BAC-PL", "BAC.PR.K", "BAC-P-M", "BAC^N", "JPMpA", "AGNCP", "ABC-WS", "ABC.U", "XYZ-RT"]
    assert codes_out([*stocks, *others]) == sorted(others)


def test_a_letter_behind_a_hyphen_is_a_class_where_no_class_stands_behind_a_dot() -> None:
    assert codes_out(["BRK-A", "BRK-B", "BF-B", "BAC-PL"]) == ["BAC-PL"]
    assert codes_out(["BRK-A.US", "BRK-B.US", "BAC_L.US", "ABC-WS.US"]) == ["ABC-WS.US", "BAC_L.US"]


@pytest.mark.parametrize("suffix", [".T", ".L", ".SS", ".US", "-U", ".W", ".PR"])
def test_a_suffix_that_all_codes_carry_empties_no_universe(suffix: str) -> None:
    letters = pl.col("Code").str.replace_many(list("0123456789"), list("ABCDEFGHIJ"))
    assert CLASS not in last_day(market(80).with_columns(Code=letters + suffix))


def test_codes_say_nothing_where_the_parameter_is_null() -> None:
    assert CLASS not in last_day(market(80, rename={"S00": "BAC-PL"}), codes=None)


def test_types_of_the_listings_table(tmp_path: Path) -> None:
    frame = market(90)
    types = {"S00": "ETF", "S01": "Preferred Stock", "S02": "WARRANT", "S03": "Unit", "S04": "Notes", "S05": "FUND"}
    types |= {"S06": "Common Stock", "S07": "Common Units", "S08": "ADRC", "S09": "REIT"}
    frame.drop("Listing").write_parquet(tmp_path / "prices.parquet")
    table = pl.DataFrame({"Code": list(types), "Security Type": list(types.values())})
    table.write_csv(tmp_path / "types.csv")
    pl.DataFrame({"Symbol": ["S10", "S11"], "ETF": ["Y", "N"]}).write_csv(tmp_path / "flags.csv")
    for name, out in (("types.csv", [f"S0{number}" for number in range(6)]), ("flags.csv", ["S10"])):
        made = ingest(tmp_path / "prices.parquet", tmp_path / name, IngestConfig())
        left = made.prices.filter(pl.col("Date") == made.prices["Date"].max(), ~pl.col("InUniverse"))["Code"].to_list()
        assert [code for code in left if code.startswith("S") and code != "SHORT"] == out
        assert made.listings.filter("fund")["Code"].to_list()[-len(out) - 1 : -1] == out
        named = {year["year"]: year[STOCK_REASONS[NAMED]] for year in made.report["exclusions"]}
        assert sum(named.values()) == 90 * len(out)


def test_the_counts_stand_on_the_page_and_on_the_terminal(tmp_path: Path) -> None:
    frame = market(120, rename={"S00": "BAC-PL"}).drop("Listing")
    frame.write_parquet(tmp_path / "prices.parquet")
    report = ingest(tmp_path / "prices.parquet", None, IngestConfig()).report
    marked = add_universe(frame.with_columns(Listing="Code"), NONE, UniverseConfig())
    told, page = " ".join(quality_table(report).split()), quality_page(report)
    for name in (FUND, CALM, PAR, CLASS):
        out = marked.filter(name)
        count, codes = out.height, out["Code"].n_unique()
        assert count
        assert f"out: {STOCK_REASONS[name]} {count:,} {codes} " in told
        assert f'<td>{STOCK_REASONS[name]}</td><td class="n">{count:,}</td>' in page


def test_a_market_of_funds_alone_is_one_line_with_what_to_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common, days = rng.normal(0, 0.01, 200), weekdays(200)
    parts = []
    for number in range(30):
        close = 50 * np.exp(np.cumsum(common + rng.normal(0, 0.001, 200)))
        bar = dict.fromkeys(("Open", "High", "Low", "Close"), close)
        parts.append(pl.DataFrame({"Date": days, "Code": [f"F{number:02d}"] * 200, **bar, "Volume": [1e5] * 200}))
    path = tmp_path / "funds.parquet"
    pl.concat(parts).write_parquet(path)
    line = r"no row of 6,000 is in the universe: moves like a fund in [\d,]+ \(100% of the closes .*; no stocks among"
    with pytest.raises(DataError, match=line) as caught:
        require_universe(ingest(path, None, IngestConfig()).report)
    assert str(caught.value).startswith(str(path))
    assert "--params ingest.universe.stocks=null" in str(caught.value)
    require_universe(ingest(path, None, IngestConfig(universe=UniverseConfig(stocks=None))).report)

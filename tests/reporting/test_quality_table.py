"""What ingest says on the terminal."""

from datetime import timedelta
from pathlib import Path

import polars as pl

from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.prices.universe_check import require_universe
from atft_pipeline.reporting.quality_table import quality_table
from tests.features.market import raw_market, scaled

PRICES = ("Open", "High", "Low", "Close")


def report(frame: pl.DataFrame, folder: Path, config: IngestConfig | None = None) -> dict[str, object]:
    path = folder / "prices.parquet"
    frame.write_parquet(path)
    return ingest(path, None, config or IngestConfig()).report


FRAME = raw_market(25, 90)


def test_the_table_tells_rows_rules_reasons_and_every_remark(tmp_path: Path) -> None:
    last = pl.col("Date") == FRAME["Date"].max()
    one = last & (pl.col("Code") == "C03")
    dirty = pl.concat([scaled(FRAME, one, 1000.0, 9.0), FRAME.filter(last & (pl.col("Code") == "C04"))])
    found = report(dirty, tmp_path)
    require_universe(found)
    text = quality_table(found)
    assert max(map(len, text.splitlines())) <= 120
    words = " ".join(text.split())
    last_day = FRAME["Date"].max()
    assert "clean: 2,250 of 2,251 rows, 25 codes (25 listings), 90 sessions, 2020-01-01 to " + str(last_day) in words
    assert "universe: 34.4% of the rows, 25 listings on a usual session, 24 on the last" in words
    assert f"duplicate_keys 1 1 C04 {last_day}" in words
    assert f"impossible_moves 1 1 C03 {last_day}" in words
    assert "out: history too short 1,475" in words
    assert "look: Prices of 1 code moved as no stock did: 1 day voided, 0 new listings begun; the largest" in words
    assert len(found["remarks"]) == text.count("look: ")


def test_few_listings_are_told_with_the_limits(tmp_path: Path) -> None:
    text = " ".join(quality_table(report(raw_market(12, 90), tmp_path)).split())
    assert "A usual session has 12 listings in the universe: training leaves out days with fewer than" in text
    assert "evaluation.min_listings (20 unless set); give prices of more listings." in text
    assert "A usual session has" not in " ".join(quality_table(report(FRAME, tmp_path)).split())


def test_a_last_session_without_universe_is_told(tmp_path: Path) -> None:
    cut = FRAME["Date"].max() - timedelta(days=40)
    faded = FRAME.with_columns(Volume=pl.when(pl.col("Date") < cut).then("Volume").otherwise(10.0))
    assert (
        f"No listing is in the universe on {FRAME['Date'].max()}, the last session."
        in report(faded, tmp_path)["remarks"]
    )


def test_large_moves_that_stay_are_named(tmp_path: Path) -> None:
    days = FRAME["Date"].unique().sort()
    frame = scaled(FRAME, (pl.col("Code") == "C05") & (pl.col("Date") >= days[80]), 6.0)
    frame = scaled(frame, (pl.col("Code") == "C05") & (pl.col("Date") == days[80]), 1.0, 90.0)
    (remark,) = [line for line in report(frame, tmp_path)["remarks"] if "The universe keeps" in line]
    assert f"The universe keeps 1 move by a factor of 4 on large volume: C05 on {days[80]} (+" in remark


def test_a_last_session_that_has_not_arrived_is_told(tmp_path: Path) -> None:
    last = pl.col("Date") == FRAME["Date"].max()
    told = report(FRAME.filter(~last | (pl.col("Code") < "C09")), tmp_path)["remarks"]
    line = f"{FRAME['Date'].max()}, the last session, has 9 rows, usually there are 25: its prices look unfinished; "
    assert line + "ingest again when they are complete." in told
    assert not any("look unfinished" in remark for remark in report(FRAME, tmp_path)["remarks"])


def test_a_prepared_table_is_told_in_one_line() -> None:
    found = {
        "kind": "prepared",
        "rows": 1200,
        "codes": 12,
        "sessions": 100,
        "first": "2020-01-01",
        "last": "2020-05-19",
    }
    require_universe(found)
    line = "prepared table: 1,200 rows, 12 codes, 100 sessions, 2020-01-01 to 2020-05-19\n"
    assert quality_table(found) == line

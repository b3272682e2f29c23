"""Prices from which nothing can be held are refused with the reason."""

from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.prices.cleaning.clean import CleaningConfig
from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.prices.universe import UniverseConfig
from atft_pipeline.prices.universe_check import require_universe
from tests.features.market import raw_market, scaled

PRICES = ("Open", "High", "Low", "Close")


def report(frame: pl.DataFrame, folder: Path, config: IngestConfig | None = None) -> dict[str, object]:
    path = folder / "prices.parquet"
    frame.write_parquet(path)
    return ingest(path, None, config or IngestConfig()).report


FRAME = raw_market(25, 90)


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        pytest.param(
            FRAME.with_columns(pl.col("Volume") / 100),
            r"no row of 2,250 is in the universe: dollar volume too low in 2,250 \(the highest median of Close times "
            r"Volume over 20 sessions is [\d,]+, ingest.universe.min_dollar_volume is 500,000; Volume in lots",
            id="volume in lots",
        ),
        pytest.param(
            scaled(FRAME, pl.lit(value=True), 0.001, 1e6),
            r"price too low in 2,250 \(the highest price is 0\.\d+, ingest.universe.min_price is 1; prices in",
            id="prices in thousands",
        ),
        pytest.param(
            FRAME.filter(pl.col("Date") < FRAME["Date"].unique().sort()[40]),
            r"history too short in 1,000 \(the longest history has 40 sessions, ingest.universe.min_history is 60; ",
            id="forty days",
        ),
        pytest.param(
            FRAME.with_columns(pl.col("Close").first().over("Code").alias(name) for name in PRICES),
            r"prices do not move, 100.0% of the closes equal the one before",
            id="constant",
        ),
        pytest.param(
            FRAME.with_columns(Volume=pl.lit(0.0)),
            r"none of 2,250 rows .* rule holiday_sessions touched .*cleaning.skip=.undone_ticks,holiday_sessions.",
            id="no volume",
        ),
        pytest.param(
            FRAME.with_columns(pl.lit(0.0).alias(name) for name in PRICES),
            r"none of 2,250 rows is left: rule \w+ touched 2,250 ",
            id="no price",
        ),
    ],
)
def test_nothing_in_the_universe_is_one_line_with_the_key_and_what_was_seen(
    frame: pl.DataFrame, line: str, tmp_path: Path
) -> None:
    found = report(frame, tmp_path)
    with pytest.raises(DataError, match=line) as caught:
        require_universe(found)
    assert str(caught.value).startswith(str(tmp_path / "prices.parquet"))
    assert "\n" not in str(caught.value)


def test_the_advice_of_the_line_works(tmp_path: Path) -> None:
    config = IngestConfig(universe=UniverseConfig(min_dollar_volume=1e3))
    lots = report(FRAME.with_columns(pl.col("Volume") / 100), tmp_path, config)
    require_universe(lots)
    config = IngestConfig(universe=UniverseConfig(min_dollar_volume=0.0))
    closes = FRAME.select("Date", "Code", "Close")
    with pytest.raises(DataError, match=r"\(no turnover is known, ingest.universe.min_dollar_volume is .* set it to 0"):
        require_universe(report(closes, tmp_path))
    require_universe(report(closes, tmp_path, config))
    still = FRAME.with_columns(Volume=pl.lit(0.0))
    found = report(still, tmp_path, IngestConfig(cleaning=CleaningConfig(skip=("holiday_sessions",))))
    with pytest.raises(DataError, match=r"not traded in 2,250 \(0% of the rows were traded; Volume is 0, blank or"):
        require_universe(found)

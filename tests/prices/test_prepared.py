"""A prepared feature table goes through the chain without being recomputed."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.features.build import build_features
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.panel.build import build_panel
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.prices.prepared import PreparedConfig
from atft_pipeline.prices.returns import daily_returns
from atft_pipeline.reporting.quality_page import quality_page
from tests.prices.frames import weekdays

READ = IngestConfig(prepared=PreparedConfig(returns={1: "target_1d", 5: "target_5d"}, required=("f_*",)))
FEATURES = FeaturesConfig(groups=(), passthrough=("*",), normalisation="none", horizons=(1, 5))


def prepared(sessions: int = 30, codes: int = 8) -> pl.DataFrame:
    """Like the tables that other systems leave: keys, many numbers, targets, a name or two."""
    rng = np.random.default_rng(0)
    rows = sessions * codes
    table = {
        "Code": np.repeat([f"{1301 + number}0" for number in range(codes)], sessions),
        "Date": weekdays(sessions) * codes,
        "Name": ["a company"] * rows,
        "Close": rng.lognormal(3, 1, rows),
        **{f"f_{number}": rng.standard_normal(rows).astype(np.float32) for number in range(100)},
        "is_listed": rng.random(rows) < 0.9,
        "nothing": pl.Series([None] * rows, dtype=pl.Float64),
        "target_1d": rng.normal(0, 0.02, rows),
        "target_5d": rng.normal(0, 0.05, rows),
    }
    return pl.DataFrame(table)


def read(frame: pl.DataFrame, folder: Path, config: IngestConfig = READ) -> pl.DataFrame:
    frame.write_parquet(folder / "table.parquet")
    return ingest(folder / "table.parquet", None, config).prices


def test_the_table_reaches_the_panel_as_it_is(tmp_path: Path) -> None:
    source = prepared()
    source.write_parquet(tmp_path / "table.parquet")
    result = ingest(tmp_path / "table.parquet", None, READ)
    manifest = build_features(result.prices, result.listings, FEATURES, tmp_path / "features")
    assert manifest.features == (*(f"f_{number}" for number in range(100)), "is_listed")
    build_panel(
        tmp_path / "features", result.listings.to_arrow(), tmp_path / "panel.arrow", PanelConfig(dtype="float32")
    )
    panel = Panel.open(tmp_path / "panel.arrow")
    day = panel.day(7)
    wanted = source.filter(pl.col("Date") == weekdays(30)[7]).sort("Code")
    np.testing.assert_array_equal(day.features[:, :100], wanted.select(f"f_{n}" for n in range(100)).to_numpy())
    np.testing.assert_allclose(day.returns[:, 1], wanted["target_5d"].to_numpy(), rtol=1e-6)


def test_a_text_is_read_as_the_same_table(tmp_path: Path) -> None:
    source = prepared().with_columns(pl.col(pl.Float32).cast(pl.Float64))
    source.write_csv(tmp_path / "table.csv")
    assert ingest(tmp_path / "table.csv", None, READ).prices.equals(read(source, tmp_path))


def test_graphs_take_the_returns_of_the_row_before(tmp_path: Path) -> None:
    source = prepared()
    clean = read(source, tmp_path)
    names = clean["Listing"].unique().sort().to_list()
    returns = daily_returns(clean, np.array(weekdays(30), dtype="datetime64[D]"), names)
    first = source.filter(pl.col("Code") == names[0])["target_1d"].to_numpy()
    assert np.isnan(returns[0]).all()
    np.testing.assert_allclose(returns[1:, 0], first[:-1], rtol=1e-6)


def test_report_says_what_is_empty_and_what_was_left_out(tmp_path: Path) -> None:
    prepared().write_parquet(tmp_path / "table.parquet")
    report = ingest(tmp_path / "table.parquet", None, READ).report
    assert report["empty"] == ["nothing"]
    assert report["left_out"] == ["Name", "Close"]
    assert report["coverage"]["f_3"] == 1.0
    assert "f_99" in quality_page(report)


def test_universe_column_and_exclusions(tmp_path: Path) -> None:
    config = IngestConfig(
        prepared=PreparedConfig(returns={1: "target_1d"}, universe="is_listed", exclude=("target_*",))
    )
    clean = read(prepared(), tmp_path, config)
    assert clean["InUniverse"].to_list() == prepared().sort("Code", "Date")["is_listed"].to_list()
    assert not [name for name in clean.columns if name.startswith("target")]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (prepared().drop("target_5d"), "column 'target_5d' is missing"),
        (prepared().drop("Code"), "column 'Code' is missing"),
        (prepared().with_columns(f_7=pl.lit(None, dtype=pl.Float32)), "column 'f_7' is empty"),
        (prepared().select(pl.exclude("^f_.*$")), r"no column matches 'f_\*'"),
        (pl.concat([prepared(), prepared().head(1)]), "1 keys appear more than once"),
        (prepared().clear(), "no rows"),
    ],
)
def test_faults_are_one_line(frame: pl.DataFrame, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(frame, tmp_path)
    assert "\n" not in str(caught.value)

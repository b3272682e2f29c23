"""The catalog refuses tables that break their contract."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from kedro.io import DataCatalog
from kedro.validation.exceptions import DataValidationError

GOOD = pl.DataFrame(
    {
        "Date": [date(2024, 1, 2), date(2024, 1, 3), date(2024, 1, 2)],
        "Code": ["A", "A", "B"],
        "Listing": ["A", "A", "B"],
        "Open": [1.0, 2.0, None],
        "High": [1.5, 2.5, 3.5],
        "Low": [0.5, 1.5, 2.5],
        "Close": [1.0, 2.0, 3.0],
        "Volume": [10.0, 0.0, None],
        "InUniverse": [True, False, True],
    }
)


def catalog(folder: Path) -> DataCatalog:
    return DataCatalog.from_config(
        {
            "clean_prices": {
                "type": "atft_pipeline.datasets.tables.FrameDataset",
                "filepath": str(folder / "clean_prices.parquet"),
                "validator": {"class": "atft_pipeline.datasets.contracts.CleanPrices", "skip_load_after_save": True},
            }
        }
    )


def test_good_prices_and_prepared_tables_pass(tmp_path: Path) -> None:
    made = catalog(tmp_path)
    made.save("clean_prices", GOOD)
    assert made.load("clean_prices").equals(GOOD)
    made.save("clean_prices", GOOD.select("Date", "Code", "Listing", "InUniverse", f_1="Close"))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (GOOD.with_columns(Close=-pl.col("Close")), "Close"),
        (GOOD.with_columns(Low=pl.col("High") + 1), "High must not be below Low"),
        (GOOD.reverse(), "rows must ascend"),
        (pl.concat([GOOD, GOOD.tail(1)]), "rows must ascend"),
        (GOOD.drop("InUniverse"), "InUniverse"),
        (GOOD.with_columns(Date=pl.col("Date").cast(pl.String)), "Date"),
    ],
)
def test_broken_prices_are_not_saved(broken: pl.DataFrame, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataValidationError, match=message):
        catalog(tmp_path).save("clean_prices", broken)
    assert not list(tmp_path.iterdir())

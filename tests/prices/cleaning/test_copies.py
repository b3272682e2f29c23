"""Rows that share a code and a day."""

import polars as pl
import pytest

from atft_pipeline.prices.cleaning.clean import Cleaned, CleaningConfig, clean_prices
from tests.features.market import raw_market, scaled

FRAME = raw_market(4, 40)
KEY = (pl.col("Code") == "C01") & (pl.col("Date") == FRAME["Date"].max())


def clean(frame: pl.DataFrame, *off: str) -> Cleaned:
    return clean_prices(frame, CleaningConfig(skip=("undone_ticks", *off)))


def rows(cleaned: Cleaned, rule: str) -> int:
    return next(count.rows for count in cleaned.rules if count.rule == rule)


def truth(frame: pl.DataFrame) -> pl.DataFrame:
    return clean(frame).prices


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param([pl.lit(None, pl.Float64).alias("Volume")], id="no volume"),
        pytest.param([pl.lit(0.0).alias("Volume"), pl.lit(None, pl.Float64).alias("High")], id="no range"),
        pytest.param([pl.col("Close") * 2, pl.lit(None, pl.Float64).alias("Open")], id="less, and another price"),
        pytest.param(
            # Delivered at noon: the same opening, a smaller range, another last price, less volume.
            [
                pl.col("Open").alias("High"),
                pl.col("Open").alias("Low"),
                pl.col("Open").alias("Close"),
                pl.lit(10.0).alias("Volume"),
            ],
            id="live",
        ),
    ],
)
def test_the_most_complete_copy_stays_wherever_it_stands(change: list[pl.Expr], *, first: bool) -> None:
    copy = FRAME.filter(KEY).with_columns(change)
    cleaned = clean(pl.concat([copy, FRAME] if first else [FRAME, copy]))
    assert (rows(cleaned, "duplicate_keys"), rows(cleaned, "conflicting_keys")) == (1, 0)
    assert cleaned.prices.equals(truth(FRAME))


def test_of_equal_copies_the_last_stays() -> None:
    copy = FRAME.filter(KEY).with_columns(pl.col("Close") * 1.0001)
    assert clean(pl.concat([FRAME, copy])).prices.filter(KEY)["Close"].item() == copy["Close"].item()


def test_a_table_that_is_there_twice_or_thrice_is_there_once() -> None:
    cleaned = clean(pl.concat([FRAME, FRAME, FRAME]))
    assert rows(cleaned, "duplicate_keys") == 2 * FRAME.height
    assert cleaned.prices.equals(truth(FRAME))


@pytest.mark.parametrize("factor", [0.5, 0.97, 1.01, 2.0])
def test_copies_that_disagree_leave_no_price_and_are_told(factor: float) -> None:
    copy = scaled(FRAME.filter(KEY), KEY, factor)
    cleaned = clean(pl.concat([FRAME, copy]))
    assert rows(cleaned, "conflicting_keys") == 1
    voided = cleaned.prices.filter(KEY)
    assert voided.select("Open", "High", "Low", "Close", "Volume").row(0) == (None,) * 5
    assert cleaned.prices.filter(~KEY).equals(truth(FRAME).filter(~KEY))
    (note,) = [count.note for count in cleaned.rules if count.note]
    assert "2 rows are copies of a code and a day that disagree, such as C01" in note
    assert note.endswith("; 1 day has no price for it.")


def test_two_that_agree_do_not_outvote_a_third() -> None:
    copy = scaled(FRAME.filter(KEY), KEY, 1.5)
    cleaned = clean(pl.concat([FRAME, FRAME.filter(KEY), copy]))
    assert cleaned.prices.filter(KEY)["Close"].item() is None


def test_switched_off_the_last_copy_stays() -> None:
    copy = scaled(FRAME.filter(KEY), KEY, 1.2)
    cleaned = clean(pl.concat([FRAME, copy]), "conflicting_keys")
    assert cleaned.prices.filter(KEY)["Close"].item() == copy["Close"].item()
    assert cleaned.prices.height == FRAME.height

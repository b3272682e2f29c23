"""How numbers are written: read where it leaves no doubt, else one line with the user's own column and row."""

from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from tests.prices.reading.tables import market, read, same

PRICES = ("Open", "High", "Low", "Close")


def grouped(value: float, mark: str) -> str:
    return f"{value:,.0f}".replace(",", mark)


def written(price: str, volume: str) -> pl.DataFrame:
    """The market as texts: ``price`` is a format, swapped where a comma ends it; ``volume`` a grouping mark."""
    comma = price.endswith(",")
    form = price.rstrip(",")

    def one(value: float) -> str:
        told = form.format(value)
        return told.translate(str.maketrans(".,", ",.")) if comma else told

    frame = market()
    return frame.with_columns(
        *(pl.Series(name, [one(value) for value in frame[name]]) for name in PRICES),
        pl.Series("Volume", [grouped(value, volume) for value in frame["Volume"]]),
    )


FORMS = {
    "decimal comma, dots": (written("{:.2f},", "."), ";"),
    "decimal comma, blanks": (written("{:.2f},", " "), ";"),
    "decimal comma, three decimals": (written("{:.3f},", ""), ";"),
    "decimal comma, quoted": (written("{:.2f},", "."), ","),
    "commas for thousands": (written("{:,.2f}", ","), ","),
    "commas for thousands of volume alone": (written("{:.3f}", ","), ","),
    "dollars": (written("${:.2f}", ","), ","),
    "euros behind": (written("{:.2f} €,", "."), ";"),
    "a code of the currency": (written("USD {:.2f}", ","), "\t"),
    "apostrophes": (written("{:.2f}", "'"), ";"),
    "four decimals": (written("{:.4f}", ""), ","),
    "blanks around": (written("  {:.2f} ", ""), ","),
}


@pytest.mark.parametrize("name", FORMS)
def test_forms_of_numbers(name: str, tmp_path: Path) -> None:
    frame, separator = FORMS[name]
    frame.write_csv(tmp_path / "p.csv", separator=separator)
    same(read(tmp_path / "p.csv"))


def test_numbers_stored_as_texts_in_parquet(tmp_path: Path) -> None:
    written("{:,.2f}", ",").write_parquet(tmp_path / "p.parquet")
    same(read(tmp_path / "p.parquet"))


def test_multiples_of_volume(tmp_path: Path) -> None:
    frame = market().with_columns(Volume=pl.Series(["1.25M", "770K", "2.5b"] * 5))
    frame.write_csv(tmp_path / "p.csv")
    assert read(tmp_path / "p.csv").frame["Volume"].to_list() == [1_250_000.0, 770_000.0, 2_500_000_000.0] * 5


@pytest.mark.parametrize("word", ["null", "N/A", "#N/A", "-", "nan", "None", "NULL", "--", "n.a.", " "])
def test_words_for_nothing(word: str, tmp_path: Path) -> None:
    frame = market()
    gone = pl.int_range(pl.len()) == 4
    texts = frame.with_columns(
        pl.when(~gone).then(pl.col(name).cast(pl.String)).otherwise(pl.lit(word)) for name in (*PRICES, "Volume")
    )
    texts.write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv").frame.with_columns(pl.col(pl.Float64).fill_nan(None))
    expected = frame.with_columns(pl.when(~gone).then(pl.col(name)) for name in (*PRICES, "Volume"))
    assert found.equals(expected)


DOUBTS = {
    "a word": ("Close", "pending", "column 'Close' holds 'pending' in row 5 .2024-03-12., which is no number"),
    "a share": ("Volume", "12%", "column 'Volume' holds '12%' in row 5"),
    "two ways": ("Close", "1.234,50", "written in two ways, '1.234,50' in column 'Close' and .* decimal point"),
    "a comma that could be two things": ("High", "151,265", "'High' holds '151,265', which could be two numbers"),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_doubts_are_one_line(name: str, tmp_path: Path) -> None:
    column, value, message = DOUBTS[name]
    texts = market().with_columns(pl.col(other).cast(pl.Int64).cast(pl.String) for other in (*PRICES, "Volume"))
    if name == "two ways":
        texts = texts.with_columns(Open=pl.lit("100.25"))
    place = pl.int_range(pl.len()) == 4
    texts.with_columns(pl.when(place).then(pl.lit(value)).otherwise(column).alias(column)).write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "p.csv")
    assert "POLARS" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_three_decimals_beside_dots_of_thousands_are_a_doubt(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(written("{:.3f}", ".").write_csv(separator=";"))
    with pytest.raises(DataError, match=r"column 'Open' holds '100\.000', which could be two numbers; write numbers"):
        read(tmp_path / "p.csv")

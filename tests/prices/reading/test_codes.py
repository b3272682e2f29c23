"""Codes: from columns, from names of files, and alike under two spellings."""

from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.codes import name_code
from tests.prices.reading.tables import market, read, same


@pytest.mark.parametrize(
    ("stem", "code"),
    [("SAN.MC", "SAN.MC"), ("SAN.PA", "SAN.PA"), ("BF.B", "BF.B"), ("005930.KS", "005930.KS"), ("qaa_us_d", "QAA.US"),
     ("qaa.us", "QAA.US"), ("daily_adjusted_IBM", "IBM"), ("AAPL_daily", "AAPL"), ("MSFT_2010_2020", "MSFT"),
     ("AAPL_20240101", "AAPL"), ("table_aapl", "aapl"), ("D", "D"), ("MAX", "MAX"), ("7203", "7203"),
     ("BRK-B", "BRK-B"),
     ("2024-03-11", None), ("20240311", None), ("2024", None), ("2024-03", None), ("part-0", None), ("prices", None)],
)  # fmt: skip
def test_codes_of_file_names(stem: str, code: str | None) -> None:
    assert name_code(stem) == code


@pytest.mark.parametrize("codes", [("SAN.MC", "SAN.PA", "SAN"), ("BF.A", "BF.B", "BF"), ("a.b.c", "a.b.d", "a.x")])
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_file_a_ticker_is_cut_at_its_own_ending_alone(codes: tuple[str, ...], kind: str, tmp_path: Path) -> None:
    frame = market(codes)
    for code in codes:
        part, path = frame.filter(pl.col("Code") == code).drop("Code"), tmp_path / f"{code}.{kind}"
        if kind == "parquet":
            part.write_parquet(path)
        else:
            part.write_csv(path, compression="gzip" if kind == "csv.gz" else "uncompressed")
    same(read(tmp_path), frame)


def test_a_folder_a_ticker(tmp_path: Path) -> None:
    for (code, day), part in market().partition_by("Code", "Date", as_dict=True).items():
        (tmp_path / str(code)).mkdir(exist_ok=True)
        part.drop("Code").write_csv(tmp_path / str(code) / f"{day}.csv")
    same(read(tmp_path))


@pytest.mark.parametrize("name", ["Code", "ticker"])
def test_codes_in_the_names_of_partitions(name: str, tmp_path: Path) -> None:
    market().rename({"Code": name}).write_parquet(pl.PartitionBy(tmp_path, key=name, include_key=False))
    same(read(tmp_path))


def test_a_file_a_day_without_codes_is_one_line(tmp_path: Path) -> None:
    for day, part in market().partition_by("Date", as_dict=True).items():
        part.drop("Code").write_csv(tmp_path / f"{day[0]}.csv")
    with pytest.raises(DataError, match=r"column 'Code' is missing; .* each named by its ticker \(AAPL\.csv\)"):
        read(tmp_path)


def test_a_file_without_codes_beside_files_with_them_is_one_line(tmp_path: Path) -> None:
    market().write_csv(tmp_path / "ABC.csv")
    market().drop("Code").write_csv(tmp_path / "XYZ.csv")
    with pytest.raises(DataError, match=r"XYZ\.csv: column 'Code' is missing"):
        read(tmp_path)


@pytest.mark.parametrize("stored", [[1.0, 2.0, 3.0], ["1.0", "2.0", "3.0"], [1, 2, 3], [" 1", "2 ", "3"]])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_codes_that_were_numbers(stored: list[object], kind: str, tmp_path: Path) -> None:
    frame = market().with_columns(Code=pl.Series(stored * 5, strict=False))
    path = tmp_path / f"p.{kind}"
    frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    same(read(path), market(("1", "2", "3")))


def test_numbers_of_one_file_get_the_zeros_of_the_other(tmp_path: Path) -> None:
    codes = ("000001", "000025", "600000")
    frame, half = market(codes), pl.col("Date").dt.day() < 14
    frame.filter(half).with_columns(pl.col("Code").cast(pl.Int64)).write_parquet(tmp_path / "archive.parquet")
    frame.filter(~half).write_csv(tmp_path / "new.csv")
    found = read(tmp_path)
    same(found, frame)
    assert any("given 6 digits" in note for note in found.reading.notes)


@pytest.mark.parametrize("codes", [[0.5, 1.25, 3.0], ["10.5", "11.25", "3.1"]])
def test_fractions_are_no_codes(codes: list[object], tmp_path: Path) -> None:
    market().with_columns(Code=pl.Series(codes * 5)).write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"column 'Code' holds .*: these are prices and no codes"):
        read(tmp_path / "p.parquet")


@pytest.mark.parametrize(
    ("codes", "told"), [(("brk-b", "BRK.B", "C"), "BRK.B and brk-b"), (("A B", "a_b", "C"), "A B and a_b")]
)
def test_codes_that_differ_by_case_or_marks_are_told(codes: tuple[str, ...], told: str, tmp_path: Path) -> None:
    market(codes).write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv")
    same(found, market(codes))
    assert f"2 codes differ from another by case or marks alone, such as {told}: each counts as a listing" in (
        found.reading.notes
    )


def test_a_comma_in_the_name_of_a_file_is_not_of_the_code() -> None:
    assert name_code("NASDAQ_AAPL, 1D") == "NASDAQ_AAPL"

"""Wide tables, stacked."""

from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from tests.prices.reading.tables import CODES, DAYS, market, read, same

FIELDS = ("Open", "High", "Low", "Close", "Volume")


def wide(name: str) -> pl.DataFrame:
    """Columns named by a pattern of field and code."""
    parts = [
        market().filter(pl.col("Code") == code).select(pl.col(field).alias(name.format(f=field, c=code)))
        for field in FIELDS
        for code in CODES
    ]
    return pl.concat([pl.DataFrame({"Date": DAYS}), *parts], how="horizontal")


def closes(codes: tuple[str, ...] = CODES) -> pl.DataFrame:
    return market(codes).pivot("Code", index="Date", values="Close")


def two_rows(index: str, swapped: bool, merged: bool, third: bool) -> str:
    frame = wide("{f}|{c}")
    names = [name.split("|") for name in frame.columns[1:]]
    fields = [field for field, _ in names]
    if merged:
        fields = [field if place == 0 or fields[place - 1] != field else "" for place, field in enumerate(fields)]
    rows = [",".join([index, *fields]), ",".join(["Ticker", *(code for _, code in names)])]
    if swapped:
        rows.reverse()
    if third:
        rows.append("Date" + "," * len(names))
    return "\n".join(rows) + "\n" + frame.write_csv(include_header=False)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("third", [False, True])
def test_two_header_rows(swapped: bool, merged: bool, third: bool, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(two_rows("Price", swapped, merged, third))
    found = read(tmp_path / "p.csv")
    same(found)
    assert found.reading.notes[0].startswith("a wide table (two header rows) was stacked")


def test_one_ticker_a_file_with_two_header_rows(tmp_path: Path) -> None:
    for code in CODES:
        frame = market().filter(pl.col("Code") == code).drop("Code")
        head = f"Price,{','.join(FIELDS)}\nTicker{f',{code}' * len(FIELDS)}\nDate{',' * len(FIELDS)}\n"
        (tmp_path / f"{code}.csv").write_text(head + frame.write_csv(include_header=False))
    same(read(tmp_path))


@pytest.mark.parametrize("name", ["('{f}', '{c}')", "{f}_{c}", "{c}.{f}", "{c} {f}", "('{c}', '{f}')"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_names_of_field_and_ticker(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"p.{kind}"
    frame = wide(name)
    if kind == "csv":
        frame.write_csv(path, quote_style="non_numeric")
    else:
        frame.write_parquet(path)
    same(read(path))


@pytest.mark.parametrize("index", ["Date", "", "Unnamed: 0"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_closes_alone(index: str, kind: str, tmp_path: Path) -> None:
    frame = closes().rename({"Date": index}).with_columns(pl.lit(None, dtype=pl.Float64).alias("GONE"))
    path = tmp_path / f"p.{kind}"
    if kind == "csv":
        frame.write_csv(path, null_value="NaN")
    else:
        frame.write_parquet(path)
    found = read(path)
    same(found, market().select("Date", "Code", "Close"))
    assert found.frame["Open"].null_count() == found.frame["Volume"].null_count() == found.frame.height
    assert "closes alone: Open, High, Low, Volume are unknown" in found.reading.notes
    assert any("ingest.universe.min_dollar_volume=0" in note for note in found.reading.notes)


def test_a_column_without_name_is_no_ticker(tmp_path: Path) -> None:
    closes().with_row_index("").write_csv(tmp_path / "p.csv")
    same(read(tmp_path / "p.csv"), market().select("Date", "Code", "Close"))


def test_tickers_that_look_like_fields_or_dates(tmp_path: Path) -> None:
    codes = ("OPEN", "LOW", "C", "V", "T", "O", "13010", "72030")
    closes(codes).write_csv(tmp_path / "p.csv")
    same(read(tmp_path / "p.csv"), market(codes).select("Date", "Code", "Close"))


def test_a_long_table_of_closes(tmp_path: Path) -> None:
    market().select("Date", "Close", pl.col("Code").alias("Symbol")).write_parquet(tmp_path / "p.parquet")
    same(read(tmp_path / "p.parquet"), market().select("Date", "Code", "Close"))


def test_a_single_ticker_with_many_indicators_is_not_wide(tmp_path: Path) -> None:
    for code in CODES:
        frame = market().filter(pl.col("Code") == code).drop("Code")
        frame.with_columns(pl.col("Close").alias(f"SMA{n}") for n in range(30)).write_csv(tmp_path / f"{code}.csv")
    same(read(tmp_path))


@pytest.mark.parametrize("name", ["Code", "ticker", ""])
def test_days_across_the_columns(name: str, tmp_path: Path) -> None:
    texts = market().with_columns(pl.col("Date").cast(pl.String))
    texts.pivot("Date", index="Code", values="Close").rename({"Code": name}).write_csv(tmp_path / "p.csv")
    same(read(tmp_path / "p.csv"), market().select("Date", "Code", "Close"))


def test_whole_numbers_below_a_header_are_no_tickers(tmp_path: Path) -> None:
    whole = market().with_columns(pl.col(FIELDS).cast(pl.Int64))
    for (day,), part in whole.partition_by("Date", as_dict=True).items():
        part.drop("Date").write_csv(tmp_path / f"{day}.csv")
    same(read(tmp_path), whole.with_columns(pl.col(FIELDS).cast(pl.Float64)))


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%Y%m%d"])
def test_a_file_a_day_without_dates(form: str, tmp_path: Path) -> None:
    for (day,), part in market().partition_by("Date", as_dict=True).items():
        part.drop("Date").write_csv(tmp_path / f"{day:{form}}.csv")
    found = read(tmp_path)
    same(found)
    assert "the day was taken from the name of the file" in found.reading.notes[0]


def fields(folder: Path, names: tuple[str, ...], pattern: str = "{}.csv") -> None:
    for name in names:
        market().pivot("Code", index="Date", values=name).write_csv(folder / pattern.format(name.lower()))


@pytest.mark.parametrize("pattern", ["{}.csv", "sp500_{}s.csv", "{}-prices.csv"])
def test_a_wide_table_a_field(pattern: str, tmp_path: Path) -> None:
    fields(tmp_path, FIELDS, pattern)
    same(read(tmp_path))


def test_closes_and_volumes(tmp_path: Path) -> None:
    fields(tmp_path, ("Close", "Volume"))
    found = read(tmp_path)
    same(found, market().select("Date", "Code", "Close", "Volume"))
    assert "closes alone: Open, High, Low are unknown" in found.reading.notes


@pytest.mark.parametrize("names", [("Volume",), ("High", "Volume")])
def test_a_wide_table_of_another_field_is_one_line(names: tuple[str, ...], tmp_path: Path) -> None:
    fields(tmp_path, names)
    with pytest.raises(DataError, match=f"a wide table of {names[0]} alone"):
        read(tmp_path)


def test_a_merged_line_of_tickers_above_the_name_of_the_dates(tmp_path: Path) -> None:
    frame = wide("{f}|{c}")
    names = [f"{field}|{code}" for code in CODES for field in FIELDS]
    tickers = ",".join(code + "," * (len(FIELDS) - 1) for code in CODES)
    head = f"Ticker,{tickers}\nDate,{','.join(FIELDS * len(CODES))}\n"
    (tmp_path / "p.csv").write_text(head + frame.select("Date", *names).write_csv(include_header=False))
    same(read(tmp_path / "p.csv"))


@pytest.mark.parametrize("codes", [("RED", "GRN", "BLU"), (11, 12, 13)])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_rows_under_unknown_names_are_no_wide_table(codes: tuple[str | int, ...], kind: str, tmp_path: Path) -> None:
    names = {"Date": "Date", "Code": "papier", "Open": "ab", "High": "cd", "Low": "ef", "Close": "gh", "Volume": "ij"}
    frame = market().rename(names).with_columns(pl.col("papier").replace_strict(dict(zip(CODES, codes, strict=True))))
    path = tmp_path / f"p.{kind}"
    frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    with pytest.raises(DataError, match=r"column 'Code' is missing; it has Date, papier, ab, .*columns.Code=ITS_NAME"):
        read(path)
    found = read(path, columns={name: other for name, other in names.items() if name != "Date"})
    back = {str(code): name for name, code in zip(CODES, codes, strict=True)}
    same(type(found)(found.frame.with_columns(pl.col("Code").replace(back)), found.reading))


@pytest.mark.parametrize(
    "names",
    [
        ("date", "symbole", "ouverture", "plus haut", "plus bas", "clôture", "volume"),
        ("일자", "종목코드", "시가", "고가", "저가", "종가", "거래량"),
        ("日付", "コード", "始値", "高値", "安値", "終値", "出来高"),
        ("data", "symbol", "abertura", "máxima", "mínima", "fechamento", "volume"),
        ("DATE", "ticker", "PX_OPEN", "PX_HIGH", "PX_LOW", "PX_LAST", "PX_VOLUME"),
    ],
)
def test_names_of_other_languages(names: tuple[str, ...], tmp_path: Path) -> None:
    market().rename(dict(zip(market().columns, names, strict=True))).write_csv(tmp_path / "p.csv", separator=";")
    same(read(tmp_path / "p.csv"))


def test_files_of_one_ticker_under_unknown_names_are_no_wide_tables(tmp_path: Path) -> None:
    names = dict(zip(FIELDS, ("wa", "we", "wi", "wo", "wu"), strict=True))
    for code in CODES:
        market().filter(pl.col("Code") == code).drop("Code").rename(names).write_csv(tmp_path / f"{code}.csv")
    with pytest.raises(
        DataError, match=r"hold the same days and the same columns \(wa, we, wi, wo, wu\).*columns.Close="
    ):
        read(tmp_path)
    same(read(tmp_path, columns=names))


def test_wide_tables_of_other_days_are_put_together(tmp_path: Path) -> None:
    closes().head(3).write_csv(tmp_path / "old.csv")
    closes().tail(3).write_csv(tmp_path / "new.csv")
    found = read(tmp_path).frame.unique(["Date", "Code"]).select("Date", "Code", "Close").sort("Date", "Code")
    assert found.equals(market().select("Date", "Code", "Close").sort("Date", "Code"))

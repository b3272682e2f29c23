"""What ``read_prices`` accepts and what it refuses with one line."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import ConfigError, DataError
from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.read import read_prices, read_raw_prices

DAYS = [dt.date(2024, 1, 2), dt.date(2024, 1, 3), dt.date(2024, 1, 4)]


def good(**columns: object) -> pl.DataFrame:
    rows = {
        "Date": [day for _ in "AB" for day in DAYS],
        "Code": [code for code in ("A", "B") for _ in DAYS],
        "Open": [1.0, 2, 3, 4, 5, 6],
        "High": [1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
        "Low": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5],
        "Close": [1.0, 2, 3, 4, 5, 6],
        "Volume": [10, 20, 30, 40, 50, 60],
    }
    return pl.DataFrame(rows | columns)


def read(frame: pl.DataFrame, folder: Path, **settings: object) -> pl.DataFrame:
    frame.write_parquet(folder / "prices.parquet")
    return read_prices(folder / "prices.parquet", PricesConfig(**settings))


Make = Callable[[Path], Path]


def no_path(folder: Path) -> Path:
    return folder / "nothing"


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def text_file(folder: Path) -> Path:
    path = folder / "prices.parquet"
    path.write_text("this is no Parquet file at all, whatever its name says")
    return path


def empty_file(folder: Path) -> Path:
    path = folder / "prices.parquet"
    path.touch()
    return path


def cut_footer(folder: Path) -> Path:
    path = folder / "prices.parquet"
    good().write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def table(frame: pl.DataFrame) -> Make:
    def write(folder: Path) -> Path:
        frame.write_parquet(folder / "prices.parquet")
        return folder / "prices.parquet"

    return write


FAULTS: dict[str, tuple[Make, str]] = {
    "no such path": (no_path, "no such file or folder"),
    "an empty folder": (empty_folder, "holds no file of prices"),
    "no Parquet": (text_file, "not a readable Parquet file"),
    "zero bytes": (empty_file, "the file is empty"),
    "a corrupt footer": (cut_footer, "not a readable Parquet file"),
    "no rows": (table(good().clear()), "no rows"),
    "a missing column": (table(good().drop("Volume")), "column 'Volume' is missing"),
    "a renamed column": (table(good().rename({"Close": "Clse"})), "such as Close: Clse"),
    "an ill-typed column": (table(good(Close=["a"] * 6)), "column 'Close' holds 'a' in row 1"),
    "no volume": (
        table(good(Volume=pl.Series([None] * 6, dtype=pl.Float64))),
        "or give Date, Code and Close alone, with --params ingest.universe.min_dollar_volume=0",
    ),
    "an all-null column": (table(good(Close=pl.Series([None] * 6, dtype=pl.Float64))), "holds no value in all 6 rows"),
    "negative prices": (table(good(Low=[-0.5, 1, 2, 3, 4, 5])), "Low is negative in 1 rows, first A on 2024-01-02"),
    "one code only": (table(good().filter(pl.col("Code") == "A")), r"only 1 code \(A\), at least 2"),
    "one day only": (table(good().filter(pl.col("Date") == DAYS[0])), "only 1 day"),
    "future dates": (
        table(good(Date=[*DAYS, DAYS[0], DAYS[1], dt.date(2199, 1, 1)])),
        "1 rows are dated after .* first B on 2199-01-01",
    ),
    "ambiguous date strings": (table(good(Date=["03/04/2024"] * 6)), "no date or could be two"),
    "UTC instants": (
        table(good(Date=pl.Series([dt.datetime(2024, 1, 2, 15)] * 6).dt.replace_time_zone("UTC"))),
        "ingest.prices.time_zone=America/New_York",
    ),
    "dates as floats": (table(good(Date=[1.5] * 6)), "has type Float64, Date needs dates"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_input_is_one_clear_line(name: str, tmp_path: Path) -> None:
    make, message = FAULTS[name]
    path = make(tmp_path)
    with pytest.raises(DataError, match=message) as caught:
        read_prices(path, PricesConfig())
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_whole_stage_refuses_likewise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        ingest(tmp_path / "nothing", None, IngestConfig())


@pytest.mark.parametrize(
    "dates",
    [
        [day.isoformat() for day in DAYS] * 2,
        [day.strftime("%Y%m%d") for day in DAYS] * 2,
        [int(day.strftime("%Y%m%d")) for day in DAYS] * 2,
        [day.strftime("%Y/%m/%d 00:00:00") for day in DAYS] * 2,
        [dt.datetime.combine(day, dt.time()) for day in DAYS] * 2,
        pl.Series([dt.datetime.combine(day, dt.time()) for day in DAYS] * 2).dt.replace_time_zone("Asia/Tokyo"),
        pl.Series([dt.datetime.combine(day, dt.time()) for day in DAYS] * 2).dt.replace_time_zone("UTC"),
    ],
)
def test_unambiguous_dates_are_accepted(dates: object, tmp_path: Path) -> None:
    assert read(good(Date=dates), tmp_path)["Date"].to_list() == DAYS * 2


def test_utc_instants_become_the_day_of_the_market(tmp_path: Path) -> None:
    instants = pl.Series([dt.datetime.combine(day, dt.time(15)) for day in DAYS] * 2).dt.replace_time_zone("UTC")
    found = read(good(Date=instants), tmp_path, time_zone="Asia/Tokyo")
    assert found["Date"].to_list() == [day + dt.timedelta(days=1) for day in DAYS] * 2


def test_unsorted_rows_give_the_same_clean_prices(tmp_path: Path) -> None:
    results = []
    for name, frame in (("sorted", good()), ("shuffled", good().sample(fraction=1.0, shuffle=True, seed=3))):
        (tmp_path / name).mkdir()
        frame.write_parquet(tmp_path / name / "p.parquet")
        results.append(ingest(tmp_path / name, None, IngestConfig()).prices)
    assert results[0].equals(results[1])


def test_jquants_codes_and_adjusted_prices(tmp_path: Path) -> None:
    frame = good(Code=["1301"] * 3 + ["130A0"] * 3).with_columns(
        **{f"Adjustment{name}": pl.col(name) / 2 for name in ("Open", "High", "Low", "Close", "Volume")}
    )
    found = read(frame, tmp_path, preset="jquants")
    assert found["Code"].unique().sort().to_list() == ["13010", "130A0"]
    assert found["Close"].to_list() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert found["UnadjustedClose"].to_list() == [1, 2, 3, 4, 5, 6]


def test_yfinance_files_are_named_by_their_ticker(tmp_path: Path) -> None:
    for code in ("A", "B"):
        frame = good().filter(pl.col("Code") == code).drop("Code")
        frame.rename({"Close": "close"}).write_csv(tmp_path / f"{code}.csv")
    found = read_prices(tmp_path, PricesConfig(preset="yfinance"))
    assert found.select("Date", "Code", "Close").rows() == good().select("Date", "Code", "Close").rows()


def test_csv_equals_parquet(tmp_path: Path) -> None:
    good().write_csv(tmp_path / "prices.csv")
    assert read_prices(tmp_path / "prices.csv", PricesConfig()).equals(read(good(), tmp_path))


def test_columns_pass_through_by_pattern(tmp_path: Path) -> None:
    frame = good(x_one=[1.0] * 6, x_two=[2] * 6, other=[3.0] * 6)
    found = read(frame, tmp_path, passthrough=("x_*",))
    assert found.columns[-2:] == ["x_one", "x_two"]


def test_texts_do_not_pass_through(tmp_path: Path) -> None:
    good(name=["a", "b"] * 3, x=[1.5] * 6).write_csv(tmp_path / "p.csv")
    found = read_raw_prices(tmp_path / "p.csv", PricesConfig(passthrough=("*",)))
    assert found.frame.columns[-1] == "x"
    assert "column 'name' holds no numbers" in found.reading.notes[0]


def test_an_unknown_name_in_the_mapping_is_refused() -> None:
    with pytest.raises(ConfigError, match="columns: maps unknown names Clsoe"):
        PricesConfig(columns={"Clsoe": "c"})

"""Which column means what: adjusted closes, sources, and what is refused."""

import datetime as dt
import logging
from pathlib import Path

import polars as pl
import pytest

from atft_pipeline.errors import ConfigError, DataError
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.names import CHOICES, adjusted_field
from atft_pipeline.prices.reading.read import date_range
from tests.prices.reading.tables import CODES, DAYS, market, read, same

LEVEL = 0.25


def halved() -> pl.DataFrame:
    """The market as it is once a factor of a quarter has adjusted all but the last day."""
    factor = pl.when(pl.col("Date") < DAYS[-1]).then(LEVEL).otherwise(1.0)
    return market().with_columns(
        *(pl.col(name) * factor for name in ("Open", "High", "Low", "Close")), Volume=pl.col("Volume") / factor
    )


@pytest.mark.parametrize(
    "name",
    ["Adj Close", "AdjClose", "AdjustmentClose", "adj_close", "adjusted_close", "Adj. Close", "ADJ CLOSE",
     "Adj Close**", "5. adjusted close", "closeadj", "Close (adjusted)", "<ADJCLOSE>", "adjusted", "  adjClose "],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_adjusted_close_is_read(name: str, kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = market().with_columns(halved()["Close"].alias(name))
    path = tmp_path / f"p.{kind}"
    if kind == "csv":
        frame.write_csv(path)
    else:
        frame.write_parquet(path)
    with caplog.at_level(logging.INFO):
        found = read(path)
    same(found, halved())
    assert found.frame["UnadjustedClose"].equals(market()["Close"], check_names=False)
    assert f"Close from {(name.strip() if kind == 'csv' else name)!r} in place of 'Close'; Open, High" in caplog.text
    assert "Low scaled likewise; Volume scaled inversely" in caplog.text


def test_all_adjusted_columns_are_read_as_they_are(tmp_path: Path) -> None:
    names = {
        "Open": "Adj. Open",
        "High": "Adj. High",
        "Low": "Adj. Low",
        "Close": "Adj. Close",
        "Volume": "Adj. Volume",
    }
    adjusted = halved().select(pl.col(name).round(2).alias(other) for name, other in names.items())
    pl.concat([market(), adjusted], how="horizontal").write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv")
    same(found, halved().with_columns(pl.col(list(names)).round(2)))
    assert found.reading.close == "'Adj. Close' in place of 'Close'"


@pytest.mark.parametrize("name", ["adj_factor", "AdjustmentFactor", "adjustflag", "unadjustedclose", "closeunadj"])
def test_names_that_are_no_adjusted_price(name: str) -> None:
    assert adjusted_field(name) is None


def test_the_users_own_close_wins_and_it_is_said(tmp_path: Path) -> None:
    market().with_columns(AdjClose=halved()["Close"]).write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv", columns={"Close": "Close"})
    same(found)
    assert found.reading.notes == ("Close is read from 'Close' as ingest.prices.columns says; 'AdjClose' is not used",)


def test_adjusted_and_raw_files_are_not_put_together(tmp_path: Path) -> None:
    market().with_columns(AdjClose=halved()["Close"]).write_csv(tmp_path / "a.csv")
    market().write_csv(tmp_path / "b.csv")
    with pytest.raises(DataError, match=r"a\.csv holds adjusted prices .'AdjClose'. and .*b\.csv raw ones alone"):
        read(tmp_path)
    assert read(tmp_path, columns={"Close": "Close"}).frame.height == 2 * market().height


def test_an_adjusted_close_without_a_raw_one(tmp_path: Path) -> None:
    market().rename({"Close": "Adj Close"}).write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match=r'no raw close .*--params "ingest.prices.columns.Close=Adj Close"'):
        read(tmp_path / "p.csv")
    same(read(tmp_path / "p.csv", columns={"Close": "Adj Close"}))


def test_the_users_adjusted_close_beside_a_raw_one(tmp_path: Path) -> None:
    market().with_columns(halved()["Close"].alias("my adjusted close")).write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match="column 'nothing' is missing"):
        read(tmp_path / "p.csv", columns={"Close": "nothing"})
    assert read(tmp_path / "p.csv", columns={"Close": "Close"}).reading.notes == ()
    frame = market().with_columns(AdjClose=halved()["Close"])
    frame.write_csv(tmp_path / "q.csv")
    same(read(tmp_path / "q.csv", columns={"Close": "AdjClose"}), halved())


def test_an_adjusted_close_without_values_is_not_used(tmp_path: Path) -> None:
    market().with_columns(AdjClose=pl.lit(None, dtype=pl.Float64)).write_csv(tmp_path / "p.csv", null_value="null")
    found = read(tmp_path / "p.csv")
    same(found)
    assert "'AdjClose' holds no value: raw prices are read" in found.reading.notes[0]


def test_rows_without_an_adjusted_close_are_counted(tmp_path: Path) -> None:
    first = pl.int_range(pl.len()) < 2
    market().with_columns(AdjClose=pl.when(~first).then(halved()["Close"])).write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv")
    assert found.frame["Close"].null_count() == found.frame["Open"].null_count() == 2
    assert "2 rows have 'Close' and no 'AdjClose': they count as unpriced" in found.reading.notes[0]


def test_two_adjusted_closes_are_one_line(tmp_path: Path) -> None:
    market().with_columns(AdjClose=pl.col("Close"), adj_close=pl.col("Close")).write_csv(tmp_path / "p.csv")
    with pytest.raises(DataError, match="'AdjClose' and 'adj_close' could both be the adjusted Close"):
        read(tmp_path / "p.csv")


def lower() -> pl.DataFrame:
    return market().rename(str.lower)


def per_ticker(frame: pl.DataFrame, folder: Path, name: str, code: str = "Code") -> None:
    for one in CODES:
        part = frame.filter(pl.col(code) == one).drop(code)
        part.write_csv(folder / name.format(one.lower() if name.startswith("{}_us") else one))


def stooq(folder: Path) -> None:
    (folder / "us").mkdir()
    for code in CODES:
        rows = market().filter(pl.col("Code") == code)
        rows.select(
            pl.lit(f"{code}.US").alias("<TICKER>"), pl.lit("D").alias("<PER>"),
            pl.col("Date").dt.strftime("%Y%m%d").alias("<DATE>"), pl.lit("000000").alias("<TIME>"),
            *(pl.col(n).alias(f"<{n.upper()}>") for n in ("Open", "High", "Low", "Close")),
            pl.col("Volume").alias("<VOL>"), pl.lit(0).alias("<OPENINT>"),
        ).write_csv(folder / "us" / f"{code.lower()}.us.txt")  # fmt: skip


def alphavantage(folder: Path) -> None:
    frame = lower().rename({"date": "timestamp"}).with_columns(dividend_amount=0.0, split_coefficient=1.0)
    per_ticker(frame.with_columns(adjusted_close=halved()["Close"]), folder, "daily_adjusted_{}.csv", "code")


def eodhd(folder: Path) -> None:
    per_ticker(market().with_columns(Adjusted_close=halved()["Close"]), folder, "{}.US.csv")


def tiingo(folder: Path) -> None:
    adjusted = halved().select(
        pl.col("Open").alias("adjOpen"), pl.col("High").alias("adjHigh"), pl.col("Low").alias("adjLow"),
        pl.col("Close").alias("adjClose"), pl.col("Volume").alias("adjVolume"),
    )  # fmt: skip
    frame = pl.concat([lower(), adjusted], how="horizontal").with_columns(divCash=0.0, splitFactor=1.0)
    per_ticker(frame.with_columns(date=pl.format("{}T00:00:00.000Z", "date")), folder, "{}.csv", "code")


def polygon(folder: Path) -> None:
    stamp = pl.col("date").cast(pl.Datetime("ns")).dt.replace_time_zone("America/New_York").dt.epoch("ns")
    frame = lower().with_columns(window_start=stamp, transactions=7).drop("date").rename({"code": "ticker"})
    for number, part in enumerate(frame.partition_by("window_start")):
        part.write_csv(folder / f"day{number}.csv")


def polygon_rest(folder: Path) -> None:
    stamp = pl.col("Date").cast(pl.Datetime("ms")).dt.replace_time_zone("America/New_York").dt.epoch("ms")
    market().select(
        pl.col("Code").alias("T"), pl.col("Volume").alias("v"), pl.col("Close").alias("vw"), pl.col("Open").alias("o"),
        pl.col("Close").alias("c"), pl.col("High").alias("h"), pl.col("Low").alias("l"), stamp.alias("t"),
        pl.lit(9).alias("n"),
    ).write_parquet(folder / "p.parquet")  # fmt: skip


def wiki(folder: Path) -> None:
    adjusted = halved().select(pl.col(n).alias(f"adj_{n.lower()}") for n in ("Open", "High", "Low", "Close", "Volume"))
    frame = lower().rename({"code": "ticker"}).with_columns(pl.lit(0.0).alias("ex-dividend"), split_ratio=1.0)
    pl.concat([frame, adjusted], how="horizontal").write_csv(folder / "WIKI.csv")


def akshare(folder: Path) -> None:
    market().select(
        pl.col("Date").alias("日期"), pl.col("Code").alias("股票代码"), pl.col("Open").alias("开盘"),
        pl.col("Close").alias("收盘"), pl.col("High").alias("最高"), pl.col("Low").alias("最低"),
        (pl.col("Volume") / 100).alias("成交量"), (pl.col("Volume") * pl.col("Close")).alias("成交额"),
    ).write_csv(folder / "p.csv")  # fmt: skip


def tushare(folder: Path) -> None:
    frame = lower().rename({"code": "ts_code", "volume": "vol"}).with_columns(pl.col("vol") / 100)
    day = pl.col("date").dt.strftime("%Y%m%d").alias("trade_date")
    frame.with_columns(day, amount=pl.col("vol") * pl.col("close") / 10).drop("date").write_csv(folder / "p.csv")


def baostock(folder: Path) -> None:
    frame = lower().with_columns(tradestatus=1, adjustflag=2)
    halted = frame.filter(pl.col("code") == "RED").with_columns(
        date=pl.col("date") + dt.timedelta(days=7), volume=0.0, tradestatus=0
    )
    pl.concat([frame, halted]).write_csv(folder / "p.csv")


def nse(folder: Path) -> None:
    frame = market().rename({"Code": "SYMBOL", "Volume": "TOTTRDQTY", "Date": "TIMESTAMP"}).rename(str.upper)
    frame = frame.with_columns(
        SERIES=pl.lit("EQ"), TIMESTAMP=pl.col("TIMESTAMP").dt.strftime("%d-%b-%Y").str.to_uppercase()
    )
    odd = frame.with_columns(SERIES=pl.lit("BE"), CLOSE=pl.col("CLOSE") * 1.5)
    bond = frame.with_columns(SERIES=pl.lit("N1"), CLOSE=pl.lit(1000.0))
    pl.concat([bond, odd, frame]).write_csv(folder / "p.csv")


def jquants(folder: Path) -> None:
    short = {"Date": "Date", "Code": "Code", "Open": "O", "High": "H", "Low": "L", "Close": "C", "Volume": "Vo"}
    adjusted = halved().select(pl.col(n).alias(f"Adj{short[n]}") for n in ("Open", "High", "Low", "Close", "Volume"))
    pl.concat([market().rename(short), adjusted], how="horizontal").write_parquet(folder / "p.parquet")


def yfinance(folder: Path) -> None:
    per_ticker(
        market().with_columns(pl.lit(0.0).alias("Dividends"), pl.lit(0.0).alias("Stock Splits")), folder, "{}.csv"
    )


SOURCES = {
    "stooq": (stooq, market(), "RED.US", "Close from '<CLOSE>'"),
    "alphavantage": (alphavantage, halved(), "RED", "in place of 'close'"),
    "eodhd": (eodhd, halved(), "RED.US", "'Adjusted_close' in place of 'Close'"),
    "tiingo": (tiingo, halved(), "RED", "'adjClose' in place of 'close'"),
    "polygon": (polygon, market(), "RED", ""),
    "polygon rest": (polygon_rest, market(), "RED", ""),
    "quandl_wiki": (wiki, halved(), "RED", "'adj_close' in place of 'close'"),
    "akshare": (akshare, market(), "RED", "lots of 100"),
    "tushare": (tushare, market(), "RED", "lots of 100"),
    "baostock": (baostock, market(), "RED", "5 rows of suspended days"),
    "nse": (nse, market(), "RED", "15 rows of a second series"),
    "jquants": (jquants, halved(), "RED", "'AdjC' in place of 'C'"),
    "yfinance": (yfinance, market(), "RED", "taken from the names of the files"),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("auto", [True, False])
def test_sources_are_recognised(name: str, auto: bool, tmp_path: Path) -> None:
    write, expected, code, said = SOURCES[name]
    write(tmp_path)
    preset = name.split(maxsplit=1)[0]
    found = read(tmp_path, preset="auto" if auto else preset)
    suffix = code.removeprefix("RED")
    same(found, expected.with_columns(pl.col("Code") + suffix))
    assert found.reading.preset == preset
    assert said in "\n".join([found.reading.line(), *found.reading.notes])
    assert date_range(tmp_path, PricesConfig())[1] >= DAYS[-1]


def test_volume_in_shares_at_a_source_of_lots_stays(tmp_path: Path) -> None:
    frame = lower().rename({"code": "ts_code", "date": "trade_date", "volume": "vol"})
    frame.with_columns(amount=pl.col("vol") * pl.col("close") / 1000).write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv")
    same(found)
    assert not any("lots" in note for note in found.reading.notes)


def test_factors_of_tushare_adjust(tmp_path: Path) -> None:
    factor = (halved()["Close"] / market()["Close"]).alias("adj_factor")
    frame = lower().rename({"code": "ts_code", "date": "trade_date", "volume": "vol"}).with_columns(factor)
    frame.with_columns(amount=pl.col("vol") * pl.col("close") / 1000).write_csv(tmp_path / "p.csv")
    same(read(tmp_path / "p.csv"), halved())


def test_bars_of_stooq_that_are_not_daily(tmp_path: Path) -> None:
    stooq(tmp_path)
    path = tmp_path / "us" / "red.us.txt"
    path.write_text(path.read_text().replace(",D,", ",5,"))
    with pytest.raises(DataError, match="<PER> is '5', so the bars are not daily"):
        read(tmp_path)


def test_standard_knows_its_own_names_alone(tmp_path: Path) -> None:
    frame = market().rename({"Code": "Ticker"}).with_columns(pl.lit(0.0).alias("Dividends"), stock_splits=0.0)
    frame.write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"--params ingest\.prices\.preset=auto"):
        read(tmp_path / "p.parquet", preset="standard")
    same(read(tmp_path / "p.parquet", preset="yfinance"))


def test_two_columns_that_could_be_one_are_one_line(tmp_path: Path) -> None:
    market().drop("Close").with_columns(CLOSE=1.0, close=2.0).write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"p\.parquet: columns 'CLOSE' and 'close' could both be Close"):
        read(tmp_path / "p.parquet")


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "prices as codes": ({"Code": "Close"}, "column 'Close' is Close and cannot be Code too"),
    "floats as codes": ({"Code": "mean"}, "these are prices and no codes; .*ingest.prices.columns.Code=Ticker"),
    "a name that is not there": ({"Vwap": "vwp"}, "column 'vwp' is missing"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_that_mean_something_else(name: str, kind: str, tmp_path: Path) -> None:
    columns, message = REFUSED[name]
    frame = market().drop("Code").with_columns(mean=pl.col("Close") - 0.125)
    path = tmp_path / f"p.{kind}"
    frame.write_csv(path) if kind == "csv" else frame.write_parquet(path)
    with pytest.raises(DataError, match=message):
        read(path, columns=columns)


def test_parameters_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="time_zone: must be one such as America/New_York or Asia/Tokyo, got 'Mars/Ph"
    ):
        PricesConfig(time_zone="Mars/Phobos")
    with pytest.raises(ConfigError, match="preset: must be one of auto, jquants"):
        PricesConfig(preset="bloomberg")
    with pytest.raises(ConfigError, match="maps Volume, Open to the one column 'Close'"):
        PricesConfig(columns={"Open": "Close", "Volume": "Close"})
    market().write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match=r"passthrough asks for 'x_\*', which matches no column"):
        read(tmp_path / "p.parquet", passthrough=("x_*",))


def test_every_choice_is_tried() -> None:
    assert {*(name.split()[0] for name in SOURCES), "auto", "standard"} == set(CHOICES)


@pytest.mark.parametrize("name", ["AdjustmentFactor", "cfacpr", "close_qfq", "后复权价", "factor"])
def test_a_column_of_adjustments_that_is_not_used_is_told(name: str, tmp_path: Path) -> None:
    market().with_columns(pl.lit(2.0).alias(name)).write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv")
    same(found)
    assert f"{name!r} was not used: Close is 'Close' as it stands, adjusted or not" in found.reading.notes


def test_the_adjusted_close_of_yahoo_japan(tmp_path: Path) -> None:
    market().with_columns((pl.col("Close") / 2).alias("調整後終値*")).write_csv(tmp_path / "p.csv")
    found = read(tmp_path / "p.csv").frame
    assert (found["Close"] * 2).equals(market()["Close"])
    assert (found["Volume"] / 2).equals(market()["Volume"])

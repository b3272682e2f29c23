"""The tutorial, done as it says: downloads of the shape that each source has, then the commands."""

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml

from tests.commands import Kedro
from tests.project import ROOT, make_project
from tests.test_commands import TINY

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*register_new_resolver:UserWarning")]

TUTORIAL = (ROOT / "docs/start/your-prices.md").read_text(encoding="utf-8")
SAMPLE = next((ROOT / "data/01_raw/sample_market/prices.parquet").glob("*/prices.parquet"))


def section(title: str) -> tuple[list[str], list[str]]:
    """Python blocks and commands of a section of the tutorial."""
    text = re.split(r"^## ", TUTORIAL, flags=re.MULTILINE)
    (found,) = [part for part in text if part.startswith(f"{title}\n")]
    python = re.findall(r"```python\n(.*?)```", found, re.DOTALL)
    rest = re.sub(r"```python\n.*?```", "", found, flags=re.DOTALL)
    commands = [line for block in re.findall(r"```\n(.*?)```", rest, re.DOTALL) for line in block.splitlines()]
    return python, commands


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    """Thirty listings over 240 sessions, with a split in two that the adjusted close takes out."""
    frame = pl.read_parquet(SAMPLE).to_pandas().drop_duplicates(["Date", "Code"])
    codes, days = sorted(frame["Code"].unique())[:30], sorted(frame["Date"].unique())[:240]
    return frame[frame["Code"].isin(codes) & frame["Date"].isin(days)].astype({"Date": "datetime64[ns]"})


@pytest.fixture(scope="module")
def kedro() -> Iterator[Kedro]:
    with Kedro() as process:
        yield process


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_project(tmp_path)
    (folder / "conf/local/parameters.yml").write_text(yaml.safe_dump(TINY))
    monkeypatch.chdir(folder)
    return folder


def module(name: str, monkeypatch: pytest.MonkeyPatch, **contents: object) -> None:
    """Put a module in the place of one that would ask a server."""
    made = ModuleType(name)
    vars(made).update(contents)
    monkeypatch.setitem(sys.modules, name, made)


def adjusted(frame: pd.DataFrame) -> pd.Series:
    """Half the price before the hundredth session."""
    return frame["Close"] * np.where(frame["Date"] < sorted(frame["Date"].unique())[100], 0.5, 1.0)


def yfinance(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """``yfinance.download`` as of 1.0: a level for the tickers above one for the columns."""

    def download(tickers: list[str], *, start: str, auto_adjust: bool, group_by: str) -> pd.DataFrame:
        assert (auto_adjust, group_by) == (False, "ticker")
        table = frame.assign(**{"Adj Close": adjusted(frame)}).set_index(["Date", "Code"]).unstack("Code")
        table = table[["Open", "High", "Low", "Close", "Adj Close", "Volume"]].swaplevel(axis=1).sort_index(axis=1)
        return table.rename_axis(columns=["Ticker", "Price"])

    module("yfinance", monkeypatch, download=download)


def jquants(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """``jquantsapi.ClientV2`` as of 2.8: short names, adjusted prices beside raw ones, codes of five letters."""
    short = {"Open": "O", "High": "H", "Low": "L", "Close": "C", "Volume": "Vo"}
    codes = {code: f"{1301 + place}0" for place, code in enumerate(sorted(frame["Code"].unique()))}

    class ClientV2:
        def get_eq_bars_daily_range(self, start_dt: str, end_dt: str) -> pd.DataFrame:
            assert start_dt < end_dt
            bars = frame.rename(columns=short).assign(Code=frame["Code"].map(codes))
            ratio = adjusted(frame) / frame["Close"]
            return bars.assign(**{f"Adj{name}": bars[name] * ratio for name in "OHLC"}, AdjVo=bars["Vo"] / ratio)

        def get_eq_master(self) -> pd.DataFrame:
            names = {"S33Nm": "水産・農林業", "MktNm": "プライム"}
            return pd.DataFrame([{"Code": code, **names} for code in codes.values()])

    module("jquantsapi", monkeypatch, ClientV2=ClientV2)


def stooq(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """The archive of daily prices: a folder an exchange, a text file a ticker."""
    with zipfile.ZipFile("d_us_txt.zip", "w") as archive:
        for code, rows in frame.groupby("Code"):
            lines = ["<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"]
            lines += [
                f"{code}.US,D,{row.Date:%Y%m%d},000000,{row.Open},{row.High},{row.Low},{row.Close},{row.Volume},0"
                for row in rows.itertuples()
            ]
            archive.writestr(f"data/daily/us/nasdaq stocks/1/{code.lower()}.us.txt", "\n".join(lines))


@pytest.mark.parametrize(
    ("title", "prepare", "said"),
    [
        ("From yfinance", yfinance, "'Adj Close' in place of 'Close'"),
        ("From J-Quants", jquants, "'AdjC' in place of 'C'"),
        ("From Stooq", stooq, "Close from '<CLOSE>'"),
    ],
)
def test_a_source_of_the_tutorial(
    title: str,
    prepare: object,
    said: str,
    raw: pd.DataFrame,
    project: Path,
    kedro: Kedro,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert callable(prepare)
    prepare(raw, monkeypatch)
    python, commands = section(title)
    for block in python:
        exec(compile(block, title, "exec"), {"__name__": "tutorial"})  # the page's own text
    for command in commands:
        words = command.split()
        if words[0] == "python":
            assert words[1:3] == ["-m", "zipfile"]
            zipfile.main(words[3:])
            continue
        code, printed = kedro(project, *words[1:])
        assert code == 0, printed
        assert said in printed.replace("\n", " "), printed
    panel = project / "data/05_model_input/panel.arrow"
    assert next(panel.glob("*/panel.arrow")).stat().st_size > 100_000


def test_every_section_of_a_source_is_run() -> None:
    assert re.findall(r"^## From (.*)$", TUTORIAL, re.MULTILINE) == ["yfinance", "J-Quants", "Stooq"]

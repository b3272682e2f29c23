import logging
from pathlib import Path

import polars as pl
import pytest
from kedro.io import DatasetError

from atft_pipeline.datasets.raw import RawPathDataset
from atft_pipeline.errors import DataError
from atft_pipeline.prices.ingest import IngestConfig, ingest
from atft_pipeline.prices.listings import match_listings, read_listings
from atft_pipeline.prices.reading.config import PricesConfig
from atft_pipeline.prices.reading.read import read_prices
from tests.prices.reading.test_read import good


def test_prices_that_name_the_exchange_are_a_table_of_listings(tmp_path: Path) -> None:
    """A file a year; B moves, and its last row counts."""
    good(Exchange=["NYSE"] * 6).write_parquet(tmp_path / "2023.parquet")
    good(Exchange=["NYSE"] * 5 + ["NASDAQ"]).write_parquet(tmp_path / "2024.parquet")
    table = read_listings(tmp_path, PricesConfig())
    assert table.rows() == [("A", None, "NYSE", None), ("B", None, "NASDAQ", None)]


def test_a_table_without_codes_is_named(tmp_path: Path) -> None:
    pl.DataFrame({"name": ["A"], "sector": ["energy"]}).write_parquet(tmp_path / "listings.parquet")
    with pytest.raises(
        DataError, match=r"listings\.parquet: the listings have no column 'Code'; they have name, sector"
    ):
        read_listings(tmp_path / "listings.parquet", PricesConfig())


def matched(listed: list[str], priced: list[str]) -> dict[str, str]:
    """Sector that each code of the prices gets; the sector is the code as it is listed."""
    table = pl.DataFrame({"Code": listed, "sector": listed, "market": ["M"] * len(listed)})
    found, _ = match_listings(table, pl.Series(priced))
    return {code: sector for code, sector, _ in found.rows() if code in priced}


@pytest.mark.parametrize(
    ("listed", "priced"),
    [
        (["000001", "000002", "600000"], ["1", "2", "600000"]),
        (["1", "2"], ["000001", "000002"]),
        (["aapl", "msft"], ["AAPL", "MSFT"]),
        (["BRK-B", "BF-B"], ["BRK.B", "BF.B"]),
        (["AAPL", "MSFT"], ["AAPL.US", "MSFT.US"]),
        (["000001.SZ", "600000.SH"], ["sz.000001", "sh.600000"]),
        (["7203", "130A"], ["72030", "130A0"]),
        (["AAPL", "BRK.A"], ["NASDAQ_AAPL", "NYSE_BRK.A"]),
    ],
)
def test_codes_match_where_nothing_else_can_be_meant(listed: list[str], priced: list[str]) -> None:
    assert matched(listed, priced) == dict(zip(priced, listed, strict=True))


@pytest.mark.parametrize(
    ("listed", "priced"),
    [
        (["SAN"], ["SAN.MC", "SAN.PA"]),
        (["1", "0001"], ["000001"]),
        (["BRK.B"], ["BRK.A"]),
        (["AAPL.US", "AAPL.MX"], ["AAPL"]),
    ],
)
def test_codes_that_could_be_two_match_none(listed: list[str], priced: list[str]) -> None:
    assert matched(listed, priced) == {}


def test_equal_text_goes_first() -> None:
    assert matched(["1", "000001", "2"], ["1", "000002"]) == {"1": "1", "000002": "2"}


def test_how_many_codes_matched_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "prices").mkdir()
    good().write_parquet(tmp_path / "prices" / "p.parquet")
    (tmp_path / "listings.csv").write_text("Symbol,Security,GICS Sector\na,Alpha,Energy\nz,Zeta,Tech\n")
    with caplog.at_level(logging.INFO):
        result = ingest(tmp_path / "prices", tmp_path / "listings.csv", IngestConfig())
    assert result.listings.select("Code", "sector").rows() == [("A", "Energy"), ("B", None)]
    said = result.report["reading"]["listings"]
    assert (said["codes"], said["matched"]) == (2, 1)
    assert said["notes"][0] == "listings: 1 of 2 codes of the prices have a row"
    for line in ("1 of 2 codes of the prices have a row", "1 code has no row, such as B", "no market is known"):
        assert line in caplog.text


@pytest.mark.parametrize("name", ["Ticker", "symbol", "TICKER SYMBOL", "Code", "ts_code"])
@pytest.mark.parametrize("sector", ["GICS Sector", "Sector", "SECTOR ", "industry", "Sector33CodeName"])
def test_names_of_columns(name: str, sector: str, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(f"{name};Name;{sector}\nA;Alpha;Energy\n")
    assert read_listings(tmp_path / "l.csv", PricesConfig()).rows() == [("A", "Energy", None, None)]


@pytest.mark.parametrize(
    "place", ["prices/listings.parquet", "prices/listings.csv", "listings.csv", "listings.csv.gz", "Listings.CSV"]
)
def test_listings_are_found_in_and_beside_the_prices(place: str, tmp_path: Path) -> None:
    (tmp_path / "prices").mkdir()
    good().write_parquet(tmp_path / "prices" / "p.parquet")
    table = pl.DataFrame({"Code": ["A"], "sector": ["energy"]})
    if place.endswith("parquet"):
        table.write_parquet(tmp_path / place)
    else:
        table.write_csv(tmp_path / place, compression="gzip" if place.endswith("gz") else "uncompressed")
    dataset = RawPathDataset(None, beside=str(tmp_path / "prices"), sibling="listings.parquet", optional=True)
    assert dataset.load() == tmp_path / place
    assert read_prices(tmp_path / "prices", PricesConfig()).height == good().height


@pytest.mark.parametrize("name", ["listings", "oracle"])
def test_an_absent_table_is_named_by_its_own_parameter(name: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    dataset = RawPathDataset(absent, beside="/prices", sibling=f"{name}.parquet", optional=True)
    with pytest.raises(DatasetError, match=f"{absent}: no such file or folder; pass --params {name}="):
        dataset.load()
    with pytest.raises(DatasetError, match="pass --params prices="):
        RawPathDataset(absent).load()

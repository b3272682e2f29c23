"""Names that columns of daily prices have at the sources that people use, and how each source is recognised."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

PRICE_COLUMNS = ("Open", "High", "Low", "Close")
REQUIRED = ("Date", "Code", *PRICE_COLUMNS, "Volume")
OPTIONAL = ("Vwap", "UnadjustedClose", "Dividend")


@lru_cache(maxsize=4096)
def key(name: str) -> str:
    """Reduce a name to its letters and digits: ``Adj. Close*``, ``adj_close`` and ``<ADJCLOSE>`` are one name."""
    # Alpha Vantage numbers its names: "5. adjusted close".
    return "".join(letter for letter in re.sub(r"^\d+\.\s+", "", name).casefold() if letter.isalnum())


HIGHS = ("plushaut", "haut", "máximo", "maximo", "máxima", "massimo", "고가", "最高價", "pxhigh")
LOWS = ("plusbas", "bas", "mínimo", "minimo", "mínima", "저가", "最低價", "pxlow")
# Canonical name -> the keys that it has elsewhere, best first.
COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "Date": (
        *("date", "tradedate", "tradingdate", "tradingday", "datetime", "day", "dt", "date1", "traddt", "bizdt"),
        "dtyyyymmdd",
        *("windowstart", "timestamp", "time", "日期", "交易日期", "时间", "data", "datum", "fecha"),
        *("tsevent", "日付", "일자", "날짜", "交易日"),
    ),
    "Code": (
        *("code", "ticker", "symbol", "tscode", "tckrsymb", "stockcode", "securitycode", "secid", "instrument", "sym"),
        *(
            "tic",
            "stock",
            "name",
            "permno",
            "isin",
            "股票代码",
            "证券代码",
            "代码",
            "銘柄コード",
            "コード",
            "localcode",
            *("symbole", "kürzel", "종목코드", "證券代號", "股票代號"),
        ),
    ),
    "Open": (
        "open",
        "openprice",
        "openingprice",
        "opnpric",
        "o",
        "开盘",
        "开盘价",
        "始値",
        "otwarcie",
        "eröffnung",
        "apertura",
        *("ouverture", "abertura", "시가", "開盤價", "pxopen"),
    ),
    "High": ("high", "highprice", "hghpric", "h", "最高", "最高价", "高値", "najwyzszy", "hoch", *HIGHS),
    "Low": ("low", "lowprice", "lwpric", "l", "最低", "最低价", "安値", "najnizszy", "tief", *LOWS),
    "Close": (
        *("close", "closeprice", "closingprice", "closelast", "clspric", "c", "收盘", "收盘价", "終値", "zamkniecie"),
        *("schluss", "schlusskurs", "price", "last", "clôture", "cloture", "dernier", "cierre", "último", "ultimo"),
        *("chiusura", "fechamento", "종가", "收盤價", "pxlast"),
    ),
    "Volume": (
        *("volume", "vol", "tottrdqty", "ttltrdqnty", "ttltradgvol", "sharestraded", "tradedvolume", "v", "vo"),
        *("成交量", "出来高", "wolumen", "volumen", "volumi", "거래량", "成交股數", "pxvolume"),
    ),
    "Vwap": ("vwap", "vw", "avgprice"),
    "Dividend": (
        *("dividends", "dividend", "exdividend", "divcash", "dividendamount", "cashdividend", "cashdividends"),
        "dividendpershare",
    ),
    "UnadjustedClose": ("unadjustedclose", "closeunadj", "unadjclose", "rawclose", "closeraw", "closeunadjusted"),
}
DATES = frozenset(COLUMN_NAMES["Date"])
SHORT = {"o": "Open", "h": "High", "l": "Low", "c": "Close", "v": "Volume", "vo": "Volume"}
UNNAMED = ("", "unnamed0", "index", "indexlevel0", "column1")


# Adjusted columns in words of other languages.
OTHER_ADJUSTED: Mapping[str, str] = {"調整後終値": "Close", "수정종가": "Close", "复权收盘价": "Close"}


@lru_cache(maxsize=4096)
def adjusted_field(name: str) -> str | None:
    """Canonical name of which this is the adjusted column, such as Close of ``Adj Close``, else ``None``."""
    reduced = key(name)
    if reduced in OTHER_ADJUSTED:
        return OTHER_ADJUSTED[reduced]
    if "adj" not in reduced or "unadj" in reduced or "nonadj" in reduced:
        return None
    rest = re.sub("adjustment|adjusted|split|dividend", "", reduced).replace("adj", "")
    if rest in SHORT:
        return SHORT[rest]
    if not rest:
        return "Close"
    return next((name for name in (*PRICE_COLUMNS, "Volume") if rest in (key(name), f"{key(name)}price")), None)


# Keys that name a field of a price table, the adjusted ones included: key -> name to use.
FIELDS: Mapping[str, str] = {
    **{other: name for name in (*PRICE_COLUMNS, "Volume", "Vwap") for other in COLUMN_NAMES[name] if other != "name"},
    **dict.fromkeys(("adjclose", "adjustedclose", "adjusted", "closeadj"), "Adj Close"),
    **{other: other for other in ("dividends", "stocksplits", "capitalgains", "repaired", "openint")},
}


@dataclass(frozen=True)
class Preset:
    """What is particular to a source.

    Attributes:
        signature: sets of keys; a table that has all of one set comes from there.
        lot: shares of one unit of Volume.
        time_zone: zone of its instants.
        note: what its users must know.
        exact: canonical name -> names as they are written, where letters differ by case alone.
        splits_alone: its adjusted close holds splits and no dividends.
    """

    signature: tuple[frozenset[str], ...] = ()
    lot: float = 1.0
    time_zone: str | None = None
    note: str = ""
    exact: Mapping[str, str] | None = None
    splits_alone: bool = False


def _keys(*names: str) -> frozenset[str]:
    return frozenset(names)


# In the order of recognition. Prices of every source are read adjusted where adjusted ones stand beside the raw ones.
PRESETS: Mapping[str, Preset] = {
    "jquants": Preset(
        (_keys("adjustmentclose", "code"), _keys("adjc", "code"), _keys("code", "c", "vo")), splits_alone=True
    ),
    "tushare": Preset(
        (_keys("tscode", "tradedate"),),
        lot=100.0,
        note="tushare's daily prices are not adjusted unless a column adj_close holds adjusted ones",
    ),
    "baostock": Preset((_keys("tradestatus"), _keys("adjustflag"))),
    "akshare": Preset((_keys("日期", "收盘", "成交量"),), lot=100.0),
    "nse": Preset(
        (_keys("series", "tottrdqty"), _keys("series", "ttltrdqnty"), _keys("tckrsymb", "clspric")),
        note="NSE bhavcopies are not adjusted for splits and bonus issues",
    ),
    "polygon": Preset(
        (_keys("windowstart", "transactions"), _keys("windowstart", "ticker"), _keys("vw", "o", "h", "l", "c", "n")),
        time_zone="America/New_York",
        exact={"Date": "t", "Code": "T"},
    ),
    "tiingo": Preset((_keys("adjclose", "divcash"), _keys("adjclose", "adjvolume", "splitfactor"))),
    "quandl_wiki": Preset((_keys("exdividend", "splitratio"), _keys("adjclose", "adjvolume", "splitratio"))),
    "alphavantage": Preset((_keys("adjustedclose", "splitcoefficient"), _keys("timestamp", "open", "close"))),
    "eodhd": Preset((_keys("adjustedclose"),)),
    "stooq": Preset((_keys("ticker", "per", "openint"), _keys("openint"))),
    "yfinance": Preset((_keys("adjclose"), _keys("dividends", "stocksplits"))),
    "standard": Preset((_keys(*(key(name) for name in REQUIRED)),)),
    "other names": Preset(),
}
CHOICES = ("auto", *(name for name in PRESETS if name != "other names"))


def recognise(names: list[str]) -> str:
    """Name the source of a table by its columns; ``other names`` where the names are known but not the source."""
    found = {key(name) for name in names}
    return next(
        (name for name, preset in PRESETS.items() if any(one <= found for one in preset.signature)), "other names"
    )

"""Wide tables of prices, one column a ticker, stacked to one row a day and ticker."""

import re
from collections.abc import Mapping
from dataclasses import replace

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.dates import is_date
from atft_pipeline.prices.reading.files import Table, two_headers
from atft_pipeline.prices.reading.names import COLUMN_NAMES, FIELDS, UNNAMED, adjusted_field, key

LEAST_TICKERS = 2
SINGLE = frozenset("ohlc")
NUMBER = re.compile(r"^[-+(]?[^\w\s]?\s?\d")
# Words in the name of a file that do not tell which field it holds.
VAGUE = frozenset(("price", "last", *"ohlcv"))
CODES = frozenset(COLUMN_NAMES["Code"])
PAIR = re.compile(r"^\(['\"](?P<one>[^'\"]*)['\"], ['\"](?P<two>[^'\"]*)['\"]\)$")


def stack(table: Table, mapped: Mapping[str, str]) -> Table:
    """Stack a table whose columns are tickers; a table of one row a day and ticker comes back as it is.

    Four forms are known: two header rows (fields and tickers, as yfinance writes them), names that hold both
    (``Close_AAPL``, ``AAPL.Close``), and closes alone, a column a ticker or a column a day. A table without dates whose
    file is named by a day is of that day.

    Args:
        table: as it was opened.
        mapped: names that the user gave to columns; where one is not Date, there is one row a day and ticker.

    Raises:
        DataError: a wide table has no column of tickers.
    """
    names = table.frame.collect_schema().names()
    if table.text and len(table.head) > 1 and two_headers([list(row) for row in table.head]):
        return _two_rows(table, names)
    if {*mapped} - {"Date"} and {*mapped.values()} <= {*names}:
        return table
    date = mapped["Date"] if mapped.get("Date") in names else date_column(table, names)
    others = [name for name in names if name != date]
    across = [name for name in names if is_date(name, numbers=False)]
    if len(across) >= max(LEAST_TICKERS, len(names) - 3):
        return _transposed(table, names, across)
    if date is None and is_date(table.stem, numbers=False):
        note = "the day was taken from the name of the file"
        dated = table.frame.with_columns(pl.lit(table.stem).alias("Date"))
        return replace(table, frame=dated, notes=(*table.notes, note))
    flat = date is None or bool({key(name) for name in others} & CODES) or _has_fields(others)
    return table if flat or date is None else _stacked_names(table, date, others)


def _stacked_names(table: Table, date: str, others: list[str]) -> Table:
    """Stack a table whose columns are tickers, or fields and tickers; one without a name is an index."""
    others = [name for name in others if key(name) not in UNNAMED]
    pairs = {name: pair for name in others if (pair := _pair(name))}
    if pairs and len(pairs) == len(others):
        return _stacked(table, date, pairs, "names of field and ticker in one")
    if len(others) < LEAST_TICKERS or not _numeric(table, others) or _repeats(table, date):
        return table
    words = [key(word).removesuffix("s") for word in re.split(r"[ _.-]+", table.stem)]
    field = next((FIELDS[word] for word in reversed(words) if word not in VAGUE and word in FIELDS), "Close")
    return _stacked(table, date, {name: (field, name) for name in others}, f"{field} alone, a column a ticker")


def join_fields(tables: list[Table]) -> list[Table]:
    """Join wide tables that hold one field each, such as close.csv and volume.csv, to one table.

    Raises:
        DataError: a wide table holds another field than the close, and it is not clear what it belongs to.
    """
    held = [[n for n in table.frame.collect_schema().names() if n not in ("Date", "Code")] for table in tables]
    alone = [table.stacked and len(fields) == 1 for table, fields in zip(tables, held, strict=True)]
    fields = [names[0] for names, one in zip(held, alone, strict=True) if one]
    if set(fields) <= {"Close", "Adj Close"} and len(set(fields)) < 2:
        return tables
    if not all(alone) or len(set(fields)) < len(fields) or not {"Close", "Adj Close"} & set(fields):
        place = next(p for p, names in enumerate(held) if alone[p] and names[0] != "Close")
        msg = (
            f"{tables[place]}: a wide table of {held[place][0]} alone; put one such table a field into the folder "
            "(open, high, low, close, volume) and nothing else, or give Date, Code, Open, High, Low, Close, Volume"
        )
        raise DataError(msg)
    frame = tables[0].frame.collect()
    for table in tables[1:]:
        frame = frame.join(table.frame.collect(), on=["Date", "Code"], how="full", coalesce=True)
    text = all(table.text for table in tables)
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return [replace(tables[0], frame=frame.lazy(), text=text, notes=notes)]


def check_wide(tables: list[Table]) -> None:
    """Refuse wide tables of the same days and columns: each is one ticker then, under names that are not known.

    Raises:
        DataError: naming two files and the columns that were taken for tickers.
    """
    wide = [table for table in tables if table.stacked][:2]
    if len(wide) < 2:
        return
    one, two = (table.frame.select(pl.col("Date", "Code").cast(pl.String)).collect() for table in wide)
    if 2 * one.join(two, on=["Date", "Code"], how="semi").height <= one.height:
        return
    names = one["Code"].unique(maintain_order=True).head(8)
    msg = (
        f"{wide[0]} and {wide[1]} hold the same days and the same columns ({', '.join(names)}), which were taken for "
        "tickers; where each file is one ticker, name its columns, such as --params "
        "ingest.prices.columns.Close=ITS_NAME, else leave one of the files out"
    )
    raise DataError(msg)


def _has_fields(names: list[str]) -> bool:
    """Whether the columns are fields of a price; a few tickers, such as OPEN, LOW, C or V, look like fields too."""
    keys = {key(name) for name in names}
    if keys >= SINGLE:
        return True
    fields = {FIELDS[one] for one in keys if one in FIELDS and len(one) > 1} | {
        "Adj Close" for name in names if adjusted_field(name)
    }
    return bool(fields & {"Close", "Adj Close"}) or len(fields) > 2


def date_column(table: Table, names: list[str]) -> str | None:
    """Find the dates: by name, else the first column where it has no name and holds dates."""
    by_key = {key(name): name for name in reversed(names)}
    found = next((by_key[other] for other in COLUMN_NAMES["Date"] if other in by_key), None)
    if found is None and {"t", *SINGLE} <= set(names):
        return "t"
    if found is not None or not names or key(names[0]) not in UNNAMED:
        return found
    first = table.frame.select(pl.col(names[0])).head(50).collect().to_series().drop_nulls()
    if first.dtype.is_temporal():
        return names[0]
    return names[0] if first.dtype == pl.String and len(first) and all(map(is_date, first.head(3))) else None


def _two_rows(table: Table, names: list[str]) -> Table:
    """Stack a text with a line of fields and a line of tickers; a third line may name the index."""
    rows = [_filled(row) for row in table.head[:2]]
    if all(key(cell) in FIELDS for cell in rows[1][1:]):
        rows.reverse()
    fields, tickers = rows
    third = table.head[2] if len(table.head) > 2 else ()
    skip = 3 if third and not is_date(third[0]) and not any(third[1:]) else 2
    pairs = {
        name: (FIELDS[key(field)], ticker)
        for name, field, ticker in zip(names[1:], fields[1:], tickers[1:], strict=True)
    }
    body = replace(table, frame=table.frame.slice(skip), head=())
    return _stacked(body, names[0], pairs, "two header rows")


def _transposed(table: Table, names: list[str], days: list[str]) -> Table:
    """Stack closes whose days run across the columns.

    Raises:
        DataError: the column of tickers is not to be told from the others.
    """
    rest = [name for name in names if name not in days]
    codes = [name for name in rest if key(name) in CODES] or rest[:1]
    if not codes:
        msg = f"{table}: the dates run across the columns, and there is no column of tickers; add it"
        raise DataError(msg)
    long = table.frame.unpivot(on=days, index=codes[0], variable_name="Date", value_name="Close")
    note = "a wide table (closes alone, a column a day) was stacked to one row a day and ticker"
    frame = long.rename({codes[0]: "Code"}).with_columns(pl.col("Code").cast(pl.String))
    return replace(table, frame=frame, notes=(*table.notes, note), head=(), stacked=True)


def _filled(row: tuple[str, ...]) -> list[str]:
    """Cells that were merged in a spreadsheet stand in the first of them alone."""
    cells = [row[0]]
    for cell in row[1:]:
        cells.append(cell or cells[-1])
    return cells


def _pair(name: str) -> tuple[str, str] | None:
    """Split a name into field and ticker."""
    found = PAIR.match(name)
    if found:
        parts = [(found["one"], found["two"]), (found["two"], found["one"])]
    else:
        places = [match.start() for match in re.finditer(r"[ _.|:/-]", name)]
        parts = [(name[:place], name[place + 1 :]) for place in reversed(places)]
        parts += [(name[place + 1 :], name[:place]) for place in places]
    known = ((FIELDS.get(key(field)), ticker.strip()) for field, ticker in parts if len(key(field)) > 1)
    return next(((field, ticker) for field, ticker in known if field and ticker), None)


def _numeric(table: Table, names: list[str]) -> bool:
    """Whether the columns hold numbers."""
    if not table.text:
        schema = table.frame.collect_schema()
        return all(schema[name].is_numeric() or schema[name] == pl.Null for name in names)
    rows = table.frame.select(names).head(50).collect()
    filled = [value.strip() for row in rows.iter_rows() for value in row if value and value.strip()]
    return bool(filled) and 2 * sum(bool(NUMBER.match(value)) for value in filled) > len(filled)


def _repeats(table: Table, date: str) -> bool:
    """Whether most days stand in several rows: then a row is a ticker's day, under names that are not known."""
    days = table.frame.select(pl.col(date).drop_nulls()).collect().to_series()
    return 2 * days.n_unique() < len(days)


def _stacked(table: Table, date: str, pairs: dict[str, tuple[str, str]], form: str) -> Table:
    """Put the columns of one ticker after those of another; rows without a value are none."""
    wide = table.frame.collect()
    tickers: dict[str, dict[str, str]] = {}
    for column, (field, ticker) in pairs.items():
        tickers.setdefault(ticker, {}).setdefault(field, column)
    parts = []
    for ticker, fields in tickers.items():
        values = list(fields.values())
        filled = [
            pl.col(name).is_not_null() & (pl.col(name).cast(pl.String).str.strip_chars() != "") for name in values
        ]
        part = wide.filter(pl.any_horizontal(filled)) if values else wide
        parts.append(
            part.select(
                pl.col(date).alias("Date"),
                pl.lit(ticker).alias("Code"),
                *(pl.col(column).alias(field) for field, column in fields.items()),
            )
        )
    long = pl.concat(parts, how="diagonal_relaxed")
    note = f"a wide table ({form}) was stacked to one row a day and ticker"
    return replace(table, frame=long.lazy(), notes=(*table.notes, note), head=(), stacked=True)

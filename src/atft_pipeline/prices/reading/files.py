"""Files of prices as users bring them: found below a folder, and opened by what they hold."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.prices.reading.dates import is_date
from atft_pipeline.prices.reading.excel import read_workbook
from atft_pipeline.prices.reading.names import DATES, FIELDS, key

TEXT = (".csv", ".txt", ".tsv")
PARQUET = (".parquet", ".pq")
BINARY = (*PARQUET, ".feather", ".arrow", ".ipc", ".xlsx")
PACKED = (".gz", ".gzip", ".zip", ".bz2", ".xz", ".zst")
KNOWN = (*TEXT, *BINARY, *PACKED)
KINDS = "Parquet, Feather, CSV (.csv, .txt, .tsv; packed as .gz or .zip too) and .xlsx"
# Tables that lie among the prices and are none.
OTHER_TABLES = ("listings", "oracle")
SEPARATORS = ",;\t|"
UNPACK: dict[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
}
HEAD_BYTES = 65_536
PREAMBLE = 20  # lines above the header that are looked through


class EmptyFileError(DataError):
    """A file without a row; among others it is left out and counted."""


@dataclass(frozen=True)
class Table:
    """One table: a file, a member of an archive or a sheet of a workbook.

    Attributes:
        path: the file.
        member: name within it, or empty.
        frame: its columns under the names they have there.
        text: all columns are strings.
        head: cells of the first lines of a text: three where two are headers, else one.
        separator: of a text.
        stacked: it was wide and is one row a day and ticker now.
        notes: what the user must know of how it was opened.
    """

    path: Path
    member: str
    frame: pl.LazyFrame
    text: bool
    head: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    separator: str = ","
    stacked: bool = False

    def __str__(self) -> str:
        """Name the table in a message."""
        return f"{self.path} ({self.member})" if self.member else str(self.path)

    @property
    def stem(self) -> str:
        """Name without the endings of its kind: ``BF.A`` of ``BF.A.csv.gz``."""
        name = Path(self.member or self.path.name).name
        while name.casefold().endswith(KNOWN):
            name = name[: name.rindex(".")]
        return name


def find_files(path: Path) -> list[Path]:
    """List the files of prices at a path: the file itself, or all tables below the folder.

    Files named ``listings`` or ``oracle`` and hidden ones are no prices; files of other kinds are not listed.

    Raises:
        DataError: there is no such path, or nothing readable below it.
    """
    if not path.exists():
        msg = f"{path}: no such file or folder; give the path of a file of prices, or of a folder of them"
        raise DataError(msg)
    if path.is_file():
        return [path]
    found = [file for file in sorted(path.rglob("*")) if file.is_file() and _is_table(file.relative_to(path))]
    if not found:
        msg = f"{path}: the folder holds no file of prices; kinds that are read: {KINDS}"
        raise DataError(msg)
    return found


def other_files(folder: Path) -> list[Path]:
    """List the files below a folder that are of no kind that is read, hidden ones apart."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not _is_hidden(file.relative_to(folder)) and not file.name.casefold().endswith(KNOWN)
    ]


def with_partitions(table: Table, folder: Path) -> Table:
    """Add the columns that the folders between hold in their names, as in ``Code=AAPL/2024.parquet``."""
    names = table.frame.collect_schema().names()
    pairs = [part.split("=", 1) for part in table.path.relative_to(folder).parts[:-1] if "=" in part]
    columns = [pl.lit(value).alias(name) for name, value in pairs if name not in names]
    return replace(table, frame=table.frame.with_columns(columns)) if columns else table


def long_line(table: Table) -> str | None:
    """Tell of the first line of a text that has more cells than its header."""
    if table.member or not table.text or table.path.name.casefold().endswith(PACKED):
        return None
    with table.path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream, delimiter=table.separator)
        width = len(table.head[0]) if table.head else 0
        for row in rows:
            if len(row) > width and rows.line_num > 1:
                return f"line {rows.line_num} has {len(row)} cells, the header {width}; quote or correct its cells"
    return None


def _is_hidden(file: Path) -> bool:
    return any(part.startswith((".", "_", "~")) for part in file.parts)


def _is_table(file: Path) -> bool:
    name = file.name.casefold()
    return not _is_hidden(file) and name.endswith(KNOWN) and name.split(".")[0] not in OTHER_TABLES


def open_tables(file: Path) -> list[Table]:
    """Open the tables of a file: several where it is an archive or a workbook of sheets.

    Raises:
        EmptyFileError: nothing is in it.
        DataError: it is of no kind that is read, or damaged.
    """
    if file.stat().st_size == 0:
        msg = f"{file}: the file is empty (0 bytes); give a file with prices"
        raise EmptyFileError(msg)
    try:
        with file.open("rb") as stream:
            magic = stream.read(512)
        if magic.startswith(b"PK\x03\x04"):
            return _open_zip(file)
        if magic.startswith(tuple(UNPACK)):
            return [_open_bytes(file, "", file.read_bytes())]
        if magic.startswith(b"PAR1") or (name := file.name.casefold()).endswith(PARQUET):
            return [_scanned(file, "", pl.scan_parquet(file), "Parquet")]
        if magic.startswith(b"ARROW1"):
            return [_scanned(file, "", pl.scan_ipc(file), "Feather")]
        if name.endswith((*BINARY, ".zip", ".xls")) or magic.startswith((b"\xd0\xcf\x11\xe0", b"FEA1")):
            raise DataError(_unknown(file))
        return [_open_text(file, "", magic)]
    except (OSError, EOFError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        msg = f"{file}: the file is damaged ({one_line(error)}); write it again; kinds that are read: {KINDS}"
        raise DataError(msg) from error


def _open_zip(file: Path) -> list[Table]:
    """Open the members of an archive, or the sheets of a workbook."""
    tables = []
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        if "xl/workbook.xml" in names:
            for sheet, rows in read_workbook(archive, file):
                content = io.StringIO()
                csv.writer(content).writerows(rows)
                tables.append(_open_text(file, sheet, content.getvalue().encode(), whole=True))
            return tables
        for name in names:
            if not name.endswith("/") and _is_table(Path(name)):
                data = archive.read(name)
                if data.strip():
                    tables.append(_open_bytes(file, name, data))
    if not tables:
        msg = f"{file}: the archive holds no table with rows; kinds that are read: {KINDS}"
        raise EmptyFileError(msg)
    return tables


def _open_bytes(file: Path, member: str, data: bytes) -> Table:
    """Open one table that lies in memory."""
    if data.startswith(b"PAR1"):
        return _scanned(file, member, pl.read_parquet(io.BytesIO(data)).lazy(), "Parquet")
    if data.startswith(b"ARROW1"):
        return _scanned(file, member, pl.read_ipc(io.BytesIO(data)).lazy(), "Feather")
    for start, unpack in UNPACK.items():
        if data.startswith(start):
            return _open_bytes(file, member, unpack(data))
    return _open_text(file, member, data, whole=True)


def _scanned(file: Path, member: str, scan: pl.LazyFrame, kind: str) -> Table:
    """Check that the columns of a scan can be read."""
    try:
        scan.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{file}: not a readable {kind} file ({one_line(error)}); write it again or give another path"
        raise DataError(msg) from error
    return Table(file, member, scan, text=False)


def _open_text(file: Path, member: str, data: bytes, whole: bool = False) -> Table:
    """Open a text: find its separator and its header; everything stays a string.

    Args:
        file: the file.
        member: name within it.
        data: all of the text, or its first bytes.
        whole: which of the two.
    """
    if not whole:
        with file.open("rb") as stream:
            data = stream.read(HEAD_BYTES)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        data, whole = (data if whole else file.read_bytes()).decode("utf-16").encode(), True
    if b"\r" in data and b"\n" not in data:
        data, whole = (data if whole else file.read_bytes()).replace(b"\r", b"\n"), True
    if b"\0" in data[:HEAD_BYTES]:
        raise DataError(_unknown(file))
    head = _decode(file, data[:HEAD_BYTES])
    lines = head.splitlines()
    if not any(line.strip() for line in lines):
        msg = f"{file}: the file is empty (blank lines alone); give a file with prices"
        raise EmptyFileError(msg)
    first = next(line for line in lines if line.strip()).strip()
    if first.startswith(("{", "[")) or first.casefold().startswith(("<!doctype", "<html", "<?xml", "<table")):
        msg = f"{file}: this is no table but begins with {first[:40]!r}; kinds that are read: {KINDS}"
        raise DataError(msg)
    separator, start = _find_header(lines)
    rows = list(csv.reader(lines[start : start + 3], delimiter=separator))
    # A line of tickers above the line with the dates' name looks like a title where its cells are merged.
    above = list(csv.reader(lines[start - 1 : start + 2], delimiter=separator)) if start else []
    if two_headers(above):
        rows, start = above, start - 1
    doubled = two_headers(rows)
    # Some programs end each row, but not the header, with a separator.
    ended = len(rows) > 1 and len(rows[1]) > len(rows[0]) and not any(cell.strip() for cell in rows[1][len(rows[0]) :])
    try:
        scan = pl.scan_csv(
            io.BytesIO(data) if whole else file,
            infer_schema=False,
            separator=separator,
            skip_lines=start,
            has_header=not doubled,
            truncate_ragged_lines=ended,
        )
        names = scan.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError) as error:
        msg = f"{file}: not a readable CSV file ({one_line(error)}); write it again or give another path"
        raise DataError(msg) from error
    trimmed = {name: name.strip().removeprefix("\ufeff") for name in names}
    if len(set(trimmed.values())) == len(names):
        scan = scan.rename(trimmed)
    head_cells = tuple(tuple(cell.strip() for cell in row) for row in rows)
    head_cells = head_cells if doubled else head_cells[:1]
    return Table(file, member, scan, text=True, head=head_cells, separator=separator)


def _decode(file: Path, data: bytes) -> str:
    """Decode the first bytes of a text; the last character may be cut."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 4 and len(data) == HEAD_BYTES:
            return data[: error.start].decode("utf-8-sig")
        msg = (
            f"{file}: the file is neither UTF-8 text nor of another known kind; save it as CSV UTF-8; kinds that are "
            f"read: {KINDS}"
        )
        raise DataError(msg) from error


def _find_header(lines: list[str]) -> tuple[str, int]:
    """Find the separator and the line of the header; titles may stand above it."""
    filled = [number for number, line in enumerate(lines[:PREAMBLE]) if line.strip()]
    best = (",", filled[0])
    for number in filled:
        separator = max(SEPARATORS, key=lambda mark: len(next(csv.reader([lines[number]], delimiter=mark), [])))
        cells = next(csv.reader([lines[number]], delimiter=separator))
        if number == filled[0]:
            best = (separator, number)
            widest = len([cell for cell in cells if cell.strip()])
        named = [cell for cell in cells if cell.strip()]
        if len(named) >= 2 and any(key(cell) in DATES for cell in named):
            return (separator, number) if number == filled[0] or len(named) > widest else best
    return best


def two_headers(rows: list[list[str]]) -> bool:
    """Whether the first two lines name fields and tickers, one line each; dates, or their name, come below."""
    if len(rows) < 3 or len(rows[0]) < 2 or not rows[1] or not rows[2] or is_date(rows[1][0]):
        return False
    if not is_date(rows[2][0]) and key(rows[2][0]) not in DATES:
        return False
    cells = [[cell.strip() for cell in row[1:] if cell.strip()] for row in rows[:2]]
    if not all(cells) or len(rows[1]) != len(rows[0]):
        return False
    fields = [all(key(cell) in FIELDS for cell in row) for row in cells]
    if fields[0] == fields[1]:
        return False
    other = cells[fields.index(False)]
    return not any("." in cell and cell.replace(".", "").isdigit() for cell in other)


def _unknown(file: Path) -> str:
    return f"{file}: not a file of a kind that is read; save it as another; kinds that are read: {KINDS}"


def one_line(error: BaseException) -> str:
    """Shorten an error to its first line."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:200]

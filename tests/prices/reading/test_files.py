"""Files of many kinds, and folders of them."""

import bz2
import gzip
import io
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import polars as pl
import pytest

from atft_pipeline.errors import DataError
from tests.prices.reading.tables import CODES, DAYS, market, read, same, text


def packed_parquet(path: Path) -> None:
    content = io.BytesIO()
    market().write_parquet(content)
    path.write_bytes(gzip.compress(content.getvalue()))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deep/prices.csv", text(market()))
        archive.writestr("__MACOSX/._prices.csv", "rubbish")


def workbook(path: Path, sheets: dict[str, pl.DataFrame]) -> None:
    """Write a small .xlsx: texts are shared strings, dates day numbers, blanks no cells."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    shared: list[str] = []

    def cell(place: str, value: object) -> str:
        if value is None:
            return ""
        if isinstance(value, str):
            shared.append(value)
            return f'<c r="{place}" t="s"><v>{len(shared) - 1}</v></c>'
        return f'<c r="{place}"><v>{value}</v></c>'

    with zipfile.ZipFile(path, "w") as archive:
        for number, frame in enumerate(sheets.values(), start=1):
            rows = [frame.columns, *frame.with_columns(pl.col(pl.Date).to_physical() + 25569).rows()]
            lines = "".join(
                "<row>" + "".join(cell(f"{chr(65 + c)}{r}", value) for c, value in enumerate(row)) + "</row>"
                for r, row in enumerate(rows, start=1)
            )
            body = f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
            archive.writestr(f"xl/worksheets/sheet{number}.xml", body)
        listed = "".join(
            f'<sheet name="{name}" sheetId="{n}" r:id="rId{n}"/>' for n, name in enumerate(sheets, start=1)
        )
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{main}" xmlns:r="{links}"><sheets>{listed}</sheets></workbook>'
        )
        targets = "".join(
            f'<Relationship Id="rId{n}" Target="worksheets/sheet{n}.xml"/>' for n in range(1, len(sheets) + 1)
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{targets}</Relationships>")
        strings = "".join(f"<si><t>{escape(one)}</t></si>" for one in shared)
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{main}">{strings}</sst>')


WRITERS: dict[str, Callable[[Path], object]] = {
    "P.CSV": lambda path: path.write_text(text(market())),
    "p.txt": lambda path: path.write_text(text(market(), "\t")),
    "p.tsv": lambda path: path.write_text(text(market(), "\t")),
    "pipes.csv": lambda path: path.write_text(text(market(), "|")),
    "bom.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + text(market()).replace("\n", "\r\n").encode()),
    "utf16.txt": lambda path: path.write_bytes(text(market(), "\t").encode("utf-16")),
    "p.csv.gz": lambda path: path.write_bytes(gzip.compress(text(market()).encode())),
    "p.CSV.bz2": lambda path: path.write_bytes(bz2.compress(text(market()).encode())),
    "p.parquet.gzip": lambda path: market().write_parquet(path, compression="gzip"),
    "p.parquet.gz": packed_parquet,
    "p.PARQUET": lambda path: market().write_parquet(path),
    "p.feather": lambda path: market().write_ipc(path, compression="lz4"),
    "p.zip": zipped,
    "p.xlsx": lambda path: workbook(path, {"prices": market()}),
    "mac.csv": lambda path: path.write_bytes(text(market()).replace("\n", "\r").encode()),
    "titles.csv": lambda path: path.write_text("Export of my broker\nas of 2024-03-18\n\n" + text(market())),
    "blanks.csv": lambda path: path.write_text(text(market()).replace(",", " , ")),
    "ended.csv": lambda path: path.write_text(text(market()).replace("\n", ",\n").replace("Volume,\n", "Volume\n")),
    "index.csv": lambda path: path.write_text(text(market().with_row_index(""))),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("folder", [False, True])
def test_kinds_of_files(name: str, folder: bool, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    same(read(tmp_path if folder else tmp_path / name))


BAD: dict[str, tuple[bytes, str]] = {
    "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "kinds that are read: Parquet"),
    "stub.xlsx": (b"PK\x03\x04" + bytes(200), "damaged .* kinds that are read"),
    "cut.csv.gz": (gzip.compress(text(market()).encode())[:-30], "damaged"),
    "page.csv": (b"<!DOCTYPE html><html><body>404</body></html>", "no table but begins with '<!DOCTYPE"),
    "error.csv": (b'{"Error Message": "limit reached"}', "no table but begins with"),
    "latin.csv": ("Date;Code;Schluß\n".encode("latin-1"), "neither UTF-8 text nor"),
    "bare.csv": (text(market()).partition("\n")[2].encode(), "which are values: give the file a first line of names"),
    "one.csv": (b"Date Code Open High\n2024-03-11 RED 1 2\n", "separate the columns by commas"),
    "blank.csv": (b"\n  \n", "blank lines alone"),
}


@pytest.mark.parametrize("name", BAD)
def test_other_files_are_one_line(name: str, tmp_path: Path) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_all_kinds_of_a_folder_are_read_together(tmp_path: Path) -> None:
    frame = market()
    (tmp_path / "new").mkdir()
    frame.filter(pl.col("Date") < DAYS[2]).write_parquet(tmp_path / "archive.parquet")
    frame.filter(pl.col("Date") == DAYS[2]).write_csv(tmp_path / "new" / "12.csv")
    (tmp_path / "new" / "13.csv.gz").write_bytes(
        gzip.compress(frame.filter(pl.col("Date") > DAYS[2]).write_csv(separator=";").encode())
    )
    found = read(tmp_path)
    same(found)
    assert found.reading.files == 3


def test_empty_files_of_a_folder_are_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    market().write_csv(tmp_path / "prices.csv")
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").write_text("Date,Code,Open,High,Low,Close,Volume\n")
    (tmp_path / "c.csv").write_text("\n\n")
    (tmp_path / "README.txt").write_text("where these prices are from\n")
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    with caplog.at_level(logging.INFO):
        found = read(tmp_path)
    same(found)
    said = "\n".join(found.reading.notes)
    assert "files without a row were left out" in said
    assert "a.csv and 2 more files" in said
    assert "README.txt" in said
    assert "notes.pdf" in said
    assert all(note in caplog.text for note in found.reading.notes)


def test_a_folder_of_empty_files_is_one_line(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").touch()
    with pytest.raises(DataError, match="its 2 files are empty"):
        read(tmp_path)


def test_all_files_that_cannot_be_read_are_named_at_once(tmp_path: Path) -> None:
    market().write_csv(tmp_path / "good.csv")
    (tmp_path / "one.csv").write_text("<html>404</html>")
    (tmp_path / "two.parquet").write_text("rubbish")
    (tmp_path / "tar.gz").write_bytes(gzip.compress(bytes(1024)))
    with pytest.raises(
        DataError, match=r"one\.csv: .* .and 2 more files that cannot be read: .*tar\.gz, .*two\.parquet"
    ):
        read(tmp_path)


def test_a_sheet_a_ticker(tmp_path: Path) -> None:
    sheets = {code: market().filter(pl.col("Code") == code).drop("Code") for code in CODES}
    workbook(tmp_path / "book.xlsx", sheets)
    same(read(tmp_path / "book.xlsx"))


def test_remarks_below_the_rows_and_copies_of_the_header(tmp_path: Path) -> None:
    lines = text(market()).splitlines()
    lines.insert(7, lines[0])
    (tmp_path / "p.csv").write_text("\n".join([*lines, "", "Source: my broker, as of today", '"All, rights"']) + "\n")
    found = read(tmp_path / "p.csv")
    same(found)
    assert "1 copies of the header" in found.reading.notes[0]
    assert "rows below the last price were left out, such as 'Source: my broker'" in found.reading.notes[1]


def test_a_remark_among_the_rows_is_no_footer(tmp_path: Path) -> None:
    lines = text(market()).splitlines()
    lines.insert(7, "halted,,,,,,")
    (tmp_path / "p.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="'halted' in row 7"):
        read(tmp_path / "p.csv")


def test_a_line_with_too_many_cells_is_named(tmp_path: Path) -> None:
    lines = text(market()).splitlines()
    lines[5] += ",7,8"
    (tmp_path / "p.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match="line 6 has 9 cells, the header 7"):
        read(tmp_path / "p.csv")

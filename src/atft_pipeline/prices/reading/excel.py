"""Sheets of an .xlsx workbook as rows of strings, read with the standard library alone."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from atft_pipeline.errors import DataError

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def read_workbook(archive: zipfile.ZipFile, file: Path) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield name and rows of each sheet that is not empty; dates stay the day numbers of the spreadsheet.

    Raises:
        DataError: the workbook is damaged.
    """
    try:
        shared = _shared_strings(archive)
        targets = {one.attrib["Id"]: one.attrib["Target"] for one in _tree(archive, "xl/_rels/workbook.xml.rels")}
        for sheet in _tree(archive, "xl/workbook.xml").iter(f"{MAIN}sheet"):
            target = targets[sheet.attrib[RELATION]].lstrip("/")
            rows = _rows(_tree(archive, target if target.startswith("xl/") else f"xl/{target}"), shared)
            if rows:
                yield sheet.attrib["name"], rows
    except (KeyError, IndexError, ValueError, ET.ParseError, zipfile.BadZipFile) as error:
        msg = f"{file}: the workbook is damaged ({type(error).__name__}: {error}); save it again, or as CSV"
        raise DataError(msg) from error


def _tree(archive: zipfile.ZipFile, name: str) -> ET.Element:
    # Expat bounds the growth of entities itself since 2.4.1; a workbook is a file that the user chose.
    return ET.fromstring(archive.read(name))  # noqa: S314


def _shared_strings(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    return [
        "".join(text.text or "" for text in item.iter(f"{MAIN}t")) for item in _tree(archive, "xl/sharedStrings.xml")
    ]


def _rows(sheet: ET.Element, shared: list[str]) -> list[list[str]]:
    """Cells of a sheet, blank ones filled in, rows of equal width."""
    rows: list[list[str]] = []
    for line in sheet.iter(f"{MAIN}row"):
        cells: list[str] = []
        for cell in line.iter(f"{MAIN}c"):
            column = _column(cell.attrib["r"]) if "r" in cell.attrib else len(cells)
            cells += [""] * (column - len(cells))
            cells.append(_value(cell, shared))
        if any(cells):
            rows.append(cells)
    width = max((len(row) for row in rows), default=0)
    return [row + [""] * (width - len(row)) for row in rows]


def _value(cell: ET.Element, shared: list[str]) -> str:
    kind = cell.attrib.get("t", "n")
    if kind == "inlineStr":
        return "".join(text.text or "" for text in cell.iter(f"{MAIN}t"))
    value = cell.find(f"{MAIN}v")
    if value is None or value.text is None or kind == "e":
        return ""
    return shared[int(value.text)] if kind == "s" else value.text


def _column(reference: str) -> int:
    """Index of a cell's column: A1 is 0, AA1 is 26."""
    column = 0
    for letter in re.match(r"[A-Z]+", reference)[0]:  # type: ignore[index]
        column = column * 26 + ord(letter) - 64
    return column - 1

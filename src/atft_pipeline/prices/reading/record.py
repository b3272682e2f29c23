"""What was read and how: a small record for the terminal, the quality report and its page."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

How = Literal["in the close", "column", "unknown"]
"""Where dividends are: in an adjusted close, in a column of their own, or nowhere."""


def counted(number: int, one: str, many: str) -> str:
    """Write a number with the words of one, or of several: ``1 code has``, ``2 codes have``."""
    return f"{number:,} {one if number == 1 else many}"


@dataclass(frozen=True)
class Reading:
    """How prices were read.

    Attributes:
        preset: the names that were used or recognised.
        files: files and members of archives that were read.
        close: column that Close was read from, as the files name it.
        dividends: where they are, as :data:`How`.
        notes: one plain sentence for each thing that a user must know, such as what was left out or scaled.
    """

    preset: str
    files: int
    close: str
    dividends: How = "unknown"
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON types; the first note is the line."""
        return {**asdict(self), "notes": [self.line(), *self.notes]}

    def line(self) -> str:
        """Say in one line what was read."""
        return f"prices: {counted(self.files, 'file', 'files')}, columns as of {self.preset}, Close from {self.close}"


class Notes:
    """Gathers remarks of many files: each is said once, with its rows summed and its first file named."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._files: dict[str, list[str]] = {}

    def add(self, text: str, where: object = None, rows: int = 0) -> None:
        """Add a remark; ``{}`` in it stands for the number of rows."""
        self._rows[text] = self._rows.get(text, 0) + rows
        files = self._files.setdefault(text, [])
        if where is not None and str(where) not in files:
            files.append(str(where))

    def lines(self) -> tuple[str, ...]:
        """One sentence a remark."""
        told = []
        for text, rows in self._rows.items():
            files = self._files[text]
            more = f" and {len(files) - 1} more files" if len(files) > 2 else f" and {files[1]}" if files[1:] else ""
            told.append(text.replace("{}", str(rows)) + (f": {files[0]}{more}" if files else ""))
        return tuple(told)


@dataclass(frozen=True)
class RawPrices:
    """Raw prices and how they were read.

    Attributes:
        frame: as of :func:`atft_pipeline.prices.reading.read.read_prices`.
        reading: the record.
    """

    frame: pl.DataFrame
    reading: Reading


@dataclass(frozen=True)
class Matching:
    """How the listings table met the codes of the prices.

    Attributes:
        codes: distinct codes of the prices.
        matched: those of them that have a row in the table.
        notes: what was matched other than by equal text, what is unknown.
    """

    codes: int
    matched: int
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON types; the first note is the line."""
        return {**asdict(self), "notes": [self.line(), *self.notes]}

    def line(self) -> str:
        """Say in one line how many codes are known."""
        return f"listings: {self.matched} of {self.codes} codes of the prices have a row"

"""What was read and how: a small record for the terminal, the quality report and its page."""

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class Reading:
    """How prices were read.

    Attributes:
        preset: the names that were used or recognised.
        files: files and members of archives that were read.
        close: column that Close was read from, as the files name it.
        notes: one plain sentence for each thing that a user must know, such as what was left out or scaled.
    """

    preset: str
    files: int
    close: str
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON types."""
        return {**asdict(self), "notes": list(self.notes)}

    def line(self) -> str:
        """Say in one line what was read."""
        return f"prices: {self.files} file{'s' * (self.files != 1)} read as {self.preset}, Close from {self.close!r}"


@dataclass(frozen=True)
class RawPrices:
    """Raw prices and how they were read.

    Attributes:
        frame: as of :func:`atft_pipeline.market.prices.read_prices`.
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
        """Give plain JSON types."""
        return {**asdict(self), "notes": list(self.notes)}

    def line(self) -> str:
        """Say in one line how many codes are known."""
        return f"listings: {self.matched} of {self.codes} codes of the prices have a row"

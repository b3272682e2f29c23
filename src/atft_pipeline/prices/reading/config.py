"""Parameters of reading raw prices."""

import datetime as dt

import polars as pl

from atft_pipeline.config import config, require
from atft_pipeline.prices.reading.names import CHOICES, OPTIONAL, REQUIRED


@config
class PricesConfig:
    """How raw prices are read.

    Attributes:
        preset: source of the prices. ``auto`` recognises it by the columns; a name makes sure of it; ``standard`` reads
            the columns Date, Code, Open, High, Low, Close, Volume and knows no other names.
        columns: canonical name -> name in the file; wins over the preset. With Close in it nothing is adjusted.
        passthrough: patterns (``*`` and ``?``) of further numeric columns to keep.
        time_zone: zone of the market, needed only where dates are UTC instants that are not midnight.
    """

    preset: str = "auto"
    columns: dict[str, str] | None = None
    passthrough: tuple[str, ...] = ()
    time_zone: str | None = None

    def __post_init__(self) -> None:
        require(self.preset in CHOICES, f"preset: must be one of {', '.join(CHOICES)}, got {self.preset!r}")
        self._check_columns()
        if self.time_zone is not None:
            try:
                pl.Series([dt.datetime(2024, 1, 2)]).dt.replace_time_zone("UTC").dt.convert_time_zone(self.time_zone)
            except pl.exceptions.PolarsError:
                require(
                    ok=False,
                    message=f"time_zone: must be one such as America/New_York or Asia/Tokyo, got {self.time_zone!r}",
                )

    def _check_columns(self) -> None:
        """Refuse names that mean nothing here, and one column for two things that differ."""
        columns = self.columns or {}
        known = {*REQUIRED, *OPTIONAL}
        unknown = sorted(set(columns) - known)
        require(not unknown, f"columns: maps unknown names {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        for name in ("Date", "Code", "Volume"):
            others = [other for other, source in columns.items() if other != name and source == columns.get(name)]
            require(
                not others,
                f"columns: maps {', '.join([name, *others])} to the one column {columns.get(name)!r}; leave out what "
                "the files do not have (closes alone are read as they are)",
            )

"""The prediction table laid out as days by listings.

D days, N listings, R rows of the prediction table.
"""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from atft_pipeline.errors import DataError
from atft_pipeline.lineage import hash_bytes
from atft_pipeline.stats.arrays import Floats, Ints

Buckets = npt.NDArray[np.int8]
Dates = npt.NDArray[np.datetime64]

_SUFFIX = re.compile(r"^(?P<name>.+)_(?P<horizon>\d+)$")
_NOT_SCORES = ("return", "target", "disagreement", "quantile_")


@dataclass(frozen=True)
class Grid:
    """Where each row of a prediction table lies on the plane of days and listings.

    Attributes:
        days: the D days, ascending.
        listings: names of the N listings, ascending.
        day: position of each row among the days [R].
        listing: position of each row among the listings [R].
    """

    days: Dates
    listings: tuple[str, ...]
    day: Ints
    listing: Ints

    @classmethod
    def of(cls, table: pl.DataFrame) -> "Grid":
        """Build the grid of a table with the columns Date and Listing.

        Raises:
            DataError: a column is missing, the table is empty, or a listing appears twice on a day.
        """
        for name in ("Date", "Listing"):
            if name not in table.columns:
                raise DataError(f"prediction table: column {name} is missing; it has {', '.join(table.columns)}")
        if table.is_empty():
            raise DataError("prediction table: no rows; score at least one day before evaluating")
        dates = table["Date"].unique().sort().to_numpy()
        day = np.searchsorted(dates, table["Date"].to_numpy())
        names = table["Listing"].cast(pl.String).unique().sort()
        listing = table["Listing"].cast(pl.String).cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64)
        cell = day.astype(np.int64) * len(names) + listing
        if np.bincount(cell).max() > 1:
            twice = table.group_by("Date", "Listing").len().filter(pl.col("len") > 1).sort("Date", "Listing")
            raise DataError(
                f"prediction table: listing {twice['Listing'][0]} appears {twice['len'][0]} times on "
                f"{twice['Date'][0]}; keep one row per listing and day"
            )
        return cls(dates.astype("datetime64[D]"), tuple(names.to_list()), day.astype(np.int64), listing)

    def to_days(self, column: pl.Series) -> Floats:
        """Lay a numeric column [R] out as [D, N]; absent, null and non-finite cells are NaN."""
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        laid = np.full((len(self.days), len(self.listings)), np.nan)
        laid[self.day, self.listing] = np.where(np.isfinite(values), values, np.nan)
        return laid

    def gather(self, laid: npt.NDArray[np.float64]) -> Floats:
        """Read a [D, N] array back at the rows of the table [R]; the inverse of :meth:`spread`."""
        return np.asarray(laid[self.day, self.listing], dtype=np.float64)


def horizons_of(table: pl.DataFrame) -> tuple[int, ...]:
    """List the horizons that have both a model score and a return, ascending.

    Raises:
        DataError: there is none.
    """
    found = sorted(
        int(match["horizon"])
        for match in map(_SUFFIX.match, table.columns)
        if match and match["name"] == "score" and f"return_{match['horizon']}" in table.columns
    )
    if not found:
        raise DataError(
            "prediction table: no horizon h has both columns score_h and return_h; "
            f"the columns are {', '.join(table.columns)}"
        )
    return tuple(found)


def score_columns(table: pl.DataFrame, horizon: int) -> dict[str, str]:
    """Map the name of each score at a horizon to its column; ``score_h`` is the model and comes first.

    Args:
        table: the prediction table.
        horizon: sessions ahead.
    """
    columns = {"model": f"score_{horizon}"}
    for column in table.columns:
        match = _SUFFIX.match(column)
        if match is None or int(match["horizon"]) != horizon or not table[column].dtype.is_numeric():
            continue
        if match["name"] != "score" and not match["name"].startswith(_NOT_SCORES):
            columns[match["name"]] = column
    return columns


def fingerprint(predictions: pl.DataFrame) -> str:
    """Hash of a prediction table's columns and values: metrics carry it, and so belong to these predictions alone."""
    return hash_bytes(part for column in predictions.get_columns() for part in (column.name.encode(), _bytes(column)))


def _bytes(column: pl.Series) -> bytes:
    """Values of a column as bytes, the same in every process."""
    if column.dtype == pl.Date:
        column = column.cast(pl.Int32)
    if not column.dtype.is_numeric():
        text = column.cast(pl.String).fill_null("")
        names = text.unique().sort()
        return "\n".join(names).encode() + text.cast(pl.Enum(names)).to_physical().to_numpy().tobytes()
    return np.ascontiguousarray(column.to_numpy()).tobytes()

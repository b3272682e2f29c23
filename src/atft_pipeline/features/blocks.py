"""Dense blocks of listings: every listing on its own row axis, ready for the rolling kernels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from atft_pipeline.features.rolling import Floats

Emit = Callable[[str, Floats], None]

BAR_COLUMNS = ("Open", "High", "Low", "Close", "Volume")


@dataclass(frozen=True)
class ListingBlock:
    """Some listings side by side: arrays [rows, listings], float64, NaN = missing.

    Rows after a listing's last one repeat it, so that they add no missing values; ``order`` leaves them out.

    Attributes:
        open: prices; likewise ``high``, ``low``, ``close``.
        volume: shares.
        vwap: volume-weighted price, or (high + low + close) / 3 where the clean frame has none.
        market_return: equal-weighted return of the universe on the row's day.
        order: flat positions of the rows to write, sorted by day, then listing.
        rows: row of the price axis for each entry of ``order``.
    """

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    vwap: Floats
    market_return: Floats
    order: NDArray[np.int64]
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class PriceAxis:
    """The clean frame as plain arrays, sorted by listing, then day.

    Attributes:
        frame: the clean frame in that order.
        dates: the days that occur, datetime64[D], ascending.
        day: index of each row's day [R].
        names: listing names, ascending.
        listing: index of each row's listing [R].
        start: first row of each listing, and R at the end.
        columns: float64 columns by name.
        universe: the row counts in cross-sections [R].
    """

    frame: pl.DataFrame
    dates: NDArray[np.datetime64]
    day: NDArray[np.int32]
    names: tuple[str, ...]
    listing: NDArray[np.int32]
    start: NDArray[np.int64]
    columns: dict[str, Floats]
    universe: NDArray[np.bool_]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.day)

    def previous(self, values: Floats) -> Floats:
        """Value of the listing's row before; NaN on its first row."""
        out = np.full_like(values, np.nan)
        out[1:] = values[:-1]
        out[self.start[:-1]] = np.nan
        return out

    def ahead(self, values: Floats, sessions: int) -> Floats:
        """Value of the same listing exactly ``sessions`` sessions later; NaN where it has no row on that session.

        Sessions of the market, not rows of the listing: after a halt, the next row may be months away.
        """
        wanted = self._keys + sessions
        position = np.minimum(np.searchsorted(self._keys, wanted), self.rows - 1)
        # The listing's last days must not run on into the next listing's first ones.
        there = (self._keys[position] == wanted) & (self.listing[position] == self.listing)
        return np.where(there, values[position], np.nan)

    @cached_property
    def _keys(self) -> NDArray[np.int64]:
        """Listing and day of each row as one ascending number [R]."""
        return self.listing.astype(np.int64) * (len(self.dates) + 1) + self.day


def price_axis(clean: pl.DataFrame) -> PriceAxis:
    """Sort a clean frame (Date, Listing, prices) and take it apart into arrays."""
    frame = clean if _is_sorted(clean) else clean.sort("Listing", "Date")
    dates = frame["Date"].unique().sort()
    day = np.searchsorted(dates.to_numpy(), frame["Date"].to_numpy()).astype(np.int32)
    runs = frame["Listing"].rle_id().to_numpy()
    start = np.flatnonzero(np.diff(runs, prepend=-1))
    columns = {name: _floats(frame[name]) for name in (*BAR_COLUMNS, "Vwap") if name in frame.columns}
    if "InUniverse" in frame.columns:
        universe = frame["InUniverse"].fill_null(value=False).to_numpy()
    else:
        universe = np.ones(frame.height, dtype=np.bool_)
    return PriceAxis(
        frame=frame,
        dates=dates.to_numpy(),
        day=day,
        names=tuple(frame["Listing"].gather(start).to_list()),
        listing=runs.astype(np.int32),
        start=np.append(start, frame.height).astype(np.int64),
        columns=columns,
        universe=universe,
    )


def _is_sorted(frame: pl.DataFrame) -> bool:
    """Whether the rows ascend strictly by (Listing, Date)."""
    name, day = frame["Listing"], frame["Date"]
    after, before = slice(1, None), frame.height - 1
    if frame.height < 2:
        return True
    same = name[after] == name.head(before)
    ascends = (name[after] > name.head(before)) | (same & (day[after] > day.head(before)))
    return bool(ascends.all())


def _floats(column: pl.Series) -> Floats:
    """Float64 values with NaN for null and infinite entries."""
    values = column.cast(pl.Float64).to_numpy(writable=True)
    values[~np.isfinite(values)] = np.nan
    return values


def listing_blocks(
    axis: PriceAxis, market_return: Floats, cells: int, history: int, days: range
) -> Iterator[Callable[[], ListingBlock]]:
    """Cut the rows of some days into blocks; each is returned as a function that gathers it (to be called on a worker).

    Args:
        axis: the clean prices.
        market_return: [D].
        cells: about how many cells (rows times listings) a block has.
        history: rows before the first wanted one that the features read.
        days: indices of the wanted days.
    """
    start, close = axis.start[:-1], axis.start[1:]
    pairs = list(zip(start.tolist(), close.tolist(), strict=True))
    wanted = np.array([a + np.searchsorted(axis.day[a:b], days.start) for a, b in pairs])
    end = np.array([a + np.searchsorted(axis.day[a:b], days.stop) for a, b in pairs])
    first = np.maximum(start, wanted - history)
    kept = np.flatnonzero(wanted < end)
    # Longest first: a block is as long as its longest listing, so that equal lengths waste no cells.
    kept = kept[np.argsort((first - end)[kept], kind="stable")]
    position = 0
    while position < len(kept):
        longest = int(end[kept[position]] - first[kept[position]])
        chosen = np.sort(kept[position : position + max(1, cells // longest)])
        position += len(chosen)
        yield _gatherer(axis, market_return, first[chosen], wanted[chosen], end[chosen])


def _gatherer(
    axis: PriceAxis, market_return: Floats, first: NDArray[np.int64], wanted: NDArray[np.int64], end: NDArray[np.int64]
) -> Callable[[], ListingBlock]:
    def gather() -> ListingBlock:
        time = np.arange(int((end - first).max()))[:, None]
        row = np.minimum(first + time, end - 1)
        column = {name: values[row] for name, values in axis.columns.items()}
        inside = np.flatnonzero((first + time >= wanted) & (first + time < end))
        order = inside[np.argsort(axis.day[row.reshape(-1)[inside]], kind="stable")]
        vwap = column.get("Vwap")
        if vwap is None:
            vwap = (column["High"] + column["Low"] + column["Close"]) / 3.0
        return ListingBlock(
            open=column["Open"],
            high=column["High"],
            low=column["Low"],
            close=column["Close"],
            volume=column["Volume"],
            vwap=vwap,
            market_return=market_return[axis.day[row]],
            order=order,
            rows=row.reshape(-1)[order],
        )

    return gather

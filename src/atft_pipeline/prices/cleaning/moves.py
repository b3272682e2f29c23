"""Moves that no stock made: a wrong print on busy volume, another unit of price, a code that another company took over.

The limits were set on ten million days of US listings. The largest true moves of one day were a factor of 7.3 up
(+626 %, on 63 times the usual volume) and of 8.1 down (-88 %, on 80 times the usual volume). Of the moves by a factor
of 2.8 or more, true rises had at least 11 times the usual volume, true falls at least 3.1 times the usual turnover in
money. Those on less are splits that were applied on one side of the day alone.
"""

from collections.abc import Sequence

import polars as pl

from atft_pipeline.prices.cleaning.rules import (
    JUMP,
    SEGMENT,
    USUAL_SESSIONS,
    Touched,
    apply,
    begin_segment,
    is_off,
)
from atft_pipeline.prices.reading.names import PRICE_COLUMNS
from atft_pipeline.prices.reading.record import counted

# A move by this factor is believed only on so many times the usual volume (up), the usual turnover in money (down).
LARGE = 2.8
# A move by this factor is believed on no volume: the largest true one was 8.1.
IMPOSSIBLE = 20.0
RISE_VOLUME, FALL_TURNOVER = 10.0, 3.0
# A code that returns after so many sessions at a price off by that factor is another company, or another share.
GAP_SESSIONS = 20
VOID, RESTART = 1, 2

Row = tuple[int, int, float, float | None]


def impossible_moves(frame: pl.DataFrame) -> Touched:
    """Void a Close that is off the last one by a factor no stock moves by; if it stays there, begin a new listing.

    Impossible is: the limit or more on any volume; a rise by a factor of 2.8 on less than 10 times the usual volume, or
    such a fall on less than 3 times the usual turnover; that factor after a month without a row. Judged by the day and
    the days before it: the first day is voided, the second one at the new level begins a listing segment. Open, High or
    Low that is off the Close of its own day by the limit is voided alone.
    """
    far = _far_from_close(frame)
    found = _judge(far.frame)
    note = ""
    if far.rows.height:
        days = counted(far.rows.height, "day was off its", "days were off their")
        note = f"Open, High or Low of {days} Close by a factor of {IMPOSSIBLE:g} or more."
    if found.is_empty():
        return Touched(far.frame, far.rows, note)
    marked = far.frame.with_row_index("_row").join(found, on="_row", how="left", maintain_order="left").drop("_row")
    marked = marked.with_columns((pl.col("Close") / pl.col("_level")).alias("_moved"))
    named = marked.filter(pl.col("_what").is_not_null())
    names = [name for name in (*PRICE_COLUMNS, "Vwap") if name in frame.columns]
    levels = [
        pl.when(is_off(pl.col(name), pl.col("_level"))).then(None).otherwise(pl.col(name)).alias(name) for name in names
    ]
    voided = apply(marked, pl.col("_what") == VOID, *levels).frame
    restarted = begin_segment(voided, voided["_what"].fill_null(0) == RESTART)
    work = ("_what", "_level", "_moved")
    rows = pl.concat([far.rows, named.select("Code", "Date")]).unique().sort("Code", "Date")
    return Touched(restarted.frame.drop(work), rows, f"{_told(named)} {note}".strip())


def _far_from_close(frame: pl.DataFrame) -> Touched:
    """Void Open, High and Low that are off the Close of their day by an impossible factor."""
    close = pl.col("Close")
    far = {
        name: ((pl.col(name) > IMPOSSIBLE * close) | (pl.col(name) * IMPOSSIBLE < close)).fill_null(value=False)
        for name in ("Open", "High", "Low")
    }
    changes = [pl.when(hit).then(None).otherwise(pl.col(name)).alias(name) for name, hit in far.items()]
    return apply(frame, pl.any_horizontal(*far.values()), *changes)


def _judge(frame: pl.DataFrame) -> pl.DataFrame:
    """Give ``_row``, ``_what`` (void or restart) and ``_level`` (the close that was left) of the rows not believed."""
    found: list[tuple[int, int, float]] = []
    suspects = _suspects(frame)
    for part in suspects.partition_by("_id", include_key=False) if suspects.height else []:
        found += _walk(part.rows())
    return pl.DataFrame(found, schema={"_row": pl.UInt32, "_what": pl.Int8, "_level": pl.Float64}, orient="row")


def _suspects(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the known closes of the segments that have a large move.

    Returns:
        ``_id`` (segment), ``_row``, ``_session`` (number of the day in the calendar), Close, ``_volume`` (Volume over
        its median of the sessions before) of these segments.
    """
    known = frame.select("Close", SEGMENT).filter(pl.col("Close") > 0)
    same = pl.col(SEGMENT) == pl.col(SEGMENT).shift(1)
    ratio = pl.col("Close") / pl.col("Close").shift(1)
    large = same & ((ratio >= LARGE) | (ratio <= 1 / LARGE))
    segments = known.filter(large.fill_null(value=False))[SEGMENT].unique()
    calendar = frame.select(pl.col("Date").unique().sort()).with_row_index("_session")
    usual = pl.col("Volume").rolling_median(USUAL_SESSIONS, min_samples=1).shift(1).over("_id")
    return (
        frame.with_row_index("_row")
        .filter(pl.col(SEGMENT).is_in(segments.implode()))
        .select("_row", "Date", "Close", "Volume", pl.col(SEGMENT).alias("_id"))
        .with_columns((pl.col("Volume") / usual).alias("_volume"))
        .filter(pl.col("Close") > 0)
        .join(calendar, on="Date", how="left", maintain_order="left")
        .select("_id", "_row", pl.col("_session").cast(pl.Int64), "Close", "_volume")
    )


def _walk(rows: Sequence[Row]) -> list[tuple[int, int, float]]:
    """Follow the level of one segment; return row, void or restart, and the level left, of rows not believed."""
    found: list[tuple[int, int, float]] = []
    _, session, level, _ = rows[0]
    pending: float | None = None
    for row, today, close, volume in rows[1:]:
        moved = close / level
        size = max(moved, 1 / moved)
        returned = today - session > GAP_SESSIONS and size >= LARGE
        stays = pending is not None and abs(close / pending - 1) <= JUMP
        if returned or (size >= LARGE and stays):
            found.append((row, RESTART, level))
        elif size >= IMPOSSIBLE or (size >= LARGE and not _loud(moved, volume)):
            found.append((row, VOID, level))
            pending = close
            continue
        level, session, pending = close, today, None
    return found


def _loud(moved: float, volume: float | None) -> bool:
    """Whether a large move came with the volume of a true one; unknown volume is none."""
    if volume is None:
        return False
    return volume > RISE_VOLUME if moved > 1 else volume * moved > FALL_TURNOVER


def _told(named: pl.DataFrame) -> str:
    """Name the largest of the moves."""
    size = pl.max_horizontal(pl.col("_moved"), 1 / pl.col("_moved"))
    worst = named.sort(size, descending=True).head(3).select("Code", "Date", "_moved").rows()
    told = ", ".join(f"{code} on {day} (x{moved:.4g})" for code, day, moved in worst)
    voided = named.filter(pl.col("_what") == VOID).height
    return (
        f"Prices of {counted(named['Code'].n_unique(), 'code', 'codes')} moved as no stock did: "
        f"{counted(voided, 'day', 'days')} voided, {counted(named.height - voided, 'new listing', 'new listings')} "
        f"begun; the largest: {told}."
    )

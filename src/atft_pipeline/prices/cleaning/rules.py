"""The cleaning rules, one function each; :mod:`atft_pipeline.prices.cleaning.clean` orders, switches and counts them.

Rules that need more room: :mod:`.copies` (rows that share a key), :mod:`.sessions` (which days are trading days) and
:mod:`.moves` (what no stock did).

Each takes the frame sorted by Code and Date, with the working columns ``SEGMENT`` (number of the listing segment),
``BREAK`` (a segment of the same code ended just before this row) and ``TICK`` (the Close that the tick rule voided).
The first paragraph of a docstring is shown to the reader of the quality report.
"""

from dataclasses import dataclass

import polars as pl

from atft_pipeline.prices.reading.names import PRICE_COLUMNS

SEGMENT = "_segment"
BREAK = "_break"
TICK = "_tick"
# Relative excess over the range of a day up to which it is rounding, which widens the range instead of voiding a price.
RANGE_TOLERANCE = 0.005
# Sessions without a row, about half a year, after which the same letters may be another company.
LONG_GAP = 120
# A jump is a move by this fraction from both of the last two closes; above a multiple of the median volume of the
# sessions before it is believed: a real event of that size is traded.
JUMP = 0.4
QUIET_VOLUME = 3.0
USUAL_SESSIONS = 20
# Relative distance to a simple ratio within which a jump is a split: the day's own move comes on top of it.
SPLIT_TOLERANCE = 0.08
SPLIT_RATIOS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0, 25.0, 30.0, 50.0, 100.0)


@dataclass(frozen=True)
class Touched:
    """What a rule left and what it touched.

    Attributes:
        frame: the frame after the rule.
        rows: Code and Date of the rows touched.
        note: a sentence for the reader, where there is more to say than the count.
    """

    frame: pl.DataFrame
    rows: pl.DataFrame
    note: str = ""


def apply(frame: pl.DataFrame, hit: pl.Expr, *changes: pl.Expr) -> Touched:
    """Change columns where ``hit`` holds; each change names its column."""
    mask = frame.select(hit.fill_null(value=False).alias("hit"))["hit"]
    rows = frame.select("Code", "Date").filter(mask)
    if rows.is_empty():
        return Touched(frame, rows)
    frame = frame.with_columns(mask.alias("_hit"))
    named = [
        pl.when("_hit").then(change).otherwise(pl.col(change.meta.output_name())).alias(change.meta.output_name())
        for change in changes
    ]
    return Touched(frame.with_columns(named).drop("_hit"), rows)


def drop(frame: pl.DataFrame, hit: pl.Expr) -> Touched:
    """Drop the rows where ``hit`` holds."""
    mask = frame.select(hit.fill_null(value=False).alias("hit"))["hit"]
    return Touched(frame.filter(~mask), frame.select("Code", "Date").filter(mask))


def _void(*names: str) -> list[pl.Expr]:
    """Express null in each column."""
    return [pl.lit(None, dtype=pl.Float64).alias(name) for name in names]


def not_finite(frame: pl.DataFrame) -> Touched:
    """Turn NaN and infinite numbers into null, in all columns."""
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    bad = {name: pl.col(name).is_finite().not_() for name in floats}
    changes = [pl.when(pl.col(name).is_finite()).then(pl.col(name)).otherwise(None).alias(name) for name in floats]
    mask = frame.select(pl.any_horizontal(*bad.values()).fill_null(value=False).alias("hit"))["hit"]
    if not mask.any():
        return Touched(frame, frame.select("Code", "Date").clear())
    return Touched(frame.with_columns(changes), frame.select("Code", "Date").filter(mask))


def zero_prices(frame: pl.DataFrame) -> Touched:
    """Turn prices of zero into null; they mean that nothing was traded or known."""
    names = [name for name in (*PRICE_COLUMNS, "Vwap", "UnadjustedClose") if name in frame.columns]
    hit = pl.any_horizontal(*(pl.col(name) == 0 for name in names))
    changes = [pl.when(pl.col(name) != 0).then(pl.col(name)).otherwise(None).alias(name) for name in names]
    return apply(frame, hit, *changes)


def crossed_range(frame: pl.DataFrame) -> Touched:
    """Where High is below Low: exchange them if Open and Close then lie between them, else void both."""
    high, low = pl.col("High"), pl.col("Low")
    crossed = high < low
    inside = pl.all_horizontal(
        *(pl.col(name).is_between(high, low).fill_null(value=True) for name in ("Open", "Close"))
    )
    return apply(
        frame,
        crossed,
        pl.when(inside).then(low).otherwise(None).alias("High"),
        pl.when(inside).then(high).otherwise(None).alias("Low"),
    )


def outside_range(frame: pl.DataFrame) -> Touched:
    """Where Close leaves Low..High void High and Low, where Open does void Open; a slight excess widens the range.

    Close is kept because it is the price that is settled and checked most; the tick rule judges it by itself.
    """
    high, low = pl.col("High"), pl.col("Low")

    def excess(name: str) -> pl.Expr:
        value = pl.col(name)
        return pl.max_horizontal(value / high - 1, low / value - 1).fill_null(0.0)

    wide_close, wide_open = excess("Close") > RANGE_TOLERANCE, excess("Open") > RANGE_TOLERANCE
    opening = pl.when(wide_open).then(None).otherwise(pl.col("Open"))
    highest = pl.max_horizontal(high, pl.col("Close"), opening)
    lowest = pl.min_horizontal(low, pl.col("Close"), opening)
    return apply(
        frame,
        (excess("Close") > 0) | (excess("Open") > 0),
        pl.when(wide_open & ~wide_close).then(None).otherwise(pl.col("Open")).alias("Open"),
        pl.when(wide_close | high.is_null()).then(None).otherwise(highest).alias("High"),
        pl.when(wide_close | low.is_null()).then(None).otherwise(lowest).alias("Low"),
    )


def long_gaps(frame: pl.DataFrame) -> Touched:
    """Begin a new listing segment where a code returns after a long gap, counted in sessions of the whole market.

    The same letters may then be another company; no return, feature or label crosses the gap.
    """
    calendar = frame.select(pl.col("Date").unique().sort()).with_row_index("_session")
    dated = frame.join(calendar, on="Date", how="left", maintain_order="left")
    same = pl.col("Code") == pl.col("Code").shift(1)
    gap = pl.col("_session").cast(pl.Int64).diff() > LONG_GAP
    return begin_segment(dated.drop("_session"), dated.select((same & gap).fill_null(value=False).alias("hit"))["hit"])


def one_day_ticks(frame: pl.DataFrame) -> Touched:
    """Void the prices of a day whose Close left the level of the last two closes on quiet volume.

    A real event of that size comes with a multiple of the usual volume, a wrong print does not. Judged by the day
    itself and the days before it: the level must be off from both closes, so the return from a wrong print is kept, and
    a level that stays is accepted on its second day.
    """
    marked = _with_jumps(frame)
    levels = [
        pl.when(is_off(pl.col(name), pl.col("_before"))).then(None).otherwise(pl.col(name)).alias(name)
        for name in PRICE_COLUMNS
    ]
    touched = apply(marked, pl.col("_jump"), pl.col("Close").alias(TICK), *levels)
    return Touched(touched.frame.drop("_jump", "_before"), touched.rows)


def split_candidates(frame: pl.DataFrame) -> Touched:
    """Begin a new listing segment on the second day of a quiet jump by a simple ratio (2:1, 3:1, 1:10, ...)."""
    # The tick rule has voided the first day of the jump, so the last known close is the level before it.
    last = pl.col("Close").forward_fill().shift(1).over(SEGMENT)
    ratio = pl.max_horizontal(pl.col("Close") / last, last / pl.col("Close"))
    simple = pl.any_horizontal(*((ratio / split - 1).abs() < SPLIT_TOLERANCE for split in SPLIT_RATIOS))
    jumped_to = pl.col(TICK).shift(1).over(SEGMENT)
    stayed = ~is_off(pl.col("Close"), jumped_to, JUMP / 2)
    hit = simple & stayed & is_off(pl.col("Close"), last)
    return begin_segment(frame, frame.select(hit.fill_null(value=False).alias("hit"))["hit"])


def undone_ticks(frame: pl.DataFrame) -> Touched:
    """Void a Close that the next day undoes. Needs the next day: not causal, off by default."""
    close = pl.col("Close")
    before = close.forward_fill().shift(1).over(SEGMENT)
    after = close.backward_fill().shift(-1).over(SEGMENT)
    hit = is_off(close, before) & is_off(close, after) & ~is_off(after, before, JUMP / 2)
    return apply(frame, hit, *_void("Close", "High", "Low"))


def is_off(value: pl.Expr, level: pl.Expr, jump: float = JUMP) -> pl.Expr:
    """Whether a price is off a level by more than a jump, up or down."""
    return (value > level * (1 + jump)) | (value < level * (1 - jump))


def _with_jumps(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``_jump`` (a quiet jump of Close) and ``_before`` (the last close before the row)."""
    known = frame.select("Close", "Volume", SEGMENT).with_row_index("_row").filter(pl.col("Close").is_not_null())
    same = [pl.col(SEGMENT) == pl.col(SEGMENT).shift(step) for step in (1, 2)]
    close = pl.col("Close")
    moves = known.select(
        "_row",
        SEGMENT,
        pl.when(same[0]).then(close.shift(1)).alias("_before"),
        (same[0] & is_off(close, close.shift(1))).alias("_moved"),
        (same[1] & ~is_off(close, close.shift(2))).fill_null(value=False).alias("_returned"),
    )
    moved = moves.filter(pl.col("_moved") & ~pl.col("_returned"))
    usual = frame.select(
        "Volume", pl.col("Volume").rolling_median(USUAL_SESSIONS, min_samples=1).shift(1).over(SEGMENT).alias("_usual")
    ).with_row_index("_row")
    quiet = moved.join(usual, on="_row", how="left").filter(
        (pl.col("Volume").is_null() | (pl.col("Volume") <= QUIET_VOLUME * pl.col("_usual"))).fill_null(value=True)
    )
    marks = quiet.select("_row", "_before", pl.lit(value=True).alias("_jump"))
    return (
        frame.with_row_index("_row")
        .join(marks, on="_row", how="left", maintain_order="left")
        .drop("_row")
        .with_columns(pl.col("_jump").fill_null(value=False))
    )


def begin_segment(frame: pl.DataFrame, hit: pl.Series) -> Touched:
    """Begin a new segment at the rows where ``hit`` holds."""
    broken = frame.with_columns((pl.col(BREAK) | hit).alias(BREAK))
    edge = (pl.col("Code") != pl.col("Code").shift(1)).fill_null(value=True) | pl.col(BREAK)
    return Touched(broken.with_columns(edge.cum_sum().alias(SEGMENT)), frame.select("Code", "Date").filter(hit))

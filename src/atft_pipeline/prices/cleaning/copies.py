"""Rows that share a Code and a Date: the most complete one stays, copies that contradict each other are no prices."""

import polars as pl

from atft_pipeline.prices.cleaning.rules import Touched
from atft_pipeline.prices.reading.names import PRICE_COLUMNS
from atft_pipeline.prices.reading.record import counted

# Two quotes of one price differ by rounding and by how an adjustment was rounded, not by more.
SAME = 0.002


def duplicate_keys(frame: pl.DataFrame, *, keep_conflicts: bool = False) -> Touched:
    """Of rows with the same Code and Date keep the one that has more of the prices; of equal ones the last.

    A row that was delivered while the day was still going on has the Open of the finished one, a range inside its range
    and less volume. Where copies disagree in any other way all of them stay, for :func:`conflicting_keys`, or else the
    last.
    """
    judged = judge_copies(frame)
    if judged is None:
        return Touched(frame, frame.select("Code", "Date").clear())
    stays = pl.col("_best") | (pl.col("_conflict") & pl.col("_full")) if keep_conflicts else pl.col("_best")
    dropped = judged.filter(~stays)["_row"]
    mask = ~pl.int_range(frame.height, eager=True, dtype=pl.UInt32).is_in(dropped.implode())
    return Touched(frame.filter(mask), frame.select("Code", "Date").filter(~mask))


def conflicting_keys(frame: pl.DataFrame) -> Touched:
    """Void the prices and the volume of a day whose copies disagree beyond rounding; nobody can tell which is right."""
    last = ~(_same_key(-1)).fill_null(value=False)
    repeated = (_same_key(-1) | _same_key(1)).fill_null(value=False)
    marks = frame.select(last.alias("last"), repeated.alias("repeated"))
    if not marks["repeated"].any():
        return Touched(frame, frame.select("Code", "Date").clear())
    values = [name for name, dtype in frame.schema.items() if dtype.is_numeric() and not name.startswith("_")]
    kept = frame.with_columns(marks["repeated"].alias("_hit")).filter(marks["last"])
    voided = kept.with_columns(pl.when("_hit").then(None).otherwise(pl.col(name)).alias(name) for name in values)
    rows = kept.filter("_hit").select("Code", "Date")
    copies = int(marks["repeated"].sum())
    example = frame.filter(marks["repeated"]).select("Code", "Date", "Close").head(2).rows()
    told = " and ".join("nothing" if close is None else f"{close:g}" for _, _, close in example)
    note = (
        f"{copies:,} rows are copies of a code and a day that disagree, such as {example[0][0]} on {example[0][1]} "
        f"with Close {told}; {counted(rows.height, 'day has', 'days have')} no price for it."
    )
    return Touched(voided.drop("_hit"), rows, note)


def judge_copies(frame: pl.DataFrame) -> pl.DataFrame | None:
    """Judge the rows that share a Code and a Date.

    Args:
        frame: sorted by Code and Date.

    Returns:
        ``_row`` (its number in the frame), Code, Date, ``_full`` (none of its copies has more values), ``_best`` (the
        one that stays), ``_differ`` (its copies with as many values differ) and ``_conflict`` (they differ, and not
        because one was delivered earlier in the day); ``None`` where no rows share a key.
    """
    mask = frame.select((_same_key(1) | _same_key(-1)).fill_null(value=False).alias("hit"))["hit"]
    if not mask.any():
        return None
    copies = frame.with_row_index("_row").filter(mask).select("_row", "Code", "Date", *PRICE_COLUMNS, "Volume")
    key = ["Code", "Date"]
    filled = pl.sum_horizontal(*(pl.col(name).is_not_null().cast(pl.Int32) for name in PRICE_COLUMNS)) + (
        pl.col("Volume") > 0
    ).fill_null(value=False).cast(pl.Int32)
    copies = copies.with_columns(filled.alias("_filled"))
    copies = copies.with_columns((pl.col("_filled") == pl.col("_filled").max().over(key)).alias("_full"))
    # The last of the largest volumes: a day's delivery that came later holds more of its trades.
    ranked = copies.filter("_full").sort("Volume", "_row", nulls_last=False)
    best = ranked.unique(key, keep="last", maintain_order=True)
    names = {name: f"{name}_best" for name in (*PRICE_COLUMNS, "Volume", "_row")}
    copies = copies.join(best.select(*key, *names).rename(names), on=key, how="left", maintain_order="left")
    return copies.with_columns(
        (pl.col("_row") == pl.col("_row_best")).alias("_best"),
        (pl.col("_full") & ~_agrees()).any().over(key).alias("_differ"),
        (pl.col("_full") & ~_agrees() & ~_earlier()).any().over(key).alias("_conflict"),
    ).select("_row", *key, "_full", "_best", "_differ", "_conflict")


def _same_key(step: int) -> pl.Expr:
    """Whether the row so many before (after, if negative) has the same Code and Date."""
    return (pl.col("Code") == pl.col("Code").shift(step)) & (pl.col("Date") == pl.col("Date").shift(step))


def _near(name: str) -> pl.Expr:
    """Whether a price equals that of the best copy, up to rounding; two unknown ones are equal."""
    own, best = pl.col(name), pl.col(f"{name}_best")
    return ((own - best).abs() <= SAME * best).fill_null(value=False) | (own.is_null() & best.is_null())


def _agrees() -> pl.Expr:
    return pl.all_horizontal(*(_near(name) for name in PRICE_COLUMNS))


def _earlier() -> pl.Expr:
    """Whether the copy is the best one as it was earlier on the same day."""
    return (
        _near("Open")
        & (pl.col("High") <= pl.col("High_best") * (1 + SAME))
        & (pl.col("Low") >= pl.col("Low_best") * (1 - SAME))
        & (pl.col("Volume") < pl.col("Volume_best"))
    ).fill_null(value=False)

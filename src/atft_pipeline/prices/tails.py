"""Tails of one-day returns: how many are larger than each of a row of sizes."""

import polars as pl

SIZES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 100.0)


def one_day_returns(key: str) -> pl.Expr:
    """Express the simple close-to-close return to the row before of the same key; null where there is none.

    Args:
        key: column that changes where another listing begins; the frame is sorted by it and by Date.
    """
    close = pl.col("Close")
    same = (pl.col(key) == pl.col(key).shift(1)) & (close.shift(1) > 0) & (close > 0)
    return pl.when(same).then(close / close.shift(1) - 1)


def tail_counts(returns: pl.Series) -> dict[str, list[int]]:
    """Count the gains and the losses of at least each of ``SIZES``.

    A loss is measured by what undoes it: from 100 to 50 counts as 1.0, so that both tails of a symmetric price agree.

    Args:
        returns: simple returns; nulls are left out.

    Returns:
        ``gains`` and ``losses``, one count a size, and ``all``, the number of returns.
    """
    known = returns.drop_nulls()
    frame = pl.DataFrame({"gain": known, "loss": 1 / (1 + known) - 1})
    counts = frame.select(
        *((pl.col(name) >= size).sum().alias(f"{name} {size}") for name in ("gain", "loss") for size in SIZES)
    ).row(0)
    return {"gains": list(counts[: len(SIZES)]), "losses": list(counts[len(SIZES) :]), "all": [len(known)]}

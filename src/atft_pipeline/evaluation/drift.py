"""Whether the scores still look like those the model was trained on: the population stability index by month.

PSI = sum over bins of (p - q) ln(p / q), with bins at the quantiles of the reference. Common reading: below 0.1 stable,
above 0.25 another population. Siddiqi, Credit Risk Scorecards (2006).
"""

from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.report import number

BINS = 10
FIRST_MONTHS = 3
SHAPE = "shape"
HALVES = 10
LEAST_DAYS = 2


def stability_index(reference: Floats, values: Floats, bins: int = BINS) -> float:
    """PSI of ``values`` against ``reference``; NaN where one is empty or the reference has a single value.

    A share of half an observation stands in an empty bin, so that the index stays finite.
    """
    reference, values = reference[np.isfinite(reference)], values[np.isfinite(values)]
    if not reference.size or not values.size:
        return float("nan")
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    if np.ptp(reference) == 0:
        return float("nan")
    p, q = (
        np.maximum(np.bincount(np.searchsorted(edges, part, side="right"), minlength=edges.size + 1), 0.5) / part.size
        for part in (values, reference)
    )
    return float(((p - q) * np.log(p / q)).sum())


def score_drift(table: pl.DataFrame, horizon: int, reference: pl.DataFrame | None) -> dict[str, Any]:
    """PSI of the model's scores of each month, as they are and with each day's mean and spread taken out.

    A ranking knows neither the mean nor the spread of a day's scores, so only the second index, of their shape, says
    that the model sees another population; the first one also follows how sure the model is of its days.

    Args:
        table: Date and ``score_{h}``.
        horizon: sessions ahead.
        reference: the same columns for training days; ``None``: the first three months of the table.

    Returns:
        reference (words), rows of it, ``chance`` and ``shape_chance`` (the index of one random half of the reference
        days against the other, the mean of several; ``None`` below four days), and a list of month, psi, shape_psi,
        rows.
    """
    column = f"score_{horizon}"
    dated = _with_shape(table, column)
    months = dated["month"].unique().sort().to_list()
    if reference is not None and column in reference.columns:
        words, base = "training days", _with_shape(reference, column)
    else:
        first = months[:FIRST_MONTHS]
        words, base = f"the first {len(first)} months", dated.filter(pl.col("month").is_in(first))
    rows = [
        {
            "month": str(month),
            "psi": number(stability_index(_values(base, column), _values(group, column))),
            "shape_psi": number(stability_index(_values(base, SHAPE), _values(group, SHAPE))),
            "rows": group.height,
        }
        for (month,), group in dated.group_by("month", maintain_order=True)
    ]
    return {
        "reference": words,
        "reference_rows": base.height,
        "chance": _between_halves(base, column),
        "shape_chance": _between_halves(base, SHAPE),
        "months": rows,
    }


def _with_shape(table: pl.DataFrame, column: str) -> pl.DataFrame:
    """Date, month, the scores, and the scores less their day's mean, over its standard deviation; by date."""
    score = pl.col(column).cast(pl.Float64)
    return table.select(
        "Date",
        pl.col("Date").dt.strftime("%Y-%m").alias("month"),
        score,
        ((score - score.mean().over("Date")) / score.std().over("Date")).alias(SHAPE),
    ).sort("Date")


def _values(table: pl.DataFrame, column: str) -> Floats:
    return table[column].to_numpy()


def _between_halves(base: pl.DataFrame, column: str) -> float | None:
    """Mean PSI of one half of the days against the other, over seeded random halves.

    Rows of a day move together, so a formula for independent rows would promise far too little.
    """
    days = base["Date"].unique().sort().to_numpy()
    if days.size < 2 * LEAST_DAYS:
        return None
    rng = np.random.default_rng(0)
    found = []
    for _ in range(HALVES):
        half = base["Date"].is_in(rng.permutation(days)[: days.size // 2].tolist())
        found.append(stability_index(_values(base.filter(half), column), _values(base.filter(~half), column)))
    return number(float(np.mean(found)))

"""Whether the scores still look like those the model was trained on: the population stability index by month.

PSI = sum over bins of (p - q) ln(p / q), with bins at the quantiles of the reference. Common reading: below 0.1 stable,
above 0.25 another population. Siddiqi, Credit Risk Scorecards (2006).
"""

from typing import Any

import numpy as np
import polars as pl

from atft_pipeline.evaluation.grid import Floats
from atft_pipeline.evaluation.summary import number

BINS = 10
FIRST_MONTHS = 3


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
    """PSI of the model's scores of each month.

    Args:
        table: Date and ``score_{h}``.
        horizon: sessions ahead.
        reference: the same columns for training days; ``None``: the first three months of the table.

    Returns:
        reference (words), rows of it, and a list of month, psi and the error that chance alone gives: two samples of
        one population have a PSI of about (bins - 1) (1/n + 1/m) for independent rows.
    """
    column = f"score_{horizon}"
    dated = table.select(pl.col("Date").dt.strftime("%Y-%m").alias("month"), column).sort("month")
    months = dated["month"].unique().sort().to_list()
    if reference is not None and column in reference.columns:
        words, base = "training days", reference[column].cast(pl.Float64).to_numpy()
    else:
        first = months[:FIRST_MONTHS]
        words = f"the first {len(first)} months"
        base = dated.filter(pl.col("month").is_in(first))[column].cast(pl.Float64).to_numpy()
    rows = []
    for (month,), group in dated.group_by("month", maintain_order=True):
        values = group[column].cast(pl.Float64).to_numpy()
        chance = (BINS - 1) * (1 / max(values.size, 1) + 1 / max(base.size, 1))
        rows.append(
            {"month": str(month), "psi": number(stability_index(base, values)), "chance": chance, "rows": values.size}
        )
    return {"reference": words, "reference_rows": int(base.size), "months": rows}

"""Estimates as plain JSON types; NaN becomes None."""

import math
from typing import Any

from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.bootstrap import Bootstrap, Interval
from atft_pipeline.stats.significance import Estimate, estimate

Report = dict[str, Any]


def number(value: float) -> float | None:
    """A float that JSON can hold: None for NaN and infinities."""
    return float(value) if math.isfinite(value) else None


def as_json(value: Estimate, interval: Interval | None = None) -> Report:
    """An estimate as plain JSON, with the ends of an interval where there is one."""
    report: Report = {
        "mean": number(value.mean),
        "se": number(value.se),
        "t": number(value.t),
        "n_days": value.n_days,
    }
    if interval is not None:
        report |= {"low": number(interval.low), "high": number(interval.high)}
    return report


def mean_report(series: Floats, horizon: int, bootstrap: Bootstrap | None = None) -> Report:
    """Mean of a daily series with its Newey-West error and, with a bootstrap, its interval."""
    return as_json(estimate(series, horizon), bootstrap.mean(series, horizon) if bootstrap else None)

"""Causal cleaning of raw prices: named rules, each of which can be switched off and counts what it touched.

A rule that is on by default uses the rows of a day and of the days before it, nothing later: whatever happens after
a date leaves the clean rows up to that date bit for bit the same. The one rule that needs the
next day says so and is off.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from atft_pipeline.config import config, require
from atft_pipeline.prices.cleaning import calendar, copies, moves, rules
from atft_pipeline.prices.reading.names import PRICE_COLUMNS
from atft_pipeline.prices.tails import one_day_returns, tail_counts


@dataclass(frozen=True)
class RuleCount:
    """What one rule touched.

    Attributes:
        rule: its name, as in the configuration.
        does: what it does, in words.
        causal: whether it uses no later day.
        enabled: whether it ran.
        rows: rows touched.
        codes: distinct codes touched.
        years: year -> rows touched.
        examples: a few touched rows as ``Code Date``.
        note: a sentence for the reader, or nothing.
    """

    rule: str
    does: str
    causal: bool
    enabled: bool
    rows: int = 0
    codes: int = 0
    years: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        """Give plain JSON types."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class Cleaned:
    """Clean rows and what was done.

    Attributes:
        prices: sorted by Listing and Date, without InUniverse; see :func:`clean_prices`.
        rules: one count a rule, in the order of work.
        raw_tails: tails of the one-day returns before the first rule.
    """

    prices: pl.DataFrame
    rules: list[RuleCount]
    raw_tails: dict[str, list[int]]


# Order matters: keys, values, sessions, segments, then what looks at neighbouring days.
RULES: tuple[Callable[..., rules.Touched], ...] = (
    rules.not_finite,
    rules.zero_prices,
    copies.duplicate_keys,
    copies.conflicting_keys,
    calendar.holiday_sessions,
    rules.crossed_range,
    rules.outside_range,
    rules.long_gaps,
    moves.impossible_moves,
    rules.one_day_ticks,
    rules.split_candidates,
    rules.undone_ticks,
)
RULE_NAMES = tuple(rule.__name__ for rule in RULES)
LOOKING_AHEAD = ("undone_ticks",)
"""Rules that use the next day; they are off unless a user takes them out of the list."""


@config
class CleaningConfig:
    """Which rules run.

    Attributes:
        skip: names of the rules that do not run, of :data:`RULE_NAMES`; the quality report says what each rule does.
    """

    skip: tuple[str, ...] = LOOKING_AHEAD

    def __post_init__(self) -> None:
        unknown = sorted(set(self.skip) - set(RULE_NAMES))
        require(not unknown, f"skip: unknown rule {', '.join(unknown)}; known are {', '.join(RULE_NAMES)}")


def clean_prices(raw: pl.DataFrame, settings: CleaningConfig, listings: pl.DataFrame | None = None) -> Cleaned:
    """Run the rules over raw prices.

    Args:
        raw: Date, Code, Open, High, Low, Close, Volume and further numeric columns, in any order of rows.
        settings: which rules.
        listings: Code and market, where markets with holidays of their own are known by name.

    Returns:
        Date, Code, Listing, Open, High, Low, Close, Volume, then the other columns. Listing is the code, with ``@2``,
        ``@3``, ... from its second segment on; unknown values are null.
    """
    frame = raw.filter(pl.col("Date").is_not_null() & pl.col("Code").is_not_null())
    counts = [_missing_keys(raw, frame)]
    frame = frame.sort("Code", "Date", maintain_order=True)
    frame = frame.with_columns(
        pl.col("Code").rle_id().alias(rules.SEGMENT),
        pl.lit(value=False).alias(rules.BREAK),
        pl.lit(None, dtype=pl.Float64).alias(rules.TICK),
    )
    raw_tails = tail_counts(frame.select(one_day_returns("Code")).to_series())
    further: dict[str, dict[str, Any]] = {
        "duplicate_keys": {"keep_conflicts": "conflicting_keys" not in settings.skip},
        "holiday_sessions": {"listings": listings},
    }
    for rule, name in zip(RULES, RULE_NAMES, strict=True):
        does, causal = " ".join((rule.__doc__ or "").split("\n\n")[0].split()), name not in LOOKING_AHEAD
        if name in settings.skip:
            counts.append(RuleCount(rule=name, does=does, causal=causal, enabled=False))
            continue
        touched = rule(frame, **further.get(name, {}))
        counts.append(_count(name, does, causal, touched))
        frame = touched.frame
    return Cleaned(prices=_finish(frame), rules=counts, raw_tails=raw_tails)


def _missing_keys(raw: pl.DataFrame, kept: pl.DataFrame) -> RuleCount:
    """Count the rows that had no Date or no Code."""
    lost = raw.height - kept.height
    return RuleCount(rule="missing_keys", does="Drop rows without Date or Code.", causal=True, enabled=True, rows=lost)


def _count(name: str, does: str, causal: bool, touched: rules.Touched) -> RuleCount:
    """Summarise the touched rows of one rule."""
    rows = touched.rows
    years = rows.group_by(pl.col("Date").dt.year().alias("year")).len().sort("year")
    shown = rows.sort("Date", "Code").head(5).select(pl.format("{} {}", "Code", "Date"))
    return RuleCount(
        rule=name,
        does=does,
        causal=causal,
        enabled=True,
        rows=rows.height,
        codes=rows["Code"].n_unique(),
        years={str(year): count for year, count in years.iter_rows()},
        examples=shown.to_series().to_list(),
        note=touched.note,
    )


def _finish(frame: pl.DataFrame) -> pl.DataFrame:
    """Name the listing segments and put the columns in order."""
    ordinal = pl.col(rules.BREAK).cast(pl.UInt32).cum_sum().over("Code") + 1
    later = pl.concat_str([pl.col("Code"), pl.lit("@"), ordinal.cast(pl.String)])
    named = frame.with_columns(Listing=pl.when(ordinal > 1).then(later).otherwise("Code"))
    first = ["Date", "Code", "Listing", *PRICE_COLUMNS, "Volume"]
    rest = [name for name in frame.columns if name not in {*first, rules.SEGMENT, rules.BREAK, rules.TICK}]
    return named.select(*first, *rest).sort("Listing", "Date")

"""Causal cleaning of raw prices: named rules, each of which can be switched off and counts what it touched.

A rule that is on by default uses the rows of a day and of the days before it, nothing later: whatever happens after
a date leaves the clean rows up to that date bit for bit the same. The one rule that needs the
next day says so and is off.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from atft_pipeline.config import config, within
from atft_pipeline.prices.cleaning import calendar, copies, moves, rules
from atft_pipeline.prices.tails import one_day_returns, tail_counts


@config
class CleaningConfig:
    """Which rules run, and their limits.

    Attributes:
        not_finite: NaN and infinite numbers become null.
        zero_prices: prices of zero become null.
        duplicate_keys: of rows with the same Code and Date the most complete stays, of equal ones the last.
        conflicting_keys: a day whose copies disagree beyond rounding has no price; switched off, the last copy stays.
        holiday_sessions: drop days on which hardly any code traded.
        holiday_share: share of the median number of traded codes below which a day is no session.
        holiday_window: sessions of that median, the day itself included.
        crossed_range: High and Low that are exchanged are put right, or become null.
        outside_range: Open or Close outside Low..High by more than the tolerance voids the weaker price.
        range_tolerance: relative excess up to which a price outside the range widens the range instead.
        long_gaps: a code that returns after a long gap begins a new listing segment.
        gap_sessions: sessions without a row that make a long gap.
        impossible_moves: void what no stock did, on whatever volume; where the new level stays begin a new segment.
        impossible_factor: factor between two closes that is impossible on any volume.
        one_day_ticks: void the prices of a day that jumped without the volume of a real event.
        tick_return: relative move from the last two closes that makes a jump, up or down.
        tick_volume: multiple of the median volume up to which the day counts as quiet.
        tick_window: sessions of that median, all before the day.
        split_candidates: a lasting jump by a simple ratio, voided by the tick rule, begins a new segment.
        split_tolerance: relative distance to the simple ratio.
        undone_ticks: void a close that the next day undoes. Needs the next day: not causal, off by default.
    """

    not_finite: bool = True
    zero_prices: bool = True
    duplicate_keys: bool = True
    conflicting_keys: bool = True
    holiday_sessions: bool = True
    holiday_share: float = within(0.2, 0, 0.99)
    holiday_window: int = within(20, 1, 1000)
    crossed_range: bool = True
    outside_range: bool = True
    range_tolerance: float = within(0.005, 0, 0.99)
    long_gaps: bool = True
    gap_sessions: int = within(120, 1, 10_000)
    impossible_moves: bool = True
    impossible_factor: float = within(20.0, moves.LARGE, 1e6)
    one_day_ticks: bool = True
    tick_return: float = within(0.4, 0.001, 0.99)
    tick_volume: float = within(3.0, 0, 1000000.0)
    tick_window: int = within(20, 1, 1000)
    split_candidates: bool = True
    split_tolerance: float = within(0.08, 0.0001, 0.199)
    undone_ticks: bool = False


@dataclass(frozen=True)
class RuleCount:
    """What one rule touched.

    Attributes:
        rule: its name, the switch in the configuration.
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


Rule = Callable[[pl.DataFrame, CleaningConfig, pl.DataFrame | None], rules.Touched]

# Order matters: keys, values, sessions, segments, then what looks at neighbouring days. Where a rule has its words; how
# it is called; whether it uses no later day.
RULES: tuple[tuple[Callable[..., rules.Touched], Rule, bool], ...] = (
    (rules.not_finite, lambda frame, *_: rules.not_finite(frame), True),
    (rules.zero_prices, lambda frame, *_: rules.zero_prices(frame), True),
    (copies.duplicate_keys, lambda f, c, _: copies.duplicate_keys(f, keep_conflicts=c.conflicting_keys), True),
    (copies.conflicting_keys, lambda frame, *_: copies.conflicting_keys(frame), True),
    (
        calendar.holiday_sessions,
        lambda f, c, m: calendar.holiday_sessions(f, c.holiday_share, c.holiday_window, m),
        True,
    ),
    (rules.crossed_range, lambda frame, *_: rules.crossed_range(frame), True),
    (rules.outside_range, lambda frame, c, _: rules.outside_range(frame, c.range_tolerance), True),
    (rules.long_gaps, lambda frame, c, _: rules.long_gaps(frame, c.gap_sessions), True),
    (
        moves.impossible_moves,
        lambda f, c, _: moves.impossible_moves(f, c.impossible_factor, c.tick_return, c.tick_window),
        True,
    ),
    (rules.one_day_ticks, lambda f, c, _: rules.one_day_ticks(f, c.tick_return, c.tick_volume, c.tick_window), True),
    (rules.split_candidates, lambda f, c, _: rules.split_candidates(f, c.tick_return, c.split_tolerance), True),
    (rules.undone_ticks, lambda frame, c, _: rules.undone_ticks(frame, c.tick_return), False),
)


def clean_prices(raw: pl.DataFrame, settings: CleaningConfig, listings: pl.DataFrame | None = None) -> Cleaned:
    """Run the rules over raw prices.

    Args:
        raw: Date, Code, Open, High, Low, Close, Volume and further numeric columns, in any order of rows.
        settings: which rules, and their limits.
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
    for described, rule, causal in RULES:
        name, does = described.__name__, " ".join((described.__doc__ or "").split("\n\n")[0].split())
        if not getattr(settings, name):
            counts.append(RuleCount(rule=name, does=does, causal=causal, enabled=False))
            continue
        touched = rule(frame, settings, listings)
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
    first = ["Date", "Code", "Listing", *rules.PRICES, "Volume"]
    rest = [name for name in frame.columns if name not in {*first, rules.SEGMENT, rules.BREAK, rules.TICK}]
    return named.select(*first, *rest).sort("Listing", "Date")

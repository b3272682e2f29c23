"""Each cleaning rule on a few rows, by hand."""

from datetime import date

import numpy as np
import polars as pl
import pytest

from atft_pipeline.errors import ConfigError
from atft_pipeline.prices.cleaning.clean import RULE_NAMES, Cleaned, CleaningConfig, clean_prices
from tests.prices.frames import weekdays


def raw(codes: int = 6, sessions: int = 40, **changes: dict[tuple[str, int], float]) -> pl.DataFrame:
    """Calm prices; ``changes`` gives a column its value at (code, session)."""
    days = weekdays(sessions)
    rng = np.random.default_rng(0)
    rows = {name: [] for name in ("Date", "Code", "Open", "High", "Low", "Close", "Volume")}
    for number in range(codes):
        close = 20 * np.exp(np.cumsum(rng.normal(0, 0.005, sessions)))
        rows["Date"] += days
        rows["Code"] += [f"C{number}"] * sessions
        rows["Open"] += close.tolist()
        rows["High"] += (1.01 * close).tolist()
        rows["Low"] += (0.99 * close).tolist()
        rows["Close"] += close.tolist()
        rows["Volume"] += [1000.0] * sessions
    frame = pl.DataFrame(rows)
    for column, cells in changes.items():
        for (code, session), value in cells.items():
            here = (pl.col("Code") == code) & (pl.col("Date") == days[session])
            frame = frame.with_columns(pl.when(here).then(value).otherwise(column).alias(column))
    return frame


def run(frame: pl.DataFrame, *rules: str) -> Cleaned:
    return clean_prices(frame, CleaningConfig(skip=tuple(name for name in RULE_NAMES if name not in rules)))


def touched(cleaned: Cleaned, rule: str) -> int:
    return next(count.rows for count in cleaned.rules if count.rule == rule)


def cell(cleaned: Cleaned, column: str, code: str, session: int) -> float | None:
    row = cleaned.prices.filter((pl.col("Code") == code) & (pl.col("Date") == weekdays(session + 1)[-1]))
    return row[column].item()


def test_every_rule_has_a_switch_and_says_what_it_does() -> None:
    cleaned = clean_prices(raw(), CleaningConfig())
    assert all(len(count.does) > 20 for count in cleaned.rules)
    for rule in RULE_NAMES:
        ran = clean_prices(raw(), CleaningConfig(skip=(rule,))).rules[1:]
        assert [count.rule for count in ran if not count.enabled] == [rule]
    with pytest.raises(ConfigError, match="skip: unknown rule spikes; known are not_finite, "):
        CleaningConfig(skip=("spikes",))
    assert [count.rule for count in cleaned.rules if not count.causal] == ["undone_ticks"]
    assert not next(count for count in cleaned.rules if count.rule == "undone_ticks").enabled


def test_calm_prices_are_left_alone() -> None:
    cleaned = clean_prices(raw(), CleaningConfig())
    assert all(count.rows == 0 for count in cleaned.rules)
    assert cleaned.prices.drop("Listing").sort("Code", "Date").equals(raw())


def test_zero_and_not_finite_become_null() -> None:
    cleaned = run(raw(Open={("C1", 5): 0.0}), "zero_prices")
    assert cell(cleaned, "Open", "C1", 5) is None
    assert touched(cleaned, "zero_prices") == 1
    cleaned = run(raw(Close={("C1", 5): float("inf"), ("C2", 6): float("nan")}), "not_finite")
    assert cell(cleaned, "Close", "C1", 5) is None
    assert cell(cleaned, "Close", "C2", 6) is None
    assert touched(cleaned, "not_finite") == 2


def test_of_duplicate_keys_the_last_stays() -> None:
    frame = raw()
    again = frame.head(1).with_columns(Close=pl.lit(99.0))
    cleaned = run(pl.concat([frame, again]), "duplicate_keys")
    assert cleaned.prices.height == frame.height
    assert cell(cleaned, "Close", "C0", 0) == 99.0


def test_holiday_rows_are_dropped() -> None:
    frame = raw(codes=10)
    ghost = frame.head(1).with_columns(Date=pl.lit(date(2020, 1, 4)))  # a Saturday
    cleaned = run(pl.concat([frame, ghost]), "holiday_sessions")
    assert cleaned.prices.height == frame.height
    assert touched(cleaned, "holiday_sessions") == 1


def test_crossed_range_is_exchanged_or_voided() -> None:
    base = raw()
    high, low = (base.filter(pl.col("Code") == "C1")[name][5] for name in ("High", "Low"))
    cleaned = run(raw(High={("C1", 5): low}, Low={("C1", 5): high}), "crossed_range")
    assert cell(cleaned, "High", "C1", 5) == high
    cleaned = run(raw(High={("C1", 5): 1.0}, Low={("C1", 5): 2.0}), "crossed_range")
    assert cell(cleaned, "High", "C1", 5) is None


def test_close_outside_the_range() -> None:
    close = raw().filter(pl.col("Code") == "C1")["Close"][5]
    far = run(raw(High={("C1", 5): 0.5 * close}, Low={("C1", 5): 0.4 * close}), "outside_range")
    assert cell(far, "High", "C1", 5) is None
    assert cell(far, "Close", "C1", 5) == close
    near = run(raw(High={("C1", 5): 0.999 * close}), "outside_range")
    assert cell(near, "High", "C1", 5) == close


def test_a_long_gap_begins_a_new_listing() -> None:
    frame = raw(sessions=200)
    days = weekdays(200)
    gap = frame.filter(~((pl.col("Code") == "C1") & pl.col("Date").is_between(days[20], days[180])))
    cleaned = run(gap, "long_gaps")
    assert "C1@2" in cleaned.prices["Listing"].to_list()
    after = cleaned.prices.filter(pl.col("Listing") == "C1@2")["Date"].min()
    assert after == days[181]
    assert touched(cleaned, "long_gaps") == 1


def test_a_tick_on_quiet_volume_is_voided_and_a_loud_one_is_not() -> None:
    close = raw().filter(pl.col("Code") == "C1")["Close"][30]
    quiet = run(raw(Close={("C1", 30): 2 * close}), "one_day_ticks")
    assert cell(quiet, "Close", "C1", 30) is None
    assert cell(quiet, "Close", "C1", 31) is not None
    loud = run(raw(Close={("C1", 30): 2 * close}, Volume={("C1", 30): 50_000.0}), "one_day_ticks")
    assert cell(loud, "Close", "C1", 30) == 2 * close


def test_a_level_that_stays_is_accepted_and_a_split_begins_a_listing() -> None:
    frame = raw()
    day = weekdays(31)[-1]
    halved = frame.with_columns(
        pl.when((pl.col("Code") == "C1") & (pl.col("Date") >= day)).then(pl.col(name) / 2).otherwise(name).alias(name)
        for name in ("Open", "High", "Low", "Close")
    )
    cleaned = run(halved, "one_day_ticks", "split_candidates")
    second = cleaned.prices.filter(pl.col("Listing") == "C1@2")
    assert second["Date"].min() == weekdays(32)[-1]
    returns = (second["Close"] / second["Close"].shift(1) - 1).drop_nulls()
    assert returns.abs().max() < 0.1


def test_the_rule_that_needs_the_next_day() -> None:
    close = raw().filter(pl.col("Code") == "C1")["Close"][30]
    frame = raw(Close={("C1", 30): 2 * close}, Volume={("C1", 30): 50_000.0})
    assert cell(run(frame, "undone_ticks"), "Close", "C1", 30) is None


@pytest.mark.parametrize("last", [15, 30, 31, 32])
def test_default_rules_are_causal(last: int) -> None:
    """Rows up to a day are the same whether the later days exist or not."""
    rng = np.random.default_rng(1)
    frame = raw(sessions=60)
    jumps = pl.Series(np.where(rng.random(frame.height) < 0.05, rng.choice([0.1, 0.5, 2.0, 10.0], frame.height), 1.0))
    frame = frame.with_columns(Close=pl.col("Close") * jumps).with_columns(
        Volume=pl.col("Volume") * pl.Series(rng.lognormal(0, 1, frame.height))
    )
    day = weekdays(last + 1)[-1]
    whole = clean_prices(frame, CleaningConfig()).prices.filter(pl.col("Date") <= day)
    cut = clean_prices(frame.filter(pl.col("Date") <= day), CleaningConfig()).prices
    assert whole.equals(cut)

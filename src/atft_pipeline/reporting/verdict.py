"""One conclusion of an evaluation, and the words that all of them share."""

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["good", "open", "warning", "bad"]
# Standard errors beyond which a difference counts as one: the usual 5 %.
SURE = 2.0
NAMES = {
    "lightgbm": "LightGBM",
    "ridge": "ridge",
    "ridge+lightgbm": "the mean of ridge and LightGBM",
    "reversal_1d": "one-day reversal",
    "reversal_5d": "five-day reversal",
    "benchmark": "each fold's best baseline",
}
"""Scores whose names in a sentence are not those of their columns."""


@dataclass(frozen=True)
class Conclusion:
    """One conclusion.

    Attributes:
        level: good, open (not decided by these data), warning (not to be believed as it stands) or bad.
        text: the sentence.
    """

    level: Level
    text: str


def level_of(good: bool, bad: bool) -> Level:
    """Good, bad, or neither."""
    return "good" if good else "bad" if bad else "open"


def span(row: dict[str, Any], form: str) -> str:
    """Both ends of an interval."""
    if row.get("low") is None or row.get("high") is None:
        return "undefined"
    return f"{row['low']:{form}} to {row['high']:{form}}"


def against(name: str, paired: dict[str, Any], at: str, title: str = "") -> Conclusion:
    """Beaten, not decided, or lost."""
    benchmark, difference, t = f"{NAMES.get(name, name)}{title}", paired["rank_ic_difference"], paired["t"]
    if difference is None or t is None:
        return Conclusion("open", f"{at} the model could not be compared with {benchmark.rstrip(',')}.")
    amount = (
        f"by {abs(difference):.4f} RankIC, {abs(t):.1f} standard errors of the paired daily difference over "
        f"{paired['n_days']:,} days (95 % interval {span(paired, '+.4f')})"
    )
    side = "ahead of" if difference > 0 else "behind"
    texts = {
        "good": f"{at} the model beats {benchmark} {amount}.",
        "bad": f"{at} the model is worse than {benchmark} {amount}.",
        "open": f"{at} it is not decided against {benchmark.rstrip(',')}: the model is {side} it {amount}.",
    }
    level = level_of(t >= SURE, t <= -SURE)
    return Conclusion(level, texts[level])

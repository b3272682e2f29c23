"""The conclusions of an evaluation as plain sentences, for a reader who reads nothing else."""

from dataclasses import dataclass
from typing import Any, Literal

from atft_pipeline.evaluation.plausibility import implausible_skill

Level = Literal["good", "open", "bad"]
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
FITTED = ("ridge", "lightgbm", "ridge+lightgbm")
PORTFOLIO_NAMES = {
    "long_short": "long-short deciles",
    "top_k": "long-only top k",
    "sector_neutral": "sector-neutral",
    "beta_neutral": "beta-neutral",
}


@dataclass(frozen=True)
class Conclusion:
    """One conclusion.

    Attributes:
        level: good, open (not decided by these data) or bad.
        text: the sentence.
    """

    level: Level
    text: str


def conclusions(metrics: dict[str, Any]) -> list[Conclusion]:
    """Compose the conclusions at the headline horizon, most important first.

    Args:
        metrics: of an evaluation.
    """
    horizon = metrics["headline"]
    part = metrics["horizons"][str(horizon)]
    at = f"At {horizon} session{'s' if horizon != 1 else ''}"
    benchmark, weak = part["benchmark"], _weakness(metrics, horizon)
    weak_benchmark = _weak_benchmark(metrics, horizon)
    return [
        *_alarm(part, at),
        *([_benchmark(part, at, weak_benchmark, chosen=bool(metrics.get("baselines")))] if benchmark else []),
        *_hardest_of_the_others(part, at),
        *([Conclusion("open", f"{at} LightGBM is a weak baseline: {weak}; it decides nothing.")] if weak else []),
        *(_incremental(benchmark, part["incremental_ic"].get(benchmark), at, weak_benchmark) if benchmark else []),
        _skill(part, at),
        *_after_costs(part, at),
        *_luck(metrics, part),
        *_styles(part),
        *_drift(part),
    ]


def _weakness(metrics: dict[str, Any], horizon: int) -> str | None:
    """Why LightGBM is a weak baseline at a horizon; ``None`` where it is none or was not fitted."""
    fitted, folds = (metrics.get("baselines") or {}).get("lightgbm"), metrics.get("folds", [])
    weak = sum(str(horizon) in fold.get("weak", {}) for fold in folds)
    if weak:
        return f"it is one in {weak} of {len(folds)} folds"
    return fitted["horizons"][str(horizon)]["weak"] if fitted else None


def _weak_benchmark(metrics: dict[str, Any], horizon: int) -> bool:
    """Whether the benchmark is a LightGBM that is weak; of folds, in most of them."""
    key = str(horizon)
    if metrics["horizons"][key]["benchmark"] == "lightgbm":
        return _weakness(metrics, horizon) is not None
    folds = [fold for fold in metrics.get("folds", []) if fold.get("benchmark", {}).get(key) == "lightgbm"]
    return 2 * sum(key in fold["weak"] for fold in folds) > len(metrics.get("folds", []))


def _benchmark(part: dict[str, Any], at: str, weak: bool, *, chosen: bool) -> Conclusion:
    """The model against the best baseline of the validation days; being ahead of a weak one proves nothing."""
    name = part["benchmark"]
    title = ", the best baseline of the validation days," if chosen else ""
    found = _against(name, part["paired"][name], at, title)
    if found.level == "good" and weak:
        return Conclusion("open", f"{found.text} It is a weak baseline: this is no finding.")
    return found


def _hardest_of_the_others(part: dict[str, Any], at: str) -> list[Conclusion]:
    """The fitted baseline beside the benchmark that the model is least ahead of, unless it clearly is ahead.

    The validation days may choose wrongly; who is ahead of their choice alone is not ahead of the best.
    """
    others = [name for name in FITTED if name in part["paired"] and name != part["benchmark"]]
    known = [name for name in others if part["paired"][name]["t"] is not None]
    if not known:
        return []
    hardest = min(known, key=lambda name: part["paired"][name]["t"])
    found = _against(hardest, part["paired"][hardest], at)
    return [] if found.level == "good" else [found]


def _against(name: str, paired: dict[str, Any], at: str, title: str = "") -> Conclusion:
    """Beaten, not decided, or lost."""
    benchmark, difference, t = f"{NAMES.get(name, name)}{title}", paired["rank_ic_difference"], paired["t"]
    if difference is None or t is None:
        return Conclusion("open", f"{at} the model could not be compared with {benchmark.rstrip(',')}.")
    amount = (
        f"by {abs(difference):.4f} RankIC, {abs(t):.1f} standard errors of the paired daily difference over "
        f"{paired['n_days']:,} days (95 % interval {_span(paired, '+.4f')})"
    )
    side = "ahead of" if difference > 0 else "behind"
    texts = {
        "good": f"{at} the model beats {benchmark} {amount}.",
        "bad": f"{at} the model is worse than {benchmark} {amount}.",
        "open": f"{at} it is not decided against {benchmark.rstrip(',')}: the model is {side} it {amount}.",
    }
    level = _level(t >= SURE, t <= -SURE)
    return Conclusion(level, texts[level])


def _incremental(name: str, gain: dict[str, Any] | None, at: str, weak: bool) -> list[Conclusion]:
    """Whether the model's ranking adds to the benchmark's; nothing where that is undefined."""
    if gain is None or gain["t"] is None:
        return []
    shown = NAMES.get(name, name)
    text = (
        f"{at} blending the model with {shown} adds {gain['rank_ic_difference']:+.4f} ± {gain['se']:.4f} RankIC "
        f"to {shown} alone, {gain['t']:+.1f} standard errors (95 % interval {_span(gain, '+.4f')})."
    )
    return [Conclusion(_level(gain["t"] >= SURE and not weak, gain["t"] <= -SURE), text)]


def _alarm(part: dict[str, Any], at: str) -> list[Conclusion]:
    """A warning of a skill that only a leak can give; it comes first."""
    reason = implausible_skill(part["scores"]["model"]["rank_ic"], part.get("share_of_oracle"))
    if reason is None:
        return []
    text = f"{at} the skill is implausible: {reason}; look for a leak: kedro run --pipeline=audit."
    return [Conclusion("bad", text)]


def _skill(part: dict[str, Any], at: str) -> Conclusion:
    """Whether there is any skill at all."""
    rank_ic = part["scores"]["model"]["rank_ic"]
    if rank_ic["mean"] is None or rank_ic["t"] is None:
        return Conclusion("bad", f"{at} the RankIC is undefined: the scores of every day are equal, or too few.")
    share = part.get("share_of_oracle")
    known = f"; that is {share['value']:.0%} of the oracle's" if share and share["value"] is not None else ""
    ends = _span(rank_ic, ".4f")
    text = f"{at} its RankIC is {rank_ic['mean']:.4f} ± {rank_ic['se']:.4f} (95 % interval {ends}){known}."
    believed = implausible_skill(rank_ic, share) is None
    return Conclusion(_level(believed and rank_ic["t"] >= SURE, not believed or rank_ic["t"] <= -SURE), text)


def _after_costs(part: dict[str, Any], at: str) -> list[Conclusion]:
    """What the long-short portfolio leaves after costs."""
    portfolio = part["portfolios"].get("long_short", {}).get("model")
    if portfolio is None:
        reason = part["portfolios"].get("left_out", "none was asked for")
        return [Conclusion("open", f"{at} no portfolio was traded: {reason}.")]
    if not portfolio["plausible"]:
        return [Conclusion("bad", f"{at} the long-short portfolio is implausible: {portfolio['reasons'][0]}.")]
    gross, net = portfolio["gross"]["sharpe"], portfolio["net"]["sharpe"]
    if net["value"] is None or gross["value"] is None or net["low"] is None:
        return [Conclusion("open", f"{at} the long-short portfolio has too few sessions for a Sharpe ratio.")]
    text = (
        f"{at} its long-short deciles have a Sharpe ratio of {gross['value']:.2f} before and {net['value']:.2f} ± "
        f"{net['se']:.2f} after costs (95 % interval {_span(net, '.2f')}), "
        f"{portfolio['net']['annual_return']['mean']:+.1%} a year after costs, maximum drawdown "
        f"{portfolio['net']['max_drawdown']['value']:.1%}."
    )
    return [Conclusion(_level(net["low"] > 0, net["high"] < 0), text)]


def _luck(metrics: dict[str, Any], part: dict[str, Any]) -> list[Conclusion]:
    """How much of it the number of trials explains."""
    portfolio = part["portfolios"].get("long_short", {}).get("model")
    found = []
    # As in Bailey and Lopez de Prado (2014): the null is the expected maximum of as many trials without skill.
    if portfolio is not None and portfolio["plausible"] and portfolio["deflated_sharpe"]["probability"] is not None:
        luck = portfolio["deflated_sharpe"]
        count = luck["trials"]
        null = "zero" if count == 1 else f"{luck['benchmark']:.2f}, the expected maximum of {count:,} null trials,"
        text = f"The probability that its true Sharpe ratio after costs exceeds {null} is {luck['probability']:.1%}."
        found.append(Conclusion(_level(luck["probability"] >= 0.95, luck["probability"] <= 0.05), text))
    pbo = metrics["trials"]["probability_of_overfitting"]
    if pbo is not None:
        text = f"The probability that the search overfitted is {pbo['value']:.0%} ± {pbo['se']:.0%}."
        found.append(Conclusion(_level(pbo["value"] < 0.1, pbo["value"] > 0.5), text))
    return found


def _styles(part: dict[str, Any]) -> list[Conclusion]:
    """What is left once known styles are taken out."""
    pure = part["slices"].get("style_neutral")
    if not pure or pure["model"]["mean"] is None or pure["model"]["t"] is None:
        return []
    row = pure["model"]
    names = ", ".join(style.replace("_", " ") for style in pure["styles"])
    text = f"Neutral to the styles {names}, its RankIC is {row['mean']:.4f} ± {row['se']:.4f}."
    return [Conclusion(_level(row["t"] >= SURE, row["t"] <= -SURE), text)]


def _drift(part: dict[str, Any]) -> list[Conclusion]:
    """Whether the distribution of the scores drifted."""
    drift = part["drift"]
    known = [row for row in drift["months"] if row["shape_psi"] is not None]
    if not known:
        return []
    worst, loudest = (max(known, key=lambda row: row[name] or 0.0) for name in ("shape_psi", "psi"))
    index = worst["shape_psi"]
    words = "are stable" if index < 0.1 else "drifted" if index > 0.25 else "drifted a little"
    text = (
        f"The scores {words} against {drift['reference']}: the population stability index is at most {index:.2f} "
        f"({worst['month']}) for scores standardised within the day, {loudest['psi']:.2f} ({loudest['month']}) for raw "
        "ones."
    )
    if drift["chance"] is not None and drift["shape_chance"] is not None:
        chance = f"{drift['shape_chance']:.2f} and {drift['chance']:.2f}"
        text += f" Between halves of {drift['reference']} it is {chance}."
    return [Conclusion(_level(index < 0.1, index > 0.25), text)]


def _level(good: bool, bad: bool) -> Level:
    return "good" if good else "bad" if bad else "open"


def _span(row: dict[str, Any], form: str) -> str:
    """Both ends of an interval."""
    if row.get("low") is None or row.get("high") is None:
        return "undefined"
    return f"{row['low']:{form}} to {row['high']:{form}}"

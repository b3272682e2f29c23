"""The conclusions of an evaluation as plain sentences, for a reader who reads nothing else."""

from typing import Any

from atft_pipeline.evaluation.config import FITTED
from atft_pipeline.evaluation.plausibility import implausible_skill
from atft_pipeline.reporting.tradable import after_costs, luck_of, tradable
from atft_pipeline.reporting.verdict import NAMES, SURE, Conclusion, against, level_of, span

PORTFOLIO_NAMES = {
    "long_short": "long-short deciles",
    "top_k": "long-only top k",
    "sector_neutral": "sector-neutral",
    "beta_neutral": "beta-neutral",
}

NO_DIVIDENDS = (
    "Returns are without dividends: ex-dividend days come on a calendar and can be predicted, so a part of the skill "
    "may be theirs (docs/universe.md)."
)


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
        *([Conclusion("open", NO_DIVIDENDS)] if metrics.get("total_returns") is False else []),
        *tradable(metrics, part, at, weak_benchmark),
        *after_costs(metrics, part, at),
        *luck_of(metrics, part),
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
    found = against(name, part["paired"][name], at, title)
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
    found = against(hardest, part["paired"][hardest], at)
    return [] if found.level == "good" else [found]


def _incremental(name: str, gain: dict[str, Any] | None, at: str, weak: bool) -> list[Conclusion]:
    """Whether the model's ranking adds to the benchmark's; nothing where that is undefined."""
    if gain is None or gain["t"] is None:
        return []
    shown = NAMES.get(name, name)
    text = (
        f"{at} blending the model with {shown} adds {gain['rank_ic_difference']:+.4f} ± {gain['se']:.4f} RankIC "
        f"to {shown} alone, {gain['t']:+.1f} standard errors (95 % interval {span(gain, '+.4f')})."
    )
    return [Conclusion(level_of(gain["t"] >= SURE and not weak, gain["t"] <= -SURE), text)]


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
    ends = span(rank_ic, ".4f")
    text = f"{at} its RankIC is {rank_ic['mean']:.4f} ± {rank_ic['se']:.4f} (95 % interval {ends}){known}."
    believed = implausible_skill(rank_ic, share) is None
    return Conclusion(level_of(believed and rank_ic["t"] >= SURE, not believed or rank_ic["t"] <= -SURE), text)


def _styles(part: dict[str, Any]) -> list[Conclusion]:
    """What is left once known styles are taken out."""
    pure = part["slices"].get("style_neutral")
    if not pure or pure["model"]["mean"] is None or pure["model"]["t"] is None:
        return []
    row = pure["model"]
    names = ", ".join(style.replace("_", " ") for style in pure["styles"])
    text = f"Neutral to the styles {names}, its RankIC is {row['mean']:.4f} ± {row['se']:.4f}."
    return [Conclusion(level_of(row["t"] >= SURE, row["t"] <= -SURE), text)]


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
    return [Conclusion(level_of(index < 0.1, index > 0.25), text)]

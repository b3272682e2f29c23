"""The findings of an evaluation as plain sentences: what a reader needs who reads nothing else."""

from dataclasses import dataclass
from typing import Any, Literal

from atft_pipeline.evaluation.plausibility import beyond_belief

Tone = Literal["good", "open", "bad"]
SURE = 2.0
NAMES = {"lightgbm": "LightGBM", "ridge": "ridge"}


@dataclass(frozen=True)
class Sentence:
    """One finding.

    Attributes:
        tone: good, open (not decided by these data) or bad.
        text: the sentence.
    """

    tone: Tone
    text: str


def verdict(metrics: dict[str, Any]) -> list[Sentence]:
    """Compose the verdict at the headline horizon, most important first.

    Args:
        metrics: of an evaluation.
    """
    horizon = metrics["headline"]
    part = metrics["horizons"][str(horizon)]
    where = f"At {horizon} session{'s' if horizon != 1 else ''}"
    rivals = [name for name in NAMES if name in part["paired"]]
    return [
        *_alarm(part, where),
        *(_against(name, part["paired"][name], where) for name in rivals),
        *(sentence for name in rivals[:1] for sentence in _added(name, part["adds"].get(name), where)),
        _skill(part, where),
        *_after_costs(part, where),
        *_luck(metrics, part),
        *_styles(part),
        *_drift(part),
    ]


def _against(name: str, paired: dict[str, Any], where: str) -> Sentence:
    """Beaten, not decided, or lost."""
    rival, difference, t = NAMES[name], paired["rank_ic_difference"], paired["t"]
    if difference is None or t is None:
        return Sentence("open", f"{where} the model could not be compared with {rival}.")
    amount = (
        f"by {abs(difference):.4f} RankIC, {abs(t):.1f} standard errors of the paired daily difference over "
        f"{paired['n_days']:,} days (95 % interval {_span(paired, '+.4f')})"
    )
    if t >= SURE:
        return Sentence("good", f"{where} the model beats {rival} {amount}.")
    if t <= -SURE:
        return Sentence("bad", f"{where} the model is worse than {rival} {amount}.")
    side = "ahead of" if difference > 0 else "behind"
    return Sentence("open", f"{where} it is not decided against {rival}: the model is {side} it {amount}.")


def _added(name: str, gain: dict[str, Any] | None, where: str) -> list[Sentence]:
    """Whether who has the rival's ranking already is better off with the model's too; nothing where it is undefined."""
    if gain is None or gain["t"] is None:
        return []
    text = (
        f"{where} the mean of both rankings has {gain['rank_ic_difference']:+.4f} ± {gain['se']:.4f} RankIC over "
        f"{NAMES[name]} alone, {gain['t']:+.1f} standard errors (95 % interval {_span(gain, '+.4f')})."
    )
    return [Sentence("good" if gain["t"] >= SURE else "bad" if gain["t"] <= -SURE else "open", text)]


def _alarm(part: dict[str, Any], where: str) -> list[Sentence]:
    """A skill that only a leak can give, before anything else."""
    reason = beyond_belief(part["scores"]["model"]["rank_ic"], part.get("share_of_oracle"))
    if reason is None:
        return []
    text = f"{where} the skill cannot be believed: {reason}; look for a leak: kedro run --pipeline=audit."
    return [Sentence("bad", text)]


def _skill(part: dict[str, Any], where: str) -> Sentence:
    """Whether there is any skill at all."""
    rank_ic = part["scores"]["model"]["rank_ic"]
    if rank_ic["mean"] is None or rank_ic["t"] is None:
        return Sentence("bad", f"{where} the RankIC is undefined: the scores of every day are equal, or too few.")
    share = part.get("share_of_oracle")
    known = f"; that is {share['value']:.0%} of what could be known" if share and share["value"] is not None else ""
    ends = _span(rank_ic, ".4f")
    text = f"{where} its RankIC is {rank_ic['mean']:.4f} ± {rank_ic['se']:.4f} (95 % interval {ends}){known}."
    if beyond_belief(rank_ic, share) is not None:
        return Sentence("bad", text)
    return Sentence("good" if rank_ic["t"] >= SURE else "open" if rank_ic["t"] > -SURE else "bad", text)


def _after_costs(part: dict[str, Any], where: str) -> list[Sentence]:
    """What the long-short book leaves after costs."""
    book = part["books"].get("long_short", {}).get("model") if isinstance(part["books"], dict) else None
    if book is None:
        return [Sentence("open", f"{where} no book was traded: {part['books'].get('left_out', 'none was asked for')}.")]
    if not book["believable"]:
        return [Sentence("bad", f"{where} the long-short book is not believable: {book['reasons'][0]}.")]
    gross, net = book["gross"]["sharpe"], book["net"]["sharpe"]
    if net["value"] is None or gross["value"] is None or net["low"] is None:
        return [Sentence("open", f"{where} the long-short book has too few sessions for a Sharpe ratio.")]
    text = (
        f"{where} its long-short deciles have a Sharpe ratio of {gross['value']:.2f} before and {net['value']:.2f} ± "
        f"{net['se']:.2f} after costs (95 % interval {_span(net, '.2f')}), "
        f"{book['net']['annual_return']['mean']:+.1%} a year after costs, deepest fall "
        f"{book['net']['drawdown']['value']:.1%}."
    )
    tone: Tone = "good" if net["low"] > 0 else "bad" if net["high"] < 0 else "open"
    return [Sentence(tone, text)]


def _luck(metrics: dict[str, Any], part: dict[str, Any]) -> list[Sentence]:
    """How much of it the number of trials explains."""
    book = part["books"].get("long_short", {}).get("model")
    found = []
    if book is not None and book["believable"] and book["deflated_sharpe"]["probability"] is not None:
        luck = book["deflated_sharpe"]
        count = luck["trials"]
        among = "a single trial" if count == 1 else f"the best of {count:,} trials"
        text = (
            f"The probability that its Sharpe ratio after costs exceeds what luck gives {among} "
            f"({luck['benchmark']:.2f} a year) is {luck['probability']:.1%}."
        )
        found.append(Sentence("good" if luck["probability"] >= 0.95 else "open", text))
    pbo = metrics["trials"]["probability_of_overfitting"]
    if pbo is not None:
        text = f"The probability that the search overfitted is {pbo['value']:.0%} ± {pbo['se']:.0%}."
        found.append(Sentence("good" if pbo["value"] < 0.1 else "bad" if pbo["value"] > 0.5 else "open", text))
    return found


def _styles(part: dict[str, Any]) -> list[Sentence]:
    """What is left beside known styles."""
    pure = part["where"].get("style_neutral")
    if not pure or pure["model"]["mean"] is None or pure["model"]["t"] is None:
        return []
    row = pure["model"]
    names = ", ".join(style.replace("_", " ") for style in pure["styles"])
    text = f"What {names} do not explain of it still has a RankIC of {row['mean']:.4f} ± {row['se']:.4f}."
    return [Sentence("good" if row["t"] >= SURE else "open", text)]


def _drift(part: dict[str, Any]) -> list[Sentence]:
    """Whether the scores changed their nature."""
    drift = part["drift"]
    known = [row for row in drift["months"] if row["shape_psi"] is not None]
    if not known:
        return []
    worst, loudest = (max(known, key=lambda row: row[name] or 0.0) for name in ("shape_psi", "psi"))
    index = worst["shape_psi"]
    words = "kept their shape" if index < 0.1 else "drifted" if index > 0.25 else "changed their shape a little"
    text = (
        f"The scores {words} against {drift['reference']}: with each day's mean and spread taken out, which a ranking "
        f"does not know, the stability index is at most {index:.2f} ({worst['month']}); as they are "
        f"{loudest['psi']:.2f} ({loudest['month']})."
    )
    if drift["chance"] is not None and drift["shape_chance"] is not None:
        chance = f"{drift['shape_chance']:.2f} and {drift['chance']:.2f}"
        text += f" Halves of {drift['reference']} differ by {chance} from each other."
    return [Sentence("good" if index < 0.1 else "bad" if index > 0.25 else "open", text)]


def _span(row: dict[str, Any], form: str) -> str:
    """Both ends of an interval."""
    if row.get("low") is None or row.get("high") is None:
        return "undefined"
    return f"{row['low']:{form}} to {row['high']:{form}}"

"""Conclusions about what can be traded: the skill that is left at later prices, and the money after costs."""

from typing import Any

from atft_pipeline.evaluation.plausibility import MAX_SHARPE, can_be_traded, implausible_sharpe
from atft_pipeline.reporting.verdict import SURE, Conclusion, against, level_of, span

TIMING_NAMES = {
    "close_to_close": "close to close",
    "open_to_open": "open to open",
    "session_skipped": "with a session skipped",
}
ENTRIES = {
    None: "marked with the returns of the table since no prices are known,",
    "close_to_close": "entered at the close that the scores are made of, which nobody can trade at,",
    "open_to_open": "entered at the next open,",
    "session_skipped": "entered with a session skipped,",
}


def tradable(metrics: dict[str, Any], part: dict[str, Any], at: str, weak: bool) -> list[Conclusion]:
    """How much of the skill is left at prices that somebody can trade at, and against the benchmark there."""
    timings, benchmark = part["timings"], part["benchmark"]
    known = {timing: found for timing, found in timings.items() if "left_out" not in found}
    later = [timing for timing in known if timing != "close_to_close"]
    if not later:
        reason = timings["open_to_open"]["left_out"]
        return [Conclusion("open", f"{at} it is not known what of its skill is left at the next open: {reason}.")]
    first, decisive = known.get("close_to_close"), known[later[0]]["all"]
    row, share = decisive["scores"]["model"], decisive.get("share_left")
    if row["mean"] is None or row["t"] is None:
        return []
    base = None if first is None else first["all"]["scores"]["model"]
    proven = base is not None and (base["t"] or 0.0) >= SURE
    gone = proven and row["t"] < SURE and (share["high"] if share["high"] is not None else 1.0) < 0.5
    parts = [_left(known[timing]["all"], TIMING_NAMES[timing], proven) for timing in later]
    whole = "" if base is None or base["mean"] is None else f"of its RankIC {base['mean']:.4f} close to close, "
    text = f"{at}, {whole}{' and '.join(parts)}."
    if "left_out" in timings["open_to_open"]:
        text += f" Open to open is not known: {timings['open_to_open']['left_out']}."
    if gone:
        text += " The skill is gone before anybody can trade on it."
    text += _most_traded(known, metrics["trading"]["most_traded"])
    level = level_of(row["t"] >= SURE, gone or row["t"] <= -SURE)
    if level == "good" and proven and share["value"] < 0.5:
        level = "warning"
    found = [Conclusion(level, text)]
    if benchmark in decisive["paired"]:
        there = against(benchmark, decisive["paired"][benchmark], f"{at}, {TIMING_NAMES[later[0]]},")
        found.append(Conclusion("open", there.text) if weak and there.level == "good" else there)
    return found


def _left(found: dict[str, Any], words: str, proven: bool) -> str:
    """``0.0510 ± 0.0040 is left open to open (53 % gone)``; no share of a skill that is none."""
    row = found["scores"]["model"]
    if row["mean"] is None:
        return f"an unknown part is left {words}"
    share = found["share_left"]["value"] if proven else None
    lost = "" if share is None else " (none gone)" if share >= 1 else f" ({1 - share:.0%} gone)"
    return f"{row['mean']:.4f} ± {row['se'] or 0.0:.4f} is left {words}{lost}"


def _most_traded(known: dict[str, Any], count: int) -> str:
    """The same among the most traded listings, where they are known."""
    parts = [
        f"{found['most_traded']['scores']['model']['mean']:.4f} {TIMING_NAMES[timing]}"
        for timing, found in known.items()
        if found.get("most_traded", {"scores": {"model": {"mean": None}}})["scores"]["model"]["mean"] is not None
    ]
    return f" Among the {count:,} most traded it is {', '.join(parts)}." if parts else ""


def after_costs(metrics: dict[str, Any], part: dict[str, Any], at: str) -> list[Conclusion]:
    """What the long-short portfolio leaves after costs, as it can be traded."""
    trading = metrics["trading"]
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
        f"{at} its long-short deciles, {_entry(trading)} have a Sharpe ratio of {gross['value']:.2f} before and "
        f"{net['value']:.2f} ± {net['se']:.2f} after costs of {_costs(portfolio, trading)} (95 % interval "
        f"{span(net, '.2f')}), "
        f"{portfolio['net']['annual_return']['mean']:+.1%} a year after costs, maximum drawdown "
        f"{portfolio['net']['max_drawdown']['value']:.1%}."
    )
    closing = portfolio["sharpe_at_close"]
    if closing is not None and closing["value"] is not None:
        text += f" At the close of the scores it would be {closing['value']:.2f}, which nobody can trade."
    if implausible_sharpe(net["value"], trading):
        text += (
            f" A Sharpe ratio above {MAX_SHARPE:g} after costs is implausible until it is shown at the next open with "
            "estimated spreads."
        )
        return [Conclusion("warning", text)]
    if net["value"] > MAX_SHARPE:
        text += f" More than {MAX_SHARPE:g} is rare where no signal is planted."
    return [Conclusion(level_of(net["low"] > 0 and can_be_traded(trading), net["high"] < 0), text)]


def _entry(trading: dict[str, Any]) -> str:
    """When the portfolio enters, and why not at the next open."""
    words = ENTRIES[trading["execution"]]
    if trading["execution"] != "session_skipped" or not trading["no_opens"]:
        return words
    return f"{words.rstrip(',')} ({trading['no_opens']}),"


def _costs(portfolio: dict[str, Any], trading: dict[str, Any]) -> str:
    """What a trade costs in the mean, and what that is."""
    paid = portfolio["cost_bp"]["value"]
    source = "cost_bp since spreads are not known" if trading["half_spread_bp"] is None else "half a spread"
    return f"{source}, {0.0 if paid is None else paid:.1f} bp a trade"


def luck_of(metrics: dict[str, Any], part: dict[str, Any]) -> list[Conclusion]:
    """How much of it the number of trials explains."""
    portfolio = part["portfolios"].get("long_short", {}).get("model")
    found = []
    # As in Bailey and Lopez de Prado (2014): the null is the expected maximum of as many trials without skill.
    if portfolio is not None and portfolio["plausible"] and portfolio["deflated_sharpe"]["probability"] is not None:
        luck = portfolio["deflated_sharpe"]
        count = luck["trials"]
        null = "zero" if count == 1 else f"{luck['benchmark']:.2f}, the expected maximum of {count:,} null trials,"
        text = f"The probability that its true Sharpe ratio after costs exceeds {null} is {luck['probability']:.1%}."
        net = portfolio["net"]["sharpe"]["value"]
        believed = can_be_traded(metrics["trading"]) and not implausible_sharpe(net, metrics["trading"])
        found.append(Conclusion(level_of(luck["probability"] >= 0.95 and believed, luck["probability"] <= 0.05), text))
    pbo = metrics["trials"]["probability_of_overfitting"]
    if pbo is not None:
        text = f"The probability that the search overfitted is {pbo['value']:.0%} ± {pbo['se']:.0%}."
        found.append(Conclusion(level_of(pbo["value"] < 0.1, pbo["value"] > 0.5), text))
    return found

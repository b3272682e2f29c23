"""Acceptance checks of a dry run: is it worth starting the long search on this machine?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from atft_pipeline.tuning.config import AcceptanceConfig
from atft_pipeline.tuning.report import reason_of, state_of


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: of the check.
        found: measured.
        wanted: to reach.
        passed: whether it does.
    """

    name: str
    found: str
    wanted: str
    passed: bool


def acceptance_checks(trial: FrozenTrial, config: AcceptanceConfig) -> list[Check]:
    """Check a finished trial by what its run card and epochs measured."""
    facts = trial.user_attrs
    card: Mapping[str, Any] = facts.get("run_card") or {}
    busy = 1 - card["time"]["data_wait_share"] if card else 0.0
    seconds = facts.get("slowest_epoch")
    rank_ic = facts.get("best_rank_ic")
    compiled = card.get("compile", {"value": "-", "reason": "no epoch was trained"})
    state, reason = state_of(trial, last=True), reason_of(trial, last=True)
    needed = config.compile == "yes" or card.get("device", {}).get("value") == "cuda"
    return [
        Check("device busy", f"{busy:.0%} of the step", f">= {config.device_busy:.0%}", busy >= config.device_busy),
        Check(
            "epoch time",
            "-" if seconds is None else f"{seconds:.1f} s",
            f"<= {config.epoch_seconds:g} s",
            seconds is not None and seconds <= config.epoch_seconds,
        ),
        Check(
            "RankIC",
            "-" if rank_ic is None else f"{rank_ic:+.4f}",
            f"> {config.rank_ic:g}",
            rank_ic is not None and rank_ic > config.rank_ic,
        ),
        Check(
            "compile active",
            f"{compiled['value']} ({compiled['reason']})",
            "full or selective" if needed else "where the device gains",
            compiled["value"] in {"full", "selective"} or (not needed and bool(card)),
        ),
        Check("no crash", f"{state}: {reason}" if reason else state, "COMPLETE", state == "COMPLETE"),
    ]

"""Acceptance checks of a dry run: is it worth starting the long search on this machine?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from atft_pipeline.tuning.report import reason_of, state_of

# Share of the step time in which the device does not wait for data.
DEVICE_BUSY = 0.85
# Longest epoch: a full search (20 trials of 20 epochs) then ends within a day.
EPOCH_SECONDS = 180.0
# The validation RankIC must exceed it: a model without skill shows nothing of a search.
RANK_IC = 0.0


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


def acceptance_checks(trial: FrozenTrial) -> list[Check]:
    """Check a finished trial by what its run card and epochs measured."""
    facts = trial.user_attrs
    card: Mapping[str, Any] = facts.get("run_card") or {}
    busy = 1 - card["time"]["data_wait_share"] if card else 0.0
    seconds = facts.get("slowest_epoch")
    rank_ic = facts.get("best_rank_ic")
    compiled = card.get("compile", {"value": "-", "reason": "no epoch was trained"})
    state, reason = state_of(trial, last=True), reason_of(trial, last=True)
    needed = card.get("device", {}).get("value") == "cuda"
    return [
        Check("device busy", f"{busy:.0%} of the step", f">= {DEVICE_BUSY:.0%}", busy >= DEVICE_BUSY),
        Check(
            "epoch time",
            "-" if seconds is None else f"{seconds:.1f} s",
            f"<= {EPOCH_SECONDS:g} s",
            seconds is not None and seconds <= EPOCH_SECONDS,
        ),
        Check(
            "RankIC",
            "-" if rank_ic is None else f"{rank_ic:+.4f}",
            f"> {RANK_IC:g}",
            rank_ic is not None and rank_ic > RANK_IC,
        ),
        Check(
            "compile active",
            f"{compiled['value']} ({compiled['reason']})",
            "full or selective" if needed else "where the device gains",
            compiled["value"] in {"full", "selective"} or (not needed and bool(card)),
        ),
        Check("no crash", f"{state}: {reason}" if reason else state, "COMPLETE", state == "COMPLETE"),
    ]

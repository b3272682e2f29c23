"""The winner on the test days: once."""

from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from atft_pipeline.splits.split import Split
from atft_pipeline.training.config import RuntimeConfig
from atft_pipeline.training.experiment import MarketData
from atft_pipeline.tuning.objective import WEIGHTS
from atft_pipeline.tuning.samplers import quiet
from atft_pipeline.tuning.skill import daily_skill
from atft_pipeline.tuning.storage import SharedStudy

LOOKS = "test_looks"


def look_at_test(
    shared: SharedStudy,
    winner: FrozenTrial,
    folder: Path,
    data: MarketData,
    split: Split,
    runtime: RuntimeConfig,
) -> dict[str, Any]:
    """Evaluate the winner of a finished study on the test days, unless a worker has done it.

    Every look is written into the study. A study that goes on with more trials and finds another winner looks again,
    and its report says so.

    Args:
        shared: the study.
        winner: its best trial.
        folder: of the winner's checkpoints; it may lie on another machine.
        data: panel and graphs.
        split: with the test days.
        runtime: device and precision.

    Returns:
        RankIC of the winner by horizon with its error, and how often the test was looked at.
    """
    with shared.exclusive(), quiet():
        looks: list[dict[str, Any]] = list(shared.study.user_attrs.get(LOOKS, []))
        known = next((look for look in looks if look["trial"] == winner.number), None)
        weights = folder / winner.user_attrs.get(WEIGHTS, "none")
        if known is None and weights.is_dir():
            known = {"trial": winner.number, **_measure(weights, data, split, runtime)}
            looks.append(known)
            shared.study.set_user_attr(LOOKS, looks)
    if known is None:
        return {"looks": len(looks), "note": f"the weights of trial {winner.number} are not on this machine"}
    return {"looks": len(looks), **known}


def _measure(weights: Path, data: MarketData, split: Split, runtime: RuntimeConfig) -> dict[str, Any]:
    # The trials' panel has no test days; this one is streamed from the disk.
    summary = daily_skill(weights, data, split.test, runtime).summary
    horizons = {str(horizon): {"rank_ic": mean, "se": summary.se[horizon]} for horizon, mean in summary.mean.items()}
    return {"rank_ic": summary.average, "days": summary.days, "horizons": horizons}

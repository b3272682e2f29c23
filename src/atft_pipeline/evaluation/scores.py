"""The scores that are measured at a horizon: the model, blends, baselines, simple factors, noise, the oracle."""

import numpy as np

from atft_pipeline.baselines.factors import FACTORS
from atft_pipeline.evaluation.config import BASELINES
from atft_pipeline.evaluation.grid import score_columns
from atft_pipeline.evaluation.inputs import Inputs
from atft_pipeline.stats.arrays import Floats
from atft_pipeline.stats.rank_ic import rank_rows


def scores_of(inputs: Inputs, horizon: int) -> dict[str, Floats]:
    """Every score by name [D, N]: the model first, then baselines, blends, factors and noise, oracles last.

    Factors and noise are laid on the cells that the model scored, so that all are judged on the same listings.
    """
    grid = inputs.grid
    found = {name: grid.to_days(inputs.table[column]) for name, column in score_columns(inputs.table, horizon).items()}
    known = inputs.extras.characteristics.factors
    simple = {name: known[name] for name in FACTORS if name in known}
    simple["random"] = random_scores(inputs.scored.shape, seed=0)
    simple = {name: np.where(np.isfinite(found["model"]), values, np.nan) for name, values in simple.items()}
    benchmark = inputs.benchmark(horizon, found)
    partners = dict.fromkeys([*BASELINES, *([] if benchmark is None else [benchmark])])
    blends = {
        f"model+{name}": blend(found["model"], (found | simple)[name]) for name in partners if name in found | simple
    }
    found |= blends | simple
    oracles = [name for name in found if name.startswith("oracle")]
    return {name: found[name] for name in [*(n for n in found if n not in oracles), *oracles]}


def blend(left: Floats, right: Floats) -> Floats:
    """Mean of the two scores' ranks of the day; NaN where one is absent."""
    from_both = np.isfinite(left) & np.isfinite(right)
    return (rank_rows(np.where(from_both, left, np.nan)) + rank_rows(np.where(from_both, right, np.nan))) / 2


def random_scores(shape: tuple[int, int], seed: int) -> Floats:
    """Scores without any knowledge, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(shape)

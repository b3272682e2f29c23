from typing import Any

import pytest

from atft_pipeline.errors import ConfigError
from atft_pipeline.tuning.config import DimensionConfig, HpoConfig, PrunerConfig, SamplerConfig, Size


@pytest.mark.parametrize(
    ("preset", "size"), [("quick", (5, 5)), ("medium", (10, 10)), ("full", (20, 20)), ("dry_run", (1, 2))]
)
def test_presets_have_the_sizes_of_their_names(preset: Any, size: tuple[int, int]) -> None:
    assert HpoConfig(preset=preset).size == Size(*size)


def test_trials_and_epochs_replace_the_presets() -> None:
    assert HpoConfig(preset="full", trials=3).size == Size(3, 20)
    assert HpoConfig(preset="custom", trials=3).size == Size(3, None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": "lr", "kind": "float", "low": 0, "high": 1}, "path must lead into a group"),
        ({"path": "a.b", "kind": "float", "low": 1, "high": 1}, "low < high"),
        ({"path": "a.b", "kind": "log", "low": 0, "high": 1}, "low of log must be positive"),
        ({"path": "a.b", "kind": "int", "low": 0.5, "high": 2}, "whole numbers"),
        ({"path": "a.b", "kind": "int", "low": 1, "high": 4, "step": 2}, "whole steps of 2"),
        ({"path": "a.b", "kind": "categorical", "choices": (1,)}, "at least two different choices"),
        ({"path": "a.b", "kind": "categorical", "choices": (1, 1)}, "at least two different choices"),
        ({"path": "a.b", "kind": "float", "low": 0, "high": 1, "choices": (1, 2)}, "no choices"),
    ],
)
def test_a_dimension_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DimensionConfig(**values)


def test_true_and_one_are_different_choices() -> None:
    assert DimensionConfig(path="a.b", kind="categorical", choices=(True, 1)).choices == (True, 1)


def test_a_second_objective_prunes_nothing() -> None:
    with pytest.raises(ConfigError, match=r"set pruner\.name to none"):
        HpoConfig(second_objective="sharpe")
    with pytest.raises(ConfigError, match=r"sampler\.name to tpe or random"):
        HpoConfig(second_objective="sharpe", pruner=PrunerConfig(name="none"), sampler=SamplerConfig(name="cmaes"))
    both = HpoConfig(second_objective="seconds", pruner=PrunerConfig(name="none"))
    assert both.directions == ("maximize", "minimize")

import math
from typing import Any

import pytest

from atft_pipeline.config import from_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.tuning.config import DimensionConfig, HpoConfig, Size


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
        ({"path": "lr", "kind": "float", "low": 0, "high": 1}, "path: must lead into a group"),
        ({"path": "a.b", "kind": "float", "low": 1, "high": 1}, "low < high"),
        ({"path": "a.b", "kind": "log", "low": 0, "high": 1}, "low of log must be positive"),
        ({"path": "a.b", "kind": "int", "low": 0.5, "high": 2}, "whole numbers"),
        ({"path": "a.b", "kind": "categorical", "choices": (1,)}, "at least two different choices"),
        ({"path": "a.b", "kind": "categorical", "choices": (1, 1)}, "at least two different choices"),
        ({"path": "a.b", "kind": "float", "low": 0, "high": 1, "choices": (1, 2)}, "no choices"),
        ({"path": "a.b", "kind": "float", "low": 0, "high": math.inf}, "(low|high): must be from -2147483648 to"),
        ({"path": "a.b", "kind": "log", "low": 1, "high": math.inf}, "(low|high): must be from -2147483648 to"),
        ({"path": "a.b", "kind": "int", "low": -math.inf, "high": 1}, "(low|high): must be from -2147483648 to"),
        ({"path": "a.b", "kind": "float", "low": -1e308, "high": 1e308}, "(low|high): must be from -2147483648 to"),
        ({"path": "a.b", "kind": "float", "low": math.nan, "high": 1}, "low: must be from"),
        ({"path": "a.b", "kind": "int", "low": 0, "high": 1e300}, "high: must be from"),
        ({"path": "a.b", "kind": "categorical", "choices": (1.0, math.inf)}, "choices must be finite"),
        ({"path": "a.b", "kind": "categorical", "choices": (1.0, math.nan)}, "choices must be finite"),
    ],
)
def test_a_dimension_that_makes_no_sense_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DimensionConfig(**values)


@pytest.mark.parametrize("name", ["quick-1", "a", "2024.spring_2", "A" * 100, "a..b"])
def test_a_study_has_a_name(name: str) -> None:
    assert HpoConfig(study=name).study == name


PATHS = [
    "/tmp/x",
    "../..",
    "..",
    ".",
    "",
    "a/b",
    "a\\b",
    "~root",
    ".hidden",
    "-rf",
    "a b",
    "a\n",
    "a\0",
    "A" * 101,
    "\u202e",
]


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_no_name_of_a_study(name: str) -> None:
    with pytest.raises(ConfigError, match="study: must be a name of at most 100 letters") as caught:
        HpoConfig(study=name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trials": 10**9}, r"trials: must be from 1 to"),
        ({"epochs": 10**6}, r"epochs: must be from 1 to 10000"),
        ({"epochs": math.nan}, r"epochs: must be a whole number"),
        ({"sampler": {"name": "tpe"}}, "sampler: must be tpe, cmaes, random, got"),
        ({"pruner": {"startup": 3}}, "pruner: must be median, hyperband, none, got"),
        ({"heartbeat": {"grace": 60}}, "heartbeat: is no longer a parameter; they are the constants BEAT, GRACE"),
    ],
)
def test_a_search_that_could_not_end_or_judge_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_mapping(HpoConfig, values)


def test_true_and_one_are_different_choices() -> None:
    assert DimensionConfig(path="a.b", kind="categorical", choices=(True, 1)).choices == (True, 1)


def test_a_second_objective_prunes_nothing() -> None:
    with pytest.raises(ConfigError, match="set pruner to none"):
        HpoConfig(second_objective="sharpe")
    with pytest.raises(ConfigError, match="sampler to tpe or random"):
        HpoConfig(second_objective="sharpe", pruner="none", sampler="cmaes")
    both = HpoConfig(second_objective="seconds", pruner="none")
    assert both.directions == ("maximize", "minimize")

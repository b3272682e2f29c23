"""The search space: points become configurations, and every point becomes a valid one.

A point is a value for each dimension. It is laid over the configuration of the training stage, then fitted, so that
dimensions may be chosen independently of each other (see :func:`fit`).
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import Any, get_type_hints

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from atft_pipeline.config import from_mapping, nearest, require, to_mapping
from atft_pipeline.errors import ConfigError
from atft_pipeline.losses.config import TERMS
from atft_pipeline.removed_parameters import advice
from atft_pipeline.training.config import WITHOUT_EFFECT
from atft_pipeline.training.experiment import Experiment
from atft_pipeline.tuning.config import GROUPS, DimensionConfig, Scalar

Point = Mapping[str, Scalar]
PROBES = 200
"""Points of a space that are built before the first trial."""
QUANTILES = [0.1, 0.5, 0.9]


def as_mapping(experiment: Experiment) -> dict[str, Any]:
    """What trials may change, as plain JSON types, by group."""
    return {name: to_mapping(getattr(experiment, name)) for name in GROUPS}


def with_groups(experiment: Experiment, mapping: Mapping[str, Any]) -> Experiment:
    """The experiment with groups from plain types; the inverse of :func:`as_mapping`.

    Raises:
        ConfigError: with the dotted name of each value that is unknown, ill-typed or out of range.
    """
    built: dict[str, Any] = {name: from_mapping(GROUPS[name], group, name) for name, group in mapping.items()}
    return replace(experiment, **built)


def distribution(dimension: DimensionConfig) -> BaseDistribution:
    """Optuna's distribution of a dimension."""
    if dimension.kind == "categorical":
        return CategoricalDistribution(dimension.choices)
    assert dimension.low is not None
    assert dimension.high is not None
    if dimension.kind == "int":
        return IntDistribution(int(dimension.low), int(dimension.high))
    return FloatDistribution(dimension.low, dimension.high, log=dimension.kind == "log")


def suggest(trial: optuna.trial.Trial, space: tuple[DimensionConfig, ...]) -> dict[str, Scalar]:
    """Ask a trial for its point."""
    point: dict[str, Scalar] = {}
    for dimension in space:
        if dimension.kind == "categorical":
            point[dimension.path] = trial.suggest_categorical(dimension.path, dimension.choices)
            continue
        assert dimension.low is not None
        assert dimension.high is not None
        if dimension.kind == "int":
            point[dimension.path] = trial.suggest_int(dimension.path, int(dimension.low), int(dimension.high))
        else:
            point[dimension.path] = trial.suggest_float(
                dimension.path, dimension.low, dimension.high, log=dimension.kind == "log"
            )
    return point


def apply(base: Experiment, point: Point) -> Experiment:
    """Lay a point over the experiment and fit the rest to it.

    Raises:
        ConfigError: a path leads nowhere, or a value does not fit its parameter.
    """
    mapping = as_mapping(base)
    for path, value in point.items():
        put(mapping, path, value)
    fit(mapping)
    return with_groups(base, mapping)


def put(mapping: dict[str, Any], path: str, value: Any) -> None:
    """Replace the value at a dotted path.

    Raises:
        ConfigError: with the part of the path that does not exist and the nearest name that does.
    """
    node: Any = mapping
    parts = path.split(".")
    for place, part in enumerate(parts):
        key: Any = int(part) if isinstance(node, list) and part.isdigit() else part
        known = (isinstance(node, list) and isinstance(key, int) and key < len(node)) or (
            isinstance(node, dict) and key in node
        )
        # Weights by horizon are a mapping whose keys are free; all other mappings are configuration classes.
        free = place == len(parts) - 1 and parts[:-1] == ["loss", "horizon_weights"]
        if not known and not free:
            names = [str(name) for name in node] if isinstance(node, dict) else []
            hint = nearest(part, names, f"there are: {', '.join(names) or 'no parts'}")
            msg = f"hpo.space: {path}: {removed(parts[: place + 1]) or f'no parameter {part}; {hint}'}"
            raise ConfigError(msg)
        if place == len(parts) - 1:
            node[key] = value
        else:
            node = node[key]


def removed(parts: Sequence[str]) -> str | None:
    """What to do instead of a parameter of an earlier version; ``None`` for a path that never was one."""
    group: Any = GROUPS.get(parts[0])
    for part in parts[1:-1]:
        group = get_type_hints(group).get(part) if is_dataclass(group) else None
    return advice(group.__name__, parts[-1]) if is_dataclass(group) and isinstance(group, type) else None


def fit(mapping: dict[str, Any]) -> None:
    """Make dependent parameters follow, so that dimensions need not know each other.

    * Heads become the largest divisor of the width that does not exceed what was asked for.
    * The least learning rate of the schedule never exceeds the learning rate.
    * A window's least history never exceeds the window.
    * A loss term that reads a head switches the head on; quantiles that no term trains are left out.
    """
    model, loss, batches = mapping["model"], mapping["loss"], mapping["batches"]
    for block in ("encoder", "graph"):
        model[block]["heads"] = largest_divisor(model["width"], model[block]["heads"])
    schedule = mapping["training"]["schedule"]
    schedule["eta_min"] = min(schedule["eta_min"], mapping["training"]["optimizer"]["lr"])
    batches["min_history"] = min(batches["min_history"], batches["window"])
    if loss["quantile"] and not model["heads"]["quantiles"]:
        model["heads"]["quantiles"] = QUANTILES
    if not loss["quantile"] and not any(
        phase["loss_weights"].get("quantile") for phase in mapping["training"]["phases"]
    ):
        model["heads"]["quantiles"] = []
    model["heads"]["student_t"] = bool(model["heads"]["student_t"] or loss["student_t"])


def largest_divisor(number: int, limit: int) -> int:
    """Largest divisor of ``number`` that does not exceed ``limit``; both at least 1."""
    if not isinstance(number, int) or not isinstance(limit, int) or number < 1 or limit < 1:
        return limit
    return next(divisor for divisor in range(min(number, limit), 0, -1) if number % divisor == 0)


def default_point(base: Experiment, space: tuple[DimensionConfig, ...]) -> dict[str, Scalar]:
    """The point of the default configuration.

    Raises:
        ConfigError: a dimension does not contain the default, so that the search could end below it.
    """
    mapping = as_mapping(base)
    point: dict[str, Scalar] = {}
    for dimension in space:
        value = _get(mapping, dimension.path)
        inside = distribution(dimension)
        ok = (
            any(value == choice and type(value) is type(choice) for choice in dimension.choices)
            if dimension.kind == "categorical"
            else isinstance(value, int | float) and inside._contains(float(value))  # noqa: SLF001  Optuna's own test
        )
        require(
            ok,
            f"hpo.space: {dimension.path}: the default {value} lies outside of the dimension; trial 0 is the default "
            "configuration, so include it",
        )
        point[dimension.path] = value
    return point


# What the search sets itself, what changes no weight, and the features, which all trials share in memory.
NO_DIMENSIONS = {f"training.{name}" for name in WITHOUT_EFFECT | {"epochs", "seed"}} | {"batches.features"}


def check_space(base: Experiment, space: tuple[DimensionConfig, ...]) -> None:
    """Build the configurations of the edges of every dimension and of many points, before any training.

    Raises:
        ConfigError: one of them is not valid.
    """
    for dimension in space:
        group = dimension.path.split(".", maxsplit=1)[0]
        require(group in GROUPS, f"hpo.space: {dimension.path}: no group {group}; there are: {', '.join(GROUPS)}")
        require(
            dimension.path not in NO_DIMENSIONS,
            f"hpo.space: {dimension.path} belongs to the search itself and is no dimension",
        )
        require(
            not dimension.path.startswith("loss.horizon_weights"),
            f"hpo.space: {dimension.path} weighs the validation RankIC too: trials could not be compared",
        )
        for value in dimension.choices or (dimension.low, dimension.high):
            whole = dimension.kind == "int" and isinstance(value, float)
            apply(base, {dimension.path: int(value) if whole and value is not None else value})
    default_point(base, space)
    _refuse_empty_loss(base, space)
    generator = np.random.default_rng(0)
    for _ in range(PROBES):
        apply(base, draw(space, generator))


def draw(space: tuple[DimensionConfig, ...], generator: np.random.Generator) -> dict[str, Scalar]:
    """Draw a point uniformly."""
    point: dict[str, Scalar] = {}
    for dimension in space:
        if dimension.kind == "categorical":
            point[dimension.path] = dimension.choices[int(generator.integers(len(dimension.choices)))]
            continue
        assert dimension.low is not None
        assert dimension.high is not None
        if dimension.kind == "int":
            point[dimension.path] = int(generator.integers(int(dimension.low), int(dimension.high), endpoint=True))
        elif dimension.kind == "log":
            point[dimension.path] = float(np.exp(generator.uniform(np.log(dimension.low), np.log(dimension.high))))
        else:
            point[dimension.path] = float(generator.uniform(dimension.low, dimension.high))
    return point


def _refuse_empty_loss(base: Experiment, space: tuple[DimensionConfig, ...]) -> None:
    """Some loss term must weigh more than 0 at every point."""
    loss = as_mapping(base)["loss"]
    least = {name: loss[name] for name in TERMS}
    for dimension in space:
        name = dimension.path.removeprefix("loss.")
        if dimension.path.startswith("loss.") and name in least:
            least[name] = min(dimension.choices or (dimension.low,))  # type: ignore[type-var]
    require(any(least.values()), "hpo.space: at some point every loss term weighs 0; give one of them a low above 0")


def _get(mapping: Any, path: str) -> Any:
    put(copy.deepcopy(mapping), path, None)
    for part in path.split("."):
        mapping = mapping[int(part)] if isinstance(mapping, list) else mapping.get(part, 1.0)
    return mapping

"""YAML becomes a typed object; what does not fit is named."""

import dataclasses
import importlib
import math
import pkgutil
import typing
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from kedro.validation.exceptions import ParameterValidationError
from kedro.validation.parameter_validator import ParameterValidator

import atft_pipeline
from atft_pipeline.cli import parameter_line
from atft_pipeline.config import LIMITS, config, from_mapping, require, within
from atft_pipeline.errors import ConfigError
from atft_pipeline.model.config import InputSpec
from atft_pipeline.pipeline_registry import register_pipelines
from atft_pipeline.pipelines.parameters import Params
from atft_pipeline.prices.prepared import PreparedConfig
from atft_pipeline.removed_parameters import REMOVED
from atft_pipeline.splits.schemes import WalkForward
from atft_pipeline.training.checkpoint.origin import Origin
from atft_pipeline.tuning.config import DimensionConfig


@config
class Inner:
    width: int = within(4, 1, 100)
    kind: Literal["a", "b"] = "a"
    low: float = within(0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        require(self.width != 7, f"width: must not be 7, got {self.width}")
        require(self.width != 8 or self.low > 0, "eight is for the low")


@config
class Outer:
    inner: Inner = Inner()
    rates: tuple[float, ...] = within((0.1,), 0, 10)
    parts: tuple[Inner, ...] = ()
    weights: Mapping[int, float] = within({}, 0, 1)
    levels: Mapping[str, tuple[float, ...]] = within({}, 0, 1)
    size: int | Literal["auto"] = within("auto", 1, 64)  # type: ignore[assignment]
    limit: float | None = within(None, 0, 1)  # type: ignore[assignment]
    switch: Literal["auto", "on", "off", "32"] = "auto"
    active: bool = True
    pairs: tuple[tuple[str, int], ...] = ()


def build(value: object) -> Outer:
    return Params[Outer].model_validate(value).root


def test_nested_values_become_typed_objects() -> None:
    assert build({"inner": {"width": 8, "low": 1}, "rates": [1, 2]}) == Outer(
        inner=Inner(width=8, low=1.0), rates=(1.0, 2.0)
    )
    assert build({"parts": [{"width": 3.0}], "weights": {"5": 1, 10: 0.5}, "size": 8}) == Outer(
        parts=(Inner(width=3),), weights={5: 1.0, 10: 0.5}, size=8
    )
    assert build({"pairs": [["a", 1], ("b", 2)]}) == Outer(pairs=(("a", 1), ("b", 2)))
    assert build(Outer(size=2)) == Outer(size=2)
    # YAML reads these words as true and as a number.
    assert [build({"switch": value}).switch for value in (True, False, 32, "auto")] == ["on", "off", "32", "auto"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"inner": {"widht": 3}}, r"inner.widht: unknown key; did you mean width?"),
        ({"zzz": 3}, r"zzz: unknown key; known keys: inner, rates"),
        ({"inner": {"width": 0}}, "inner.width: must be from 1 to 100, got 0"),
        ({"inner": {"width": 7}}, "inner.width: must not be 7, got 7"),
        ({"inner": {"width": 8}}, "inner: eight is for the low"),
        ({"inner": {"width": "wide"}}, "inner.width: must be a whole number, got 'wide'"),
        ({"inner": {"width": True}}, "inner.width: must be a whole number, got true"),
        ({"inner": {"width": 2.5}}, "inner.width: must be a whole number, got 2.5"),
        ({"inner": {"width": "3"}}, "inner.width: must be a whole number, got '3'"),
        ({"inner": {"width": None}}, "inner.width: must be a whole number, got null"),
        ({"inner": {"low": math.nan}}, "inner.low: must be a number, got nan"),
        ({"inner": {"low": 10**400}}, "inner.low: must be a number, got 1000"),
        ({"inner": {"kind": "c"}}, "inner.kind: must be a, b, got 'c'"),
        ({"inner": 3}, "inner: must be a group of keys and values ({} takes the defaults), got 3"),
        ({"inner": None}, "inner: must be a group of keys and values ({} takes the defaults), got null"),
        ({"rates": 3}, "rates: must be a list, such as [3], got 3"),
        ({"rates": [1, 11]}, "rates: must be from 0 to 10, got 11.0"),
        ({"rates": [1, "x"]}, "rates[1]: must be a number, got 'x'"),
        ({"parts": [{}, {"width": -1}]}, "parts[1].width: must be from 1 to 100, got -1"),
        ({"parts": {"width": 1}}, "parts: must be a list"),
        ({"pairs": [["a", 1], ["b"]]}, "pairs[1]: must be a list of 2, got ['b']"),
        ({"pairs": [[1, "a"]]}, "pairs[0][0]: must be a text, got 1"),
        ({"weights": {"five": 1}}, "weights.five: must be a whole number, got 'five'"),
        ({"weights": {5: 2}}, "weights: must be from 0 to 1, got 2.0"),
        ({"weights": [5]}, "weights: must be a mapping of keys to values, got [5]"),
        ({"levels": {"a": [0.5, 2]}}, "levels: must be from 0 to 1, got 2.0"),
        ({"size": 65}, "size: must be from 1 to 64, got 65"),
        ({"size": "big"}, "size: must be a whole number or auto, got 'big'"),
        ({"limit": -1}, "limit: must be from 0 to 1, got -1.0"),
        ({"limit": "no"}, "limit: must be a number or null, got 'no'"),
        ({"switch": "yes"}, "switch: must be auto, on, off, 32, got 'yes'"),
        ({"active": 1}, "active: must be true or false, got 1"),
        (
            {"active": {"enabled": True}},
            "active: must be true or false, got {'enabled': True}; it is a single value and no group: active=<value>",
        ),
        ({"zzz": 1, "inner": {"width": 0}}, "zzz: unknown key; "),
        ({"zzz": 1, "inner": {"width": 0}}, "; inner.width: must be from"),
        ([], "must be a group of keys and values ({} takes the defaults), got []"),
        ({3: 1}, "3: unknown key"),
    ],
)
def test_what_does_not_fit_is_named(value: object, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(value)
    assert message in str(caught.value)


HOSTILE = [
    -1, 0, 1, 7, 10**9, 10**400, -(10**400), 0.5, -0.5, 1e300, -1e300, math.inf, -math.inf, math.nan, True, False, None,
    "", "text", "3", "(", "a\nb", "../..", b"x", [], [1], [-1], [math.nan], [None], ["("], [[1]], [{}], {}, {"a": 1},
    {5: -1}, {"a": {"b": []}}, object(), 1j, (1, 2), {1},
]  # fmt: skip
REQUIRED: dict[type, dict[str, Any]] = {
    InputSpec: {"feature_names": ["A"]},
    PreparedConfig: {"returns": {5: "a"}},
    WalkForward: {"first_test": "2020-01-02"},
    DimensionConfig: {"path": "model.width", "kind": "float", "low": 1.0, "high": 2.0},
}


def classes() -> list[type]:
    """Every configuration class of the project; a model's origin is a record that a training writes, no parameter."""
    found: dict[type, None] = {}
    for module in pkgutil.walk_packages(atft_pipeline.__path__, "atft_pipeline."):
        if module.name.endswith(".attention_kernels"):  # of a GPU: needs triton and has no configuration
            continue
        for item in vars(importlib.import_module(module.name)).values():
            if isinstance(item, type) and hasattr(item, "__pydantic_config__") and item is not Origin:
                found[item] = None
    return list(found)


def keys() -> list[tuple[type, dataclasses.Field[Any]]]:
    return [(item, field) for item in classes() for field in dataclasses.fields(item)]


def test_there_are_configuration_classes() -> None:
    assert len(classes()) > 30
    assert {"TrainingConfig", "HpoConfig", "PricesConfig", "AuditConfig"} <= {item.__name__ for item in classes()}


@pytest.mark.parametrize("item", classes(), ids=lambda item: item.__name__)
def test_every_number_has_limits(item: type) -> None:
    hints = typing.get_type_hints(item)
    for field in dataclasses.fields(item):
        options = {hints[field.name], *typing.get_args(hints[field.name])}
        if options & {int, float} and "bool" not in str(hints[field.name]) and field.name != "returns":
            assert LIMITS in field.metadata, field.name
            low, high = field.metadata[LIMITS]
            assert -math.inf < low < high < math.inf


def attempt(item: type, given: dict[str, Any]) -> tuple[object, str]:
    """The object, or the line that refuses it; any other exception is a failure."""
    try:
        return from_mapping(item, given, "group"), ""
    except ConfigError as error:
        return None, str(error)


@pytest.mark.parametrize(("item", "field"), keys(), ids=lambda part: getattr(part, "__name__", None) or part.name)
def test_a_hostile_value_is_taken_or_refused_in_one_line_with_its_name(
    item: type, field: dataclasses.Field[Any]
) -> None:
    refused = 0
    for value in HOSTILE:
        built, line = attempt(item, {**REQUIRED.get(item, {}), field.name: value})
        if built is None:
            refused += 1
            assert line.startswith("group"), value
            assert field.name in line or item in REQUIRED, (value, line)
            assert "\n" not in line
            assert len(line) < 500
            continue
        held = getattr(built, field.name)
        assert not isinstance(held, float) or math.isfinite(held)
        # A switch is no number and a number is no switch.
        assert not isinstance(value, bool) or isinstance(held, bool | str), (value, held)
    assert refused


@pytest.mark.parametrize("value", [3, [], None, "text", True, [1], 0.5, ""])
def test_a_group_that_is_no_group_is_one_line_with_its_name(value: object) -> None:
    validator = ParameterValidator(register_pipelines())
    groups = sorted(validator.type_extractor.extract_types_from_pipelines())
    assert "training" in groups
    for group in groups:
        with pytest.raises(ParameterValidationError) as caught:
            validator.validate_raw_params({group: value})
        line = parameter_line(str(caught.value))
        assert line.startswith(f"parameter {group}: must be a group of keys and values"), line
        assert "\n" not in line


def test_every_wrong_key_of_a_group_carries_the_name_of_the_group() -> None:
    validator = ParameterValidator(register_pipelines())
    wrong = {"training": {"epochs": 0, "optimizer": {"lr": -1, "zzz": 1}}, "model": {"width": True}}
    with pytest.raises(ParameterValidationError) as caught:
        validator.validate_raw_params(wrong)
    line = parameter_line(str(caught.value))
    assert "training.optimizer.zzz: unknown key" in line
    assert "model.width: must be a whole number, got true" in line


@pytest.mark.parametrize("removed", REMOVED)
def test_a_key_of_an_earlier_version_is_refused_with_what_replaces_it(removed: str) -> None:
    named = {item.__name__: item for item in classes()}
    group, key = removed.split(".")
    assert group in named, "the class that had the key is gone: name its parent's key instead"
    item = named[group]
    assert key not in {field.name for field in dataclasses.fields(item)}
    line = attempt(item, {**REQUIRED.get(item, {}), key: 1})[1]
    assert line == f"group.{key}: is no longer a parameter; {REMOVED[removed]}"
    # A line of several wrong keys is cut before each `key: `.
    assert parameter_line(f"Parameter 'group': {line.removeprefix('group.')}") == f"parameter {line}"

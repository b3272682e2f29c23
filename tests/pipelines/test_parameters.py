"""YAML becomes a typed object; what does not fit is named."""

from typing import Literal

import pytest

from atft_pipeline.config import config, require
from atft_pipeline.errors import ConfigError
from atft_pipeline.pipelines.parameters import Params


@config
class Inner:
    width: int = 4
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        require(self.width >= 1, f"width must be at least 1, got {self.width}")


@config
class Outer:
    inner: Inner = Inner()
    rates: tuple[float, ...] = (0.1,)


def build(value: object) -> Outer:
    return Params[Outer].model_validate(value).root


def test_nested_values_become_typed_objects() -> None:
    assert build({"inner": {"width": 8}, "rates": [1, 2]}) == Outer(inner=Inner(width=8), rates=(1.0, 2.0))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"inner": {"widht": 3}}, r"inner\.widht: unknown key; did you mean width\?"),
        ({"zzz": 3}, r"zzz: unknown key; known keys: inner, rates"),
        ({"inner": {"width": 0}}, r"inner: width must be at least 1, got 0"),
        ({"inner": {"width": "wide"}}, r"inner\.width: input should be a valid integer.*got 'wide'"),
        ({"inner": {"kind": "c"}}, r"inner\.kind: input should be 'a' or 'b', got 'c'"),
        ({"rates": 3}, r"rates: input should be a valid tuple, got 3"),
    ],
)
def test_what_does_not_fit_is_named(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(value)

"""The one boundary where YAML becomes a typed, frozen configuration object.

A node annotates its ``params:`` input with ``Params[SomeConfig]``; Kedro then builds it before any node runs. Unknown
keys and ill-typed or out-of-range values are refused with the dotted name of the key.
"""

import dataclasses
import difflib
import typing
from typing import Any, Generic, Self, TypeVar

from pydantic import ConfigDict, RootModel, ValidationError
from pydantic_core import ErrorDetails

from atft_pipeline.errors import ConfigError

T = TypeVar("T")


class Params(RootModel[T], Generic[T]):
    """A configuration object of the library, built from YAML; the object is ``.root``."""

    model_config = ConfigDict(frozen=True)

    def __str__(self) -> str:
        """Name of the class; what it holds is logged value by value."""
        return type(self.root).__name__

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Build the configuration.

        Raises:
            ConfigError: one line with every key that is unknown, ill-typed or out of range.
        """
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            annotation = cls.model_fields["root"].annotation
            raise ConfigError("; ".join(describe(item, annotation) for item in error.errors())) from error


def describe(error: ErrorDetails, annotation: Any) -> str:
    """Say one validation error with its dotted key, the value and, for an unknown key, the nearest known one."""
    path = [str(part) for part in error["loc"]]
    name = ".".join(path)
    if error["type"] == "unexpected_keyword_argument":
        known = known_keys(annotation, path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(known)}"
        return f"{name}: unknown key; {hint}"
    if error["type"] == "value_error":
        message = error["msg"].removeprefix("Value error, ")
        return f"{name}: {message}" if name else message
    message = error["msg"][:1].lower() + error["msg"][1:]
    return f"{name}: {message}, got {error['input']!r}"


def known_keys(annotation: Any, path: list[str]) -> list[str]:
    """Names of the fields of the configuration class that ``path`` leads to."""
    for part in path:
        if not dataclasses.is_dataclass(annotation):
            return []
        hints = typing.get_type_hints(annotation)
        options = [hints[part], *typing.get_args(hints[part])] if part in hints else []
        annotation = next((option for option in options if dataclasses.is_dataclass(option)), None)
    return [field.name for field in dataclasses.fields(annotation)] if dataclasses.is_dataclass(annotation) else []

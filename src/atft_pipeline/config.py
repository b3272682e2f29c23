"""Typed, frozen configuration without a framework.

A class under :func:`config` is a frozen, keyword-only dataclass. YAML becomes such an object at one boundary (pydantic
builds it from the annotations and rejects unknown keys); a checkpoint's JSON becomes one through :func:`from_mapping`.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar, dataclass_transform

from atft_pipeline.errors import ConfigError

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only dataclass that rejects unknown keys when built from YAML."""
    built = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    # pydantic reads this name from plain dataclasses; the library itself does not need pydantic.
    built.__pydantic_config__ = {"extra": "forbid"}  # type: ignore[attr-defined]
    return built


def require(ok: bool, message: str) -> None:
    """Raise :class:`ConfigError` with the one-line message unless ``ok``."""
    if not ok:
        raise ConfigError(message)


def to_mapping(value: Any) -> Any:
    """Turn a configuration object into plain JSON types (tuples become lists)."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_mapping(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_mapping(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_mapping(item) for item in value]
    return value


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str = "") -> T:
    """Build a configuration object from JSON types; the inverse of :func:`to_mapping`.

    Args:
        cls: a class made by :func:`config`.
        mapping: keys are field names; nested mappings become nested configuration objects.
        where: dotted path of this mapping, for the messages.

    Raises:
        ConfigError: an unknown key, or a value that the class rejects.
    """
    hints = typing.get_type_hints(cls)
    names = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    label = where or cls.__name__
    unknown = sorted(set(mapping) - names)
    require(not unknown, f"{label}: unknown key {', '.join(unknown)}; known keys: {', '.join(sorted(names))}")
    return cls(**{key: _convert(hints[key], value, f"{label}.{key}") for key, value in mapping.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Rebuild nested configurations and tuples as the annotation says; leave other values alone."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        return value if value is None else _convert(options[0], value, where)
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_mapping(typing.cast("type[Any]", hint), value, where)
    if origin is tuple and isinstance(value, list | tuple):
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, entry, where) for entry in value)
    return value

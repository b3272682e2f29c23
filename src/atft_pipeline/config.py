"""Typed, frozen configuration without a framework.

A class under :func:`config` is a frozen, keyword-only dataclass. YAML, a checkpoint's JSON and a search's trial become
such an object through :func:`from_mapping`, which refuses unknown keys, wrong types and values out of their limits,
each with its dotted name. Keys of earlier versions are refused with what replaced them, by the one table of
:mod:`atft_pipeline.removed_parameters`.
"""

import dataclasses
import datetime as dt
import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar, dataclass_transform

from atft_pipeline.errors import ConfigError
from atft_pipeline.removed_parameters import advice

T = TypeVar("T")
LIMITS = "limits"
DOTTED = r"[\w-]+(?:\[\d+\]|\.[\w-]+)*: "
"""How a message begins that names a key."""
WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}


def within(default: T, low: float, high: float) -> T:
    """Declare a field with a default and limits, both allowed.

    The limits hold for the number itself, for every number of a list and for every value of a mapping.
    """
    if isinstance(default, Mapping):
        return typing.cast("T", dataclasses.field(default_factory=dict, metadata={LIMITS: (low, high)}))
    return dataclasses.field(default=default, metadata={LIMITS: (low, high)})


@dataclass_transform(kw_only_default=True, frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make a class a frozen, keyword-only dataclass whose fields keep their limits."""
    rules = cls.__dict__.get("__post_init__", lambda _: None)

    def check(self: Any) -> None:
        _check_limits(self)
        rules(self)

    cls.__post_init__ = check  # type: ignore[attr-defined]
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


def from_mapping(cls: type[T], mapping: Any, where: str = "") -> T:
    """Build a configuration object from JSON types; the inverse of :func:`to_mapping`.

    Args:
        cls: a class made by :func:`config`.
        mapping: keys are field names; nested mappings become nested configuration objects.
        where: dotted path of this mapping, for the messages.

    Raises:
        ConfigError: one line with every key that is unknown, ill-typed or out of its limits.
    """
    if not isinstance(mapping, Mapping):
        msg = f"{where}: " if where else ""
        msg += f"must be a group of keys and values ({{}} takes the defaults), got {shown(mapping)}"
        raise ConfigError(msg)
    hints = _hints(typing.cast("Any", cls))
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    prefix = f"{where}." if where else ""
    values, wrong = {}, []
    for key, value in mapping.items():
        if key not in fields:
            hint = nearest(str(key), fields, f"known keys: {', '.join(fields)}")
            wrong.append(f"{prefix}{key}: {advice(cls.__name__, str(key)) or f'unknown key; {hint}'}")
            continue
        try:
            values[key] = _convert(hints[key], value, f"{prefix}{key}")
        except ConfigError as error:
            wrong.append(str(error))
    wrong += [
        f"{prefix}{name}: is missing; give it a value"
        for name, field in fields.items()
        if name not in mapping and field.default is field.default_factory is dataclasses.MISSING
    ]
    require(not wrong, "; ".join(wrong))
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(named(" ".join(str(error).split()), where)) from error


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay nested values over nested values, key by key; a list or an empty mapping replaces what was there."""
    merged = dict(below)
    for name, value in above.items():
        known = merged.get(name, {})
        nested = value and isinstance(known, Mapping) and isinstance(value, Mapping)
        merged[name] = overlay(known, value) if nested else value
    return merged


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def named(message: str, where: str) -> str:
    """Put the dotted path of a group before a message, which may begin with a key of it."""
    if not where:
        return message
    return f"{where}.{message}" if re.match(DOTTED, message) else f"{where}: {message}"


def shown(value: Any) -> str:
    """A value as YAML writes it, cut to a line."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # a whole number of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """Ask whether the nearest known name was meant; where none is near, say something else."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else otherwise


def _check_limits(value: Any) -> None:
    """Hold every field of a configuration to its limits."""
    for field in dataclasses.fields(value):
        if LIMITS not in field.metadata:
            continue
        low, high = field.metadata[LIMITS]
        for item in _leaves(getattr(value, field.name)):
            if isinstance(item, int | float) and not low <= item <= high:
                msg = f"{field.name}: must be from {_number(low)} to {_number(high)}, got {shown(item)}"
                raise ConfigError(msg)


def _leaves(value: Any) -> Iterable[Any]:
    """Single values of nested lists and mappings."""
    if not isinstance(value, Mapping | list | tuple):
        return [value]
    items = value.values() if isinstance(value, Mapping) else value
    return [leaf for item in items for leaf in _leaves(item)]


def _number(value: float) -> str:
    whole = abs(value) < 1e15 and float(value).is_integer()
    return f"{int(value)}" if whole else f"{value:g}"


def _refuse(hint: Any, value: Any, where: str) -> typing.NoReturn:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    wanted = [
        ", ".join(map(str, typing.get_args(option))) if typing.get_origin(option) is Literal else WORDS.get(option)
        for option in options
    ]
    msg = f"{where}: must be {' or '.join(filter(None, wanted))}, got {shown(value)}"
    if isinstance(value, Mapping):
        msg += f"; it is a single value and no group: {where}=<value>"
    raise ConfigError(msg)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check a value against its annotation; rebuild nested configurations, tuples and mappings."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(hint, value, where)
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast("type[Any]", hint), value, where)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            msg = f"{where}: must be a list, such as [{shown(value)}], got {shown(value)}"
            raise ConfigError(msg)
        # A tuple of one kind, or of as many kinds as it has places.
        kinds = arguments[:1] * len(value) if Ellipsis in arguments else arguments
        require(len(kinds) == len(value), f"{where}: must be a list of {len(kinds)}, got {shown(value)}")
        return tuple(
            _convert(kind, item, f"{where}[{place}]")
            for place, (kind, item) in enumerate(zip(kinds, value, strict=True))
        )
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            msg = f"{where}: must be a mapping of keys to values, got {shown(value)}"
            raise ConfigError(msg)
        pairs = [(_key(arguments[0], key, where), key, item) for key, item in value.items()]
        return {name: _convert(arguments[1], item, f"{where}.{key}") for name, key, item in pairs}
    return _scalar(hint, value, where)


def _convert_union(hint: Any, value: Any, where: str) -> Any:
    """Take the first option that a value fits; a group or a list is told what is wrong inside it."""
    if value is None and types.NoneType in typing.get_args(hint):
        return None
    options = [option for option in typing.get_args(hint) if option is not types.NoneType]
    if type(value) in options:
        return _scalar(type(value), value, where)
    nested = [option for option in options if option not in WORDS and typing.get_origin(option) is not Literal]
    for option in options:
        try:
            return _convert(option, value, where)
        except ConfigError:
            if option in nested and isinstance(value, Mapping | list | tuple):
                raise
    if len(nested) == 1:
        return _convert(nested[0], value, where)
    _refuse(hint, value, where)


def _key(hint: Any, key: Any, where: str) -> Any:
    """A key of a mapping; the command line gives numbers as text."""
    return _scalar(hint, int(key) if hint is int and str(key).isdecimal() else key, f"{where}.{key}")


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if typing.get_origin(hint) is Literal:
        # YAML reads `on` and `32` as true and 32.
        words = {"True": "on", "False": "off"}.get(str(value), str(value)) if isinstance(value, int) else value
        if isinstance(words, str) and words in typing.get_args(hint):
            return words
    elif hint is bool or hint is str:
        if isinstance(value, hint):
            return value
        if hint is str and isinstance(value, dt.date):
            return value.isoformat()
    elif hint is int or hint is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and _fits(hint, value):
            return hint(value)
    else:
        return value
    _refuse(hint, value, where)


def _fits(hint: type, value: float) -> bool:
    """Tell whether a number is finite, no larger than a float holds, and whole where that is asked for."""
    return abs(value) <= 1.7e308 and (hint is float or math.floor(value) == value)

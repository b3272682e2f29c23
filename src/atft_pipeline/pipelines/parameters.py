"""The one boundary where YAML becomes a typed, frozen configuration object.

Kedro builds what a node's ``params:`` inputs are annotated with before any node runs. ``Params[SomeConfig]`` is such an
annotation; unknown keys and ill-typed or out-of-range values are refused with the dotted name of the key. A node under
:func:`configured` is written with the configuration classes themselves.
"""

import builtins
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any, Generic, Self, TypeVar, get_type_hints

from pydantic import ConfigDict, RootModel

from atft_pipeline.config import from_mapping
from atft_pipeline.training.experiment import Experiment

T = TypeVar("T")
R = TypeVar("R")

EXPERIMENT = {field.name: f"params:{field.name}" for field in fields(Experiment)}
"""Inputs of a node that takes an experiment: one group of the parameters a field."""


class Params(RootModel[T], Generic[T]):
    """A configuration object of the library, built from YAML; the object is ``.root``."""

    model_config = ConfigDict(frozen=True)

    def __str__(self) -> str:
        """Name of the class; what it holds is logged value by value."""
        return type(self.root).__name__

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Self:
        """Build the configuration.

        Raises:
            ConfigError: one line with every key that is unknown, ill-typed or out of its limits.
        """
        wanted: Any = cls.model_fields["root"].annotation
        return cls.model_construct(root=obj if isinstance(obj, wanted) else from_mapping(wanted, obj))


def configured(node: Callable[..., R]) -> Callable[..., R]:
    """Let a node function name configuration classes where Kedro gives ``Params``.

    An argument of a class made by :func:`atft_pipeline.config.config` is taken as ``Params`` of it and handed on as the
    object. An :class:`Experiment` is taken as one ``Params`` a field, which are the groups that Kedro, its lineage and
    ``--params training.epochs=2`` know, and is handed on whole.
    """
    hints = _hints(node)
    given = [
        taken
        for name, argument in inspect.signature(node).parameters.items()
        for taken in _taken(name, hints[name], argument.default)
    ]

    @functools.wraps(node)
    def with_objects(*args: Any, **kwargs: Any) -> R:
        bound = with_objects.__signature__.bind(*args, **kwargs).arguments  # type: ignore[attr-defined]
        plain = {name: value.root if isinstance(value, Params) else value for name, value in bound.items()}
        for name, hint in hints.items():
            if hint is Experiment:
                plain[name] = Experiment(**{field: plain.pop(field) for field in EXPERIMENT})
        return node(**plain)

    with_objects.__signature__ = inspect.Signature(given, return_annotation=hints["return"])  # type: ignore[attr-defined]
    with_objects.__annotations__ = {taken.name: taken.annotation for taken in given} | {"return": hints["return"]}
    return with_objects


class _Unloaded(type):
    """A module or class that only a type checker imports."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Any


class _Names(dict[str, Any]):
    """Names of a module, builtins, and any other: what is not loaded is no parameter, so its type plays no part."""

    def __missing__(self, name: str) -> Any:
        if name.endswith("Config"):
            msg = f"{name} is a parameter of a node: import it where the module is loaded"
            raise NameError(msg)
        return getattr(builtins, name, _Unloaded("Unloaded", (), {}))


def _hints(node: Callable[..., Any]) -> dict[str, Any]:
    """Types of the arguments: the configuration classes, and whatever else the module loads.

    Tables, panels and figures are named for the type checker alone, so that a command that computes nothing loads
    nothing to compute with.
    """
    return get_type_hints(node, localns=_Names(node.__globals__))


def _taken(name: str, hint: Any, default: Any = inspect.Parameter.empty) -> Iterator[inspect.Parameter]:
    """The arguments that Kedro sees in place of one of the function's own."""
    if hint is Experiment:
        for field, inner in get_type_hints(Experiment).items():
            yield from _taken(field, inner)
        return
    is_config = is_dataclass(hint) and hasattr(hint, "__pydantic_config__")
    annotation = Params[hint] if is_config else hint
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    yield inspect.Parameter(name, kind, default=default, annotation=annotation)

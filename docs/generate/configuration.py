"""The configuration reference: every parameter of the typed classes, and the links to it from other pages."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kedro.pipeline import Pipeline

from atft_pipeline.config import LIMITS, shown, to_mapping
from atft_pipeline.config_loader import ProjectConfigLoader
from atft_pipeline.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).resolve().parents[2]
PAGE = "reference/configuration.md"
ENVIRONMENTS = {"local": "sample market", "production": "production"}
SIMPLE = {int: "whole number", float: "number", bool: "true or false", str: "text", types.NoneType: "null"}

INTRODUCTION = """# Configuration

Every parameter of the project, made from the classes that check it before a run begins. A value comes from the first
of these that gives one: `--params` on the command line, `conf/local` (or the folder of `--env`), `conf/base`, the
default of the class. The table names the values of `conf/base` (the sample market) and `conf/production` that differ
from the default.

`conf/base` is the scale of the sample market, `conf/production` (`--env=production`) that of thousands of listings.
`conf/local`, which git ignores, lies over `conf/base` key by key: `training: {epochs: 2}` leaves the other keys of
`training`; a list or `{}` replaces what was there. Values of `--params` are YAML, lists too:
`--params evaluation.lightgbm.leaves=[7,15],training.epochs=2`.

An unknown key, a wrong type or a value out of its limits stops the run with one line that names the key; a key of an
earlier version is refused with what replaces it.
"""


class Parameter(NamedTuple):
    """One parameter.

    Attributes:
        path: dotted name, ``[]`` for the entries of a list.
        type: in words.
        default: as YAML writes it; ``None`` where a value must be given.
        limits: in words, empty without.
        says: what the docstring says of it.
    """

    path: str
    type: str
    default: str | None
    limits: str
    says: str


def groups(pipelines: Mapping[str, Pipeline]) -> dict[str, type[Any]]:
    """Class of each group of parameters, in the order in which the stages take them."""
    found: dict[str, type[Any]] = {}
    for pipeline in pipelines.values():
        for node in pipeline.nodes:
            arguments = inspect.signature(node.func).parameters
            given = node._inputs  # noqa: SLF001  inputs by the names of the arguments, where they are given so
            pairs = given.items() if isinstance(given, dict) else zip(arguments, node.inputs, strict=False)
            for argument, name in pairs:
                if name.startswith("params:"):
                    taken = arguments[argument].annotation
                    found.setdefault(name.removeprefix("params:"), taken.model_fields["root"].annotation)
    return found


def sections(path: str, cls: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    """A group and the groups inside of it, each with its dotted name."""
    yield path, cls
    for name, hint in typing.get_type_hints(cls).items():
        for option in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(option):
                inner = (
                    f"{path}.{name}" if option is hint or typing.get_origin(hint) is not tuple else f"{path}.{name}[]"
                )
                yield from sections(inner, typing.cast("type[Any]", option))


def parameters(path: str, cls: type[Any]) -> list[Parameter]:
    """The parameters of one class, without those of the groups inside of it."""
    hints, said = typing.get_type_hints(cls), attributes(cls)
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(cls)
    return [
        Parameter(f"{path}.{field.name}", words(hints[field.name]), _default(field), _limits(field), said[field.name])
        for field in fields
        if not dataclasses.is_dataclass(hints[field.name])
    ]


def attributes(cls: type[Any]) -> dict[str, str]:
    """What the docstring of a class says of each of its attributes.

    Raises:
        KeyError: it says nothing of one, or speaks of one that does not exist.
    """
    _, _, listed = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for line in listed.splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        if start is not None:
            found[start[1]] = start[2]
        elif found and line.strip():
            found[list(found)[-1]] += f" {line.strip()}"
        elif found:
            break
    names = {field.name for field in dataclasses.fields(cls)}
    if set(found) != names:
        raise KeyError(f"{cls.__name__}: its docstring and its fields differ in {sorted(set(found) ^ names)}")
    return found


def words(hint: Any) -> str:
    """A type in words."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(option) for option in arguments)
    if origin is tuple:
        kinds = [kind for kind in arguments if kind is not Ellipsis]
        return f"list of {' and '.join(dict.fromkeys(words(kind) for kind in kinds))}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"mapping of {words(arguments[0])} to {words(arguments[1])}"
    return "group" if dataclasses.is_dataclass(hint) else SIMPLE[hint]


def _default(field: "dataclasses.Field[Any]") -> str | None:
    if field.default is not dataclasses.MISSING:
        return yaml_text(to_mapping(field.default))
    return None if field.default_factory is dataclasses.MISSING else yaml_text(to_mapping(field.default_factory()))


def _limits(field: "dataclasses.Field[Any]") -> str:
    if LIMITS not in field.metadata:
        return ""
    low, high = field.metadata[LIMITS]
    return " to ".join(f"{int(end):,}" if float(end).is_integer() else f"{end:g}" for end in (low, high))


def yaml_text(value: Any) -> str:
    """A value as it is written in a configuration file."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return f"[{', '.join(yaml_text(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml_text(item)}' for key, item in value.items())}}}"
    return shown(value)


SOURCE = ("prices", "listings")


def configured_values() -> dict[str, dict[str, Any]]:
    """Parameters of the committed environments, by the name that the page gives them."""
    found = {}
    for env, title in ENVIRONMENTS.items():
        loader = ProjectConfigLoader(ROOT / "conf", env, **CONFIG_LOADER_ARGS)
        # Where the last run read its prices is remembered beside the committed values, and is none of them.
        found[title] = {name: value for name, value in loader["parameters"].items() if name not in SOURCE}
    return found


def value_at(values: Mapping[str, Any], path: str) -> Any:
    """The value of a dotted name, ``...`` where none is given."""
    found: Any = values
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return ...
        found = found[name]
    return found


def _cell(parameter: Parameter, given: Mapping[str, Mapping[str, Any]]) -> str:
    """The default, and the values of the environments that differ from it."""
    lines = ["must be given" if parameter.default is None else f"`{parameter.default or '(empty)'}`"]
    for title, values in given.items():
        value = value_at(values, parameter.path)
        text = "..." if value is ... else yaml_text(value)
        if value is not ... and text != parameter.default:
            lines.append(f"{title}: `{text}`" if len(text) <= 60 else f"{title}: see `conf`")
    return "<br>".join(lines)


def reference(pipelines: Mapping[str, Pipeline]) -> str:
    """The whole page, in Markdown."""
    given = configured_values()
    parts = [INTRODUCTION]
    for group, cls in groups(pipelines).items():
        for path, inner in sections(group, cls):
            doc = inspect.cleandoc(inner.__doc__ or "").partition("Attributes:\n")[0].strip()
            parts.append(f"{'##' if path == group else '###'} {path} {{: #{path.replace('[]', '')} }}\n\n{rst(doc)}\n")
            rows = [
                f'| <a id="{item.path.replace("[]", "")}"></a>`{item.path.rpartition(".")[2]}`'
                f"| {item.type}{f'<br>{item.limits}' if item.limits else ''} | {_cell(item, given)} "
                f"| {rst(item.says).replace('|', chr(92) + '|')} |"
                for item in parameters(path, inner)
            ]
            if rows:
                head = ["| parameter | type and limits | default | meaning |", "|---|---|---|---|"]
                parts.append("\n".join([*head, *rows, ""]))
    return "\n".join(parts)


def rst(text: str) -> str:
    """A docstring's marks as Markdown has them."""
    return re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text).replace("``", "`")


def names(pipelines: Mapping[str, Pipeline]) -> set[str]:
    """Dotted names of all parameters and groups."""
    found = set()
    for group, cls in groups(pipelines).items():
        for path, inner in sections(group, cls):
            found |= {path, *(item.path for item in parameters(path, inner))}
    return {name.replace("[]", "") for name in found}

"""Where the prices of the artifacts came from: remembered beside them, so that later commands read the same.

The file lies in ``data`` and not in ``conf/local``: it says what the artifacts there were made from. A copy of the
project takes both along, and who removes the artifacts begins with the sample market again.
"""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from atft_pipeline.config import overlay
from atft_pipeline.errors import ConfigError
from atft_pipeline.files import replace_text

FILE = "data/.source.json"
# Runtime parameters that name raw inputs; how they are read and cleaned, `ingest`, belongs to them.
PATHS = ("prices", "listings", "oracle")
# A command in a message, with its options; and those that read raw prices.
COMMAND = re.compile(r"(?P<command>kedro (?:run|status|refresh|lineage)\b)(?P<rest>(?: --?[\w-]+(?:[= ][^\s;()]+)?)*)")
READS = re.compile(r"status|refresh|--pipeline[= ](?:data|ingest|update|predict|audit)\b|run(?!.*--pipeline)")


def recall(project: Path) -> dict[str, Any]:
    """What the last run that read prices was given: ``env`` and ``params``; empty without one."""
    try:
        found = json.loads((project / FILE).read_text(encoding="utf-8"))
        return {"env": str(found["env"]), "params": dict(found["params"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def remember(project: Path, env: str, params: Mapping[str, Any]) -> None:
    """Keep what a run that read prices was given."""
    kept: dict[str, Any] = {name: _absolute(str(params[name])) for name in PATHS if params.get(name)}
    if kept and params.get("ingest"):
        kept["ingest"] = params["ingest"]
    path = project / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps({"env": env, "params": kept}, indent=2) + "\n")


def with_source(project: Path, params: Mapping[str, Any]) -> dict[str, Any]:
    """Runtime parameters with the remembered source where they name no prices of their own."""
    if params.get("prices"):
        return dict(params)
    known = recall(project).get("params", {})
    return overlay(known, params)


def check_paths(params: Mapping[str, Any]) -> None:
    """Refuse runtime parameters that must name a file or folder and do not.

    Raises:
        ConfigError: naming the parameter and what was given.
    """
    for name in PATHS:
        if name in params and (not isinstance(params[name], str | int) or params[name] in ("", True, False)):
            shown = "nothing" if params[name] in (None, "") else params[name]
            msg = f"parameter {name}: must be the path of one file or folder, such as --params {name}=data, got {shown}"
            raise ConfigError(msg)


def as_text(params: Mapping[str, Any], prefix: str = "") -> str:
    """Runtime parameters as ``--params`` takes them."""
    parts = [
        as_text(value, f"{prefix}{name}.") if isinstance(value, Mapping) else f"{prefix}{name}={value}"
        for name, value in params.items()
    ]
    return ",".join(parts)


def describe(project: Path, params: Mapping[str, Any]) -> str:
    """The source in a few words, for the first line of a run.

    Args:
        project: its folder.
        params: runtime parameters as the configuration uses them.
    """
    known = recall(project).get("params", {})
    if not params.get("prices"):
        return "the sample market"
    named = as_text({name: params[name] for name in (*PATHS, "ingest") if params.get(name)}).replace(",", ", ")
    if known.get("prices") != params["prices"]:
        return named
    return f"{named} (as the last run that read prices; others with --params prices=)"


def complete(line: str, project: Path, env: str | None, params: Mapping[str, Any]) -> str:
    """Give the commands of a message what they need to do as it says when they are typed.

    Args:
        line: the message.
        project: its folder.
        env: environment of the command that says it.
        params: its runtime parameters.
    """
    named = {name: params[name] for name in PATHS if params.get(name)}
    known = recall(project).get("params", {})
    asked = [f"{name}={shlex.quote(str(path))}" for name, path in named.items() if known.get(name) != path]
    # How new prices are read belongs to them; lists and other values that a shell would split are left to the user.
    how = as_text({"ingest": params.get("ingest") or {}}) if asked and isinstance(params.get("ingest"), Mapping) else ""
    asked += [how] if re.fullmatch(r"[\w.,=/:+-]+", how) else []
    new = ",".join(asked)

    def whole(found: re.Match[str]) -> str:
        command, rest = found["command"], found["rest"]
        if env and "--env" not in rest:
            command += f" --env={env}"
        if not new or "prices=" in rest or not READS.search(f"{found['command']}{rest}"):
            return command + rest
        if "--params" in rest:
            return command + re.sub(r"--params[ =]", lambda option: f"{option[0]}{new},", rest, count=1)
        return f"{command}{rest} --params {new}"

    return COMMAND.sub(whole, line)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())

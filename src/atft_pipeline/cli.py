"""The project's ``kedro run``: as Kedro's own, with one clear line for an error that a user can mend."""

import copy
import logging
import re
import shlex
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import yaml
from kedro import runner
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.context.context import KedroContextError
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io.core import DatasetError
from kedro.pipeline import Pipeline
from kedro.validation.exceptions import DataValidationError, ParameterValidationError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.text import Text
from rich.tree import Tree

from atft_pipeline.code_hashes import CodeHashes
from atft_pipeline.config import DOTTED, named, nearest
from atft_pipeline.errors import AtftError, ConfigError, Interrupted
from atft_pipeline.guards import LOCKS
from atft_pipeline.hooks import CODE, FINGERPRINTS
from atft_pipeline.jobs.command import job
from atft_pipeline.lineage import FileHashes
from atft_pipeline.logs import configure_logging
from atft_pipeline.pipelines.examine import examine
from atft_pipeline.pipelines.freshness import Status, ancestry, check, stale_nodes
from atft_pipeline.pipelines.prune import delete, find_versions, freed
from atft_pipeline.process import under_torchrun
from atft_pipeline.reporting.console import show, table
from atft_pipeline.reporting.upkeep_tables import findings_table, size_text, versions_table
from atft_pipeline.source import PATHS, as_text, complete, describe, recall, with_source

# Options of `kedro run` that leave nodes out, as `Pipeline.filter` takes them.
FILTERS = ("tags", "from_nodes", "to_nodes", "node_names", "from_inputs", "to_outputs")
MENDABLE = (
    AtftError,
    DataValidationError,
    ParameterValidationError,
    DatasetError,
    KedroContextError,
    MissingConfigException,
    OmegaConfBaseException,
)


@click.group(context_settings=CONTEXT_SETTINGS, name="atft-pipeline")
def cli() -> None:
    """Commands of this project."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def one_line(error: BaseException) -> str | None:
    """Return the one line to show for an error that a user can mend, ``None`` for a programming error."""
    for cause in causes(error):
        if isinstance(cause, AtftError):
            return str(cause)
    for cause in causes(error):
        if isinstance(cause, ParameterValidationError):
            return parameter_line(str(cause))
    for cause in causes(error):
        if isinstance(cause, DataValidationError):
            return " ".join(str(cause).split())
    return " ".join(str(error).split()) if isinstance(error, MENDABLE) else None


def parameter_line(message: str) -> str:
    """Rewrite Kedro's report on parameters as one line: ``parameter key: what is wrong``."""
    found = re.findall(r"Parameter '([^']+)': (?:Failed to instantiate .*? for parameter '[^']+': )?(.+)", message)
    lines = []
    for name, text in found:
        if text.startswith("value is None"):
            text = "must be a group of keys and values ({} takes the defaults), got null"  # noqa: PLW2901
        # Several wrong keys of a group stand one behind the other.
        lines += [named(part, name) for part in re.split(rf"; (?={DOTTED})", text)]
    return "parameter " + "; ".join(lines) if lines else message


def check_selection(options: Mapping[str, Any]) -> None:
    """Refuse a pipeline, node, tag or dataset that does not exist, before anything is loaded.

    Raises:
        AtftError: with the names that are.
    """
    names = options["pipelines"] or ["__default__"]
    refuse_unknown("pipeline", names, set(pipelines))
    chosen = sum((pipelines[name] for name in names), start=Pipeline([]))
    if options["runner"] and "." not in options["runner"]:
        refuse_unknown("runner", [options["runner"]], runner.__all__)
    nodes, datasets = {node.name for node in chosen.nodes}, chosen.datasets()
    for option in ["node_names", "from_nodes", "to_nodes"]:
        refuse_unknown("node", options[option], nodes)
    refuse_unknown("tag", options["tags"], {tag for node in chosen.nodes for tag in node.tags})
    refuse_unknown("namespace", options["namespaces"], {node.namespace for node in chosen.nodes if node.namespace})
    for option in ["from_inputs", "to_outputs", "load_versions"]:
        refuse_unknown("dataset", options[option], {name for name in datasets if not name.startswith("params:")})
    try:
        chosen.filter(**{name: options[name] or None for name in FILTERS})
    except ValueError as error:
        msg = f"no node is left of {', '.join(names)}: {' '.join(str(error).split())}"
        raise AtftError(msg) from error


def refuse_many(names: Collection[str]) -> None:
    """Refuse what every process of ``torchrun`` would do and write for itself.

    Raises:
        AtftError: with the command that shares a training.
    """
    if not under_torchrun():
        return
    from atft_pipeline.training.runtime.torchrun import joined  # noqa: PLC0415  (torch, which most commands do without)

    if joined() is None or list(names) != ["train"]:
        msg = "torchrun shares a training, and only that: torchrun --nproc-per-node=2 -m atft_pipeline.train"
        raise AtftError(msg)


def refuse_unknown(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Refuse names that do not exist.

    Raises:
        AtftError: with the nearest name or all that there are.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = nearest(unknown[0], known, f"there are: {', '.join(sorted(known)) or 'none'}")
        msg = f"no {kind} is called {', '.join(unknown)}; {hint}"
        raise AtftError(msg)


def split_params(_context: click.Context, _option: click.Parameter, value: Any) -> Any:
    """Read ``--params a.b=1,c=[1, 2]``; values are YAML."""
    if isinstance(value, dict):
        return value
    items = split_items(value)
    if items is None:
        msg = f"--params: a bracket or a quote is not closed in {value}"
        raise click.ClickException(msg)
    for item in items:
        name, sign, _value = item.partition("=")
        if not sign or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name.strip()):
            msg = f"--params: {item} must be KEY=VALUE, such as training.epochs=3"
            raise click.ClickException(msg)
    try:
        pairs = [item.partition("=") for item in items]
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"{name.strip()}={text}" for name, _, text in pairs]))
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        msg = f"--params: cannot read {value}: {' '.join(str(error).split())}"
        raise click.ClickException(msg) from error


def split_items(value: str) -> list[str] | None:
    """Split at commas outside of brackets and quotes; ``None`` where one of them is not closed."""
    items, depth, quote, start = [], 0, "", 0
    for place, letter in enumerate(value):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and value[place - 1 : place] in ("=", "[", "{", ",", " ", ":"):
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth <= 0:
            items.append(value[start:place].strip())
            start = place + 1
    items.append(value[start:].strip())
    return None if depth or quote else [item for item in items if item]


@contextmanager
def one_line_errors(env: str | None = None, params: dict[str, Any] | None = None) -> Iterator[None]:
    """Print the one line of an error that a user can mend, and leave.

    Args:
        env: environment of the command; the commands that the line names get it too.
        params: its runtime parameters; likewise its prices.
    """
    try:
        yield
    except MENDABLE as error:
        line = one_line(error)
        if line is None:
            raise
        logging.getLogger(__name__).debug("stopped", exc_info=error)
        line = complete(line, Path.cwd(), env, params or {})
        click.secho(f"error: {line}", fg="red", err=True)
        sys.exit(1)
    except Interrupted as stopped:
        click.secho(complete(str(stopped), Path.cwd(), env, params or {}), fg="yellow", err=True)
        sys.exit(130)


def show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show what ends a command of Kedro or of a plugin as the project's own commands do."""
    line = one_line(error)
    if line is None:
        sys.__excepthook__(kind, error, trace)
    else:
        click.secho(f"error: {line}", fg="red", err=True)


sys.excepthook = show_error


def run(**options: Any) -> Any:
    """Run a pipeline of this project."""
    configure_logging()
    names = [*options["pipelines"], *([options["pipeline"]] if options["pipeline"] else [])]
    options.update(pipeline=None, pipelines=names)
    callback = kedro_run.callback
    assert callback is not None
    with one_line_errors(options["env"], options["params"]):
        refuse_many(options["pipelines"])
        check_selection(options)
        return callback(**options)


ENV = click.option("--env", "-e", default=None, help="Configuration environment, such as production.")
PARAMS = click.option(
    "--params", type=click.UNPROCESSED, default="", callback=split_params, help="Values by dotted name: a.b=1,c=[1, 2]."
)


@contextmanager
def open_session(env: str | None, params: dict[str, Any]) -> Iterator[KedroSession]:
    """Open a session as the class that it is; Kedro's own context manager is typed as its base class."""
    session = KedroSession.create(env=env, runtime_params=params)
    assert isinstance(session, KedroSession)
    with session:
        yield session


# Pipelines that `kedro refresh` runs; what the others made is told too, and made again when its pipeline is run.
REFRESHED = ("__default__", "predict")
OTHERS = ("hpo", "walk_forward", "audit")


def look(env: str | None, params: dict[str, Any], *, others: bool = False) -> list[Status]:
    """Compare every artifact with what a run would make now.

    Args:
        env: configuration environment.
        params: runtime parameters.
        others: also artifacts of searches, walk-forwards and audits, where there are any.

    Raises:
        ConfigError: the prices that the last run read are gone.
    """
    with open_session(env, params) as session:
        context = session.load_context()
        for name in PATHS:
            path = (context.config_loader.runtime_params or {}).get(name)
            if path and not Path(str(path)).expanduser().exists():
                msg = f"the {name} {path} are gone; name them where they are now: --params {name}=<file or folder>"
                raise ConfigError(msg)
        hashes, code = FileHashes(context.project_path / FINGERPRINTS), CodeHashes(context.project_path / CODE)
        everything = sum((pipelines[name] for name in REFRESHED), Pipeline([]))
        found = check(everything, context.catalog, hashes, code, pipelines["update"])
        if others:
            seen = {item.artifact for item in found}
            for name in OTHERS:
                more = check(everything + pipelines[name], context.catalog, hashes, code, pipelines["update"])
                found += [item for item in more if item.artifact not in seen and item.state != "missing"]
                seen |= {item.artifact for item in more}
        return found


def as_last_run(env: str | None) -> str | None:
    """The environment that was asked for, else the one under which the prices were read; it is told."""
    known = recall(Path.cwd()).get("env") or None
    if env is None and known is not None:
        click.echo(f"with --env={known}, as the last run that read prices")
    return env or known


def advice(found: list[Status], env: str | None, params: dict[str, Any]) -> Iterator[str]:
    """Yield the commands that make fresh what is not, complete as typed."""
    refreshed = {node.name for name in REFRESHED for node in pipelines[name].nodes}
    stale = set(stale_nodes(found))
    options = f" --env={env}" if env else ""
    if refreshed & stale:
        asked = f" --params {shlex.quote(text)}" if (text := as_text(params)) else ""
        yield f"run what is stale or missing with: kedro refresh{options}{asked}"
    for name in OTHERS:
        if {node.name for node in pipelines[name].nodes} & (stale - refreshed):
            line = f"make what is stale of {name} again with: kedro run --pipeline={name}"
            yield complete(line, Path.cwd(), env, params)


@cli.command()
@ENV
@PARAMS
def status(env: str | None, params: dict[str, Any]) -> None:
    """Say of each artifact: fresh, stale (and what changed) or missing."""
    configure_logging()
    env = as_last_run(env)
    with one_line_errors(env, params):
        found = look(env, params, others=True)
    colours = {"fresh": "green", "stale": "yellow", "missing": "red"}
    rows = [
        (
            item.artifact,
            Text(item.state, colours[item.state]),
            item.version,
            complete(item.reason, Path.cwd(), env, params),
        )
        for item in found
    ]
    columns = ("artifact", "state", "version", "why")
    show(table(columns, rows, left=columns, folded=("why",)))
    click.echo(f"prices: {describe(Path.cwd(), with_source(Path.cwd(), params))}")
    for line in advice(found, env, params):
        click.echo(line)


@cli.command()
@click.argument("artifact")
@ENV
@PARAMS
def lineage(artifact: str, env: str | None, params: dict[str, Any]) -> None:
    """Show what the newest version of an artifact was made from, down to the raw files."""
    configure_logging()
    with one_line_errors(env, params), open_session(env, params) as session:
        catalog = session.load_context().catalog
        show(ancestry(catalog, artifact, Tree(artifact)))


@cli.command()
@ENV
@PARAMS
def refresh(env: str | None, params: dict[str, Any]) -> None:
    """Run the nodes whose artifacts are stale or missing, and no others."""
    configure_logging()
    env = as_last_run(env)
    with one_line_errors(env, params):
        nodes = stale_nodes(look(env, params))
        if not nodes:
            click.echo("everything is fresh")
            return
        with open_session(env, params) as session:
            session.run(pipeline_names=list(REFRESHED), node_names=nodes)


@cli.command()
@ENV
@PARAMS
def doctor(env: str | None, params: dict[str, Any]) -> None:
    """Say what this machine is like, what a training would choose on it, and what to run next.

    The exit code is 1 where something will fail.
    """
    configure_logging()
    env = as_last_run(env)
    with one_line_errors(env, params):
        statuses = look(env, params, others=True)
        with open_session(env, params) as session:
            context = session.load_context()
            found = list(examine(context.project_path, context.catalog, statuses))
    show(findings_table(found))
    for line in advice(statuses, env, params):
        click.echo(line)
    problems = [item.subject for item in found if item.state == "problem"]
    if problems:
        click.secho(f"error: {', '.join(problems)}: see above", fg="red", err=True)
        sys.exit(1)


@cli.command()
@click.option("--keep", type=click.IntRange(min=1), default=2, show_default=True, help="Newest versions that stay.")
@click.option("--delete", "act", is_flag=True, help="Remove them; without it they are only shown.")
@ENV
def prune(keep: int, act: bool, env: str | None) -> None:
    """Show or remove old versions of artifacts that no version that stays was made from."""
    configure_logging()
    with one_line_errors(env), open_session(env, {}) as session:
        context = session.load_context()
        found = find_versions(context.catalog, keep)
        size = freed([folder for item in found for folder in item.old])
        if not any(item.old for item in found):
            click.echo(f"nothing to prune: every version is among the newest {keep} of its artifact, or needed")
            return
        rows = [
            (item.artifact, len(item.newest), len(item.needed), len(item.old), freed(item.old))
            for item in found
            if item.old
        ]
        show(versions_table(rows))
        count = sum(len(item.old) for item in found)
        if not act:
            options = f" --keep={keep}" if keep != 2 else ""
            click.echo(f"{count} versions, {size_text(size)}; remove them with: kedro prune{options} --delete")
            return
        delete(found, context.project_path / LOCKS)
        click.echo(f"{count} versions removed, {size_text(size)} freed")


OPTIONS = [copy.copy(option) for option in kedro_run.params]
next(option for option in OPTIONS if option.name == "params").callback = split_params
cli.add_command(click.Command("run", params=OPTIONS, callback=run, help=run.__doc__))
cli.add_command(job)

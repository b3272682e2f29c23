"""The project's ``kedro run``: as Kedro's own, with one clear line for an error that a user can mend."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS, _split_params
from kedro.framework.context.context import KedroContextError
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io.core import DatasetError, DatasetNotFoundError
from kedro.validation.exceptions import DataValidationError, ParameterValidationError
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table
from rich.tree import Tree

from atft_pipeline.errors import AtftError, Interrupted
from atft_pipeline.hooks import FINGERPRINTS
from atft_pipeline.lineage import FileHashes
from atft_pipeline.logs import configure_logging
from atft_pipeline.pipelines.freshness import Status, ancestry, check, stale_nodes

MENDABLE = (
    AtftError,
    DataValidationError,
    ParameterValidationError,
    DatasetError,
    KedroContextError,
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
    if isinstance(error, DatasetNotFoundError | KedroContextError | OmegaConfBaseException) or (
        isinstance(error, DatasetError) and error.__cause__ is None
    ):
        return " ".join(str(error).split())
    return None


def parameter_line(message: str) -> str:
    """Rewrite Kedro's report on parameters as one line: ``parameter key: what is wrong``."""
    found = re.findall(r"Parameter '([^']+)': (?:Failed to instantiate .*? for parameter '[^']+': )?(.+)", message)
    lines = []
    for name, text in found:
        separator = "." if re.match(r"[\w.]+: ", text) else ": "
        lines.append(f"{name}{separator}{text}")
    return "parameter " + "; ".join(lines) if lines else message


def check_pipeline_names(names: list[str]) -> None:
    """Refuse a pipeline that is not registered.

    Raises:
        AtftError: with the names that are.
    """
    unknown = [name for name in names if name not in pipelines]
    if unknown:
        msg = f"no pipeline is called {', '.join(unknown)}; there are: {', '.join(sorted(pipelines))}"
        raise AtftError(msg)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Print the one line of an error that a user can mend, and leave."""
    try:
        yield
    except MENDABLE as error:
        line = one_line(error)
        if line is None:
            raise
        logging.getLogger(__name__).debug("stopped", exc_info=error)
        click.secho(f"error: {line}", fg="red", err=True)
        sys.exit(1)
    except Interrupted as stopped:
        click.secho(str(stopped), fg="yellow", err=True)
        sys.exit(130)


def run(**options: Any) -> Any:
    """Run a pipeline of this project."""
    configure_logging()
    names = [*options["pipelines"], *([options["pipeline"]] if options["pipeline"] else [])]
    options.update(pipeline=None, pipelines=names)
    callback = kedro_run.callback
    assert callback is not None
    with one_line_errors():
        check_pipeline_names(names)
        return callback(**options)


ENV = click.option("--env", "-e", default=None, help="Configuration environment, such as production.")
PARAMS = click.option("--params", default="", callback=_split_params, help="Runtime parameters, as of `kedro run`.")


@contextmanager
def open_session(env: str | None, params: dict[str, Any]) -> Iterator[KedroSession]:
    """Open a session as the class that it is; Kedro's own context manager is typed as its base class."""
    session = KedroSession.create(env=env, runtime_params=params)
    assert isinstance(session, KedroSession)
    with session:
        yield session


def look(env: str | None, params: dict[str, Any]) -> list[Status]:
    """Compare every artifact with what a run would make now."""
    with open_session(env, params) as session:
        context = session.load_context()
        everything = pipelines["__default__"] + pipelines["predict"]
        return check(everything, context.catalog, FileHashes(context.project_path / FINGERPRINTS), pipelines["update"])


@cli.command()
@ENV
@PARAMS
def status(env: str | None, params: dict[str, Any]) -> None:
    """Say of each artifact: fresh, stale (and what changed) or missing."""
    configure_logging()
    with one_line_errors():
        found = look(env, params)
    table = Table("artifact", "state", "version", "why", box=None, header_style="bold")
    colours = {"fresh": "green", "stale": "yellow", "missing": "red"}
    for item in found:
        table.add_row(item.artifact, f"[{colours[item.state]}]{item.state}[/]", item.version, item.reason)
    Console(width=max(Console().width, 110)).print(table)
    if stale_nodes(found):
        click.echo("run what is stale or missing with: kedro refresh")


@cli.command()
@click.argument("artifact")
@ENV
@PARAMS
def lineage(artifact: str, env: str | None, params: dict[str, Any]) -> None:
    """Show what the newest version of an artifact was made from, down to the raw files."""
    configure_logging()
    with one_line_errors(), open_session(env, params) as session:
        catalog = session.load_context().catalog
        Console(width=max(Console().width, 110)).print(ancestry(catalog, artifact, Tree(artifact)))


@cli.command()
@ENV
@PARAMS
def refresh(env: str | None, params: dict[str, Any]) -> None:
    """Run the nodes whose artifacts are stale or missing, and no others."""
    configure_logging()
    with one_line_errors():
        nodes = stale_nodes(look(env, params))
        if not nodes:
            click.echo("everything is fresh")
            return
        with open_session(env, params) as session:
            session.run(pipeline_names=["__default__", "predict"], node_names=nodes)


cli.add_command(click.Command("run", params=kedro_run.params, callback=run, help=run.__doc__))

"""The project's ``kedro run``: as Kedro's own, with one clear line for an error that a user can mend."""

import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.context.context import KedroContextError
from kedro.framework.project import pipelines
from kedro.io.core import DatasetError, DatasetNotFoundError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import OmegaConfBaseException

from atft_pipeline.errors import AtftError
from atft_pipeline.logs import configure_logging

MENDABLE = (AtftError, ParameterValidationError, DatasetError, KedroContextError, OmegaConfBaseException)


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


def run(**options: Any) -> Any:
    """Run a pipeline of this project."""
    configure_logging()
    names = [*options["pipelines"], *([options["pipeline"]] if options["pipeline"] else [])]
    options.update(pipeline=None, pipelines=names)
    callback = kedro_run.callback
    assert callback is not None
    try:
        check_pipeline_names(names)
        return callback(**options)
    except MENDABLE as error:
        line = one_line(error)
        if line is None:
            raise
        logging.getLogger(__name__).debug("stopped", exc_info=error)
        click.secho(f"error: {line}", fg="red", err=True)
        sys.exit(1)


cli.add_command(click.Command("run", params=kedro_run.params, callback=run, help=run.__doc__))

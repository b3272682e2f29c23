"""Locks between processes of one machine; the system lets go of them when the process ends, however it ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock of a file, waiting for whoever has it; a process that dies lets go of it.

    Args:
        path: of the lock's own file, which is made and stays.
    """
    with path.open("a", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


class Lock:
    """A lock on whatever a file stands for.

    The system lets go of it when the process is gone: nothing that a killed run left keeps others waiting.

    Args:
        path: of the file, which is there while somebody holds the lock, or was killed holding it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None

    def claim(self, purpose: str) -> str | None:
        """Take the lock without waiting.

        Args:
            purpose: what others are told.

        Returns:
            ``None`` once it is held, or what its holder does.
        """
        if self._handle is not None:
            return None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                told = os.pread(handle, 1000, 0).decode("utf-8", "replace")
                os.close(handle)
                return told or "another process"
            # Whoever held it before removes the file when it lets go: the lock is that of the file under the name.
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == os.fstat(handle).st_ino:
                    break
            os.close(handle)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} ({purpose})".encode(), 0)
        self._handle = handle
        return None

    def release(self) -> None:
        """Let go of it; without effect where it is not held."""
        if self._handle is not None:
            self._path.unlink(missing_ok=True)
            # Forgotten first: a signal may end the process between any two of these lines.
            handle, self._handle = self._handle, None
            os.close(handle)

    def __del__(self) -> None:
        """Let go of it with the object."""
        self.release()

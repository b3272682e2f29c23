"""Files that appear complete or not at all: temporary names, what killed runs left, one line where a disk refuses."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from atft_pipeline.errors import ArtifactError

# `.<name>.<process>.partial`
TEMPORARY = re.compile(r"\..+\.(\d+)\.partial")
# Libraries written in Rust tell the system's error in their message alone.
RUST = re.compile(r"\(os error (\d+)\)")
UNEXPLAINED = "thrift: transport error"
REFUSED = {
    errno.ENOSPC: "make room there and run again",
    errno.EDQUOT: "make room there and run again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and run again",
    errno.EROFS: "it must be a folder that this user may write",
    errno.EACCES: "it must be a folder that this user may write",
    errno.EPERM: "it must be a folder that this user may write",
    errno.EIO: "is the disk full or broken, or the size of files limited (ulimit -f)? Mend that and run again",
    errno.ENOTDIR: "a file lies where a folder must be: move it away and run again",
    errno.ENOENT: "a file that it is made from is gone: run the stage before it again",
    errno.EEXIST: "a file lies where a folder must be: move it away and run again",
}
"""What to do when the system refuses to write, by its error."""


def temporary_name(final: Path) -> Path:
    """Name beside ``final`` under which this process writes it."""
    return final.with_name(f".{final.name}.{os.getpid()}.partial")


@contextmanager
def atomic(final: Path) -> Iterator[Path]:
    """Write a file or a folder that others see complete or not at all.

    The block writes to the path that it is given. At its end that is flushed to the disk and renamed to ``final``,
    whatever lay there before; after an error nothing of it is left.
    """
    temporary = temporary_name(final)
    try:
        yield temporary
        for path in [temporary] if temporary.is_file() else sorted(temporary.rglob("*")):
            if path.is_file():
                _flush(path)
        # A folder cannot be renamed over another one.
        if temporary.is_dir() or final.is_dir():
            remove(final)
        temporary.replace(final)
        _flush(final.parent)
    except BaseException:
        remove(temporary)
        raise


def _flush(path: Path) -> None:
    """Wait until the disk holds a file, or a folder's names: a power cut may leave a name without its bytes."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif path.is_symlink() or path.exists():
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> bool:
    """Remove what earlier processes that were killed left half-written in a folder; call it before writing there.

    Returns:
        Whether there was anything.
    """
    named = [(path, TEMPORARY.fullmatch(path.name)) for path in folder.glob(".*")]
    left = [path for path, found in named if found is not None and not _lives(int(found[1]))]
    for path in left:
        remove(path)
    return bool(left)


def _lives(process: int) -> bool:
    """Whether another process has this number; a container gives each run the same one, so our own counts as past."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def saving(what: str, path: Path, errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turn the system's refusal to write into one line.

    Args:
        what: is being saved, for the line.
        path: where.
        errors: that libraries raise in place of an ``OSError``.

    Raises:
        ArtifactError: with what, where, the cause and what to do.
    """
    caught: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except caught as error:
        number = refusal(error)
        if number is None:
            raise
        place = (error.filename if isinstance(error, OSError) and number == errno.ENOENT else None) or path
        msg = f"{what} cannot be saved: {os.strerror(number).lower()} ({place}); {REFUSED[number]}"
        raise ArtifactError(msg) from error


def refusal(error: Exception) -> int | None:
    """Number of the system's error where it refuses to write, ``None`` for any other error."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        found = RUST.search(str(error))
        # Parquet's last bytes are written by a library that does not tell why it failed.
        number = int(found[1]) if found is not None else errno.EIO if UNEXPLAINED in str(error) else None
    return number if number in REFUSED else None

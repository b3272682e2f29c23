"""What an artifact was made from: fingerprints of contents, parameters and code."""

import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from atft_pipeline.files import refusal, replace_text, sweep

DIGEST_BYTES = 16
CHECKSUM = "checksum"
SETTLED = 2_000_000_000
"""Nanoseconds after which a file's time of change tells it from what it was before."""
UNCHANGED: dict[tuple[int, int, int, int], str] = {}
"""Hashes of files by device, inode, size and time of change."""


def hash_bytes(chunks: Iterable[bytes | memoryview]) -> str:
    """Hash a sequence of byte chunks to a hex fingerprint of 32 digits (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """Hash plain JSON types independent of key order."""
    return hash_bytes([json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()])


def with_checksum(document: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON types as they will be read, lists for tuples, with a hash of themselves."""
    content: dict[str, Any] = json.loads(json.dumps(document))
    return {**content, CHECKSUM: hash_json(content)}


def take_checksum(document: dict[str, Any]) -> bool:
    """Take the checksum out of a document; whether it fits, or none was written with it."""
    checksum = document.pop(CHECKSUM, None)
    return checksum is None or checksum == hash_json(document)


def hash_file(path: Path, chunk_bytes: int = 1 << 20) -> str:
    """Hash the contents of one file."""
    with path.open("rb") as stream:
        return hash_bytes(iter(lambda: stream.read(chunk_bytes), b""))


def hash_unchanged(path: Path) -> str:
    """Hash a file once a process: what a run saves it reads again, and an update links the months that stay."""
    stat = path.stat()
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in UNCHANGED:
        digest = hash_file(path)
        # Two writes shortly one after the other may bear the same time.
        if time.time_ns() - stat.st_mtime_ns < SETTLED:
            return digest
        UNCHANGED[key] = digest
    return UNCHANGED[key]


def hash_index(dates: Iterable[str], listings: Iterable[str]) -> str:
    """Hash the two axes of a panel: ISO dates and listing names, both in order."""
    return hash_json([list(dates), list(listings)])


# Numbers by which an unchanged file is known: size, times of change, inode.
STATE = 4


def _remembered(memory: Path) -> dict[str, list[Any]]:
    """Read remembered hashes; those that are damaged are made anew."""
    try:
        known = json.loads(memory.read_text(encoding="utf-8")).items()
        found = {str(key): [*(int(number) for number in state), str(digest)] for key, (*state, digest) in known}
        # One that was remembered by less is made anew.
        return {key: entry for key, entry in found.items() if len(entry) == STATE + 1}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


class FileHashes:
    """Content hashes of raw files, remembered by path, size, inode and times of change.

    The time of the inode's last change cannot be set back: a file that was rewritten with equal size and time of
    change is read again.

    Args:
        memory: JSON file that remembers; ``None`` hashes afresh every time.
    """

    def __init__(self, memory: Path | None) -> None:
        self._memory = memory
        self._known: dict[str, list[Any]] = {}
        if memory is not None:
            self._known = _remembered(memory)

    def of(self, path: Path) -> str:
        """Hash of a file, or of all files of a folder with their relative names."""
        files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
        return hash_json([[str(found.relative_to(path)), self._one(found)] for found in files])

    def save(self) -> None:
        """Remember for the next time; where the disk refuses, the next time hashes again."""
        if self._memory is None:
            return
        try:
            self._memory.parent.mkdir(parents=True, exist_ok=True)
            sweep(self._memory.parent)
            replace_text(self._memory, json.dumps(self._known))
        except OSError as error:
            if refusal(error) is None:
                raise

    def _one(self, path: Path) -> str:
        stat = path.stat()
        key, state = str(path.resolve()), [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
        known = self._known.get(key)
        if known is None or known[:-1] != state:
            known = [*state, hash_file(path)]
            self._known[key] = known
        return str(known[-1])

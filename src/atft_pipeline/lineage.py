"""What an artifact was made from: fingerprints of contents, parameters and code."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

DIGEST_BYTES = 16


def hash_bytes(chunks: Iterable[bytes | memoryview]) -> str:
    """Hash a sequence of byte chunks to a hex fingerprint of 32 digits (BLAKE2b)."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """Hash plain JSON types independent of key order."""
    return hash_bytes([json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()])


def hash_file(path: Path, chunk_bytes: int = 1 << 20) -> str:
    """Hash the contents of one file."""
    with path.open("rb") as stream:
        return hash_bytes(iter(lambda: stream.read(chunk_bytes), b""))


def hash_index(dates: Iterable[str], listings: Iterable[str]) -> str:
    """Hash the two axes of a panel: ISO dates and listing names, both in order."""
    return hash_json([list(dates), list(listings)])

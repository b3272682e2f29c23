"""What a version held when it was saved: sizes and hashes, so that damage is seen before anything is read."""

import json
from pathlib import Path
from typing import Any

from atft_pipeline.files import replace_text
from atft_pipeline.lineage import hash_bytes, hash_unchanged

CONTENTS = "contents.json"
LINEAGE = "lineage.json"  # written beside a version that is complete
END_BYTES = 1 << 22
FORMAT = 1


def describe(path: Path, whole: bool) -> dict[str, list[Any]]:
    """Size and hash of each file of an artifact by its relative name; ``.`` is the artifact itself.

    Args:
        path: file or folder.
        whole: hash all bytes; else those of both ends, for what is mapped and not read.
    """
    files = [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file())
    return {found.relative_to(path).as_posix(): [found.stat().st_size, digest_of(found, whole)] for found in files}


def digest_of(path: Path, whole: bool) -> str:
    """Hash a file: all of it, once a process while it stays as it is, or its ends."""
    return hash_unchanged(path) if whole else hash_ends(path)


def hash_ends(path: Path) -> str:
    """Hash the first and last 4 MiB of a file."""
    with path.open("rb") as stream:
        first = stream.read(END_BYTES)
        stream.seek(max(path.stat().st_size - END_BYTES, 0))
        return hash_bytes([first, stream.read(END_BYTES)])


def write_contents(artifact: Path, folder: Path, whole: bool) -> None:
    """Write the description of an artifact, still under its temporary name, into the folder of its version."""
    files = describe(artifact, whole)
    document = {"format": FORMAT, "whole": whole, "folder": artifact.is_dir(), "files": files}
    replace_text(folder / CONTENTS, json.dumps(document, indent=2) + "\n")


def damage(artifact: Path) -> str:
    """Say in what an artifact differs from what was saved; empty where it does not, or where nothing was recorded."""
    record = artifact.with_name(CONTENTS)
    if not record.exists():
        return ""
    try:
        document: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
        folder, whole = bool(document["folder"]), bool(document["whole"])
        known = {str(name): (int(size), str(digest)) for name, (size, digest) in document["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{CONTENTS}, which tells what it held, cannot be read ({type(error).__name__})"
    if artifact.is_dir() != folder:
        return "it is a file, not a folder" if folder else "it is a folder, not a file"
    differing = (difference(artifact / name, size, digest, whole) for name, (size, digest) in known.items())
    return next(filter(None, differing), "")


def difference(path: Path, size: int, digest: str, whole: bool) -> str:
    """Say in what a file differs from its recorded size and hash; empty where it does not."""
    if not path.is_file():
        return f"{path.name} is missing or no file"
    if (held := path.stat().st_size) != size:
        return f"{path.name} holds {held:,} bytes, {size:,} were saved"
    if digest_of(path, whole) != digest:
        return f"{path.name} holds other bytes than were saved"
    return ""

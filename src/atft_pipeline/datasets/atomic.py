"""Base of all versioned artifacts: a version exists from the moment that it is complete, and not before.

Kedro counts a version as saved as soon as its path exists. Here every save goes to a temporary name in the version's
folder and is renamed at the end, so that a save that was killed leaves nothing that a later run would load.
"""

import os
import shutil
from abc import abstractmethod
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar

from kedro.io import AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError

from atft_pipeline.errors import ArtifactError

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


def commit(temporary: Path, final: Path) -> None:
    """Flush ``temporary`` (a file or a folder) to the disk and rename it to ``final`` in one step."""
    for path in [temporary] if temporary.is_file() else sorted(temporary.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    temporary.rename(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(path: Path) -> None:
    """Remove a file or folder if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class AtomicDataset(AbstractVersionedDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """A versioned dataset that saves under a temporary name, then renames.

    Subclasses write to and read from one path, a file or a folder.

    Args:
        filepath: where the artifact lies; a version is ``filepath/<version>/<name>``.
        version: Kedro's version; ``None`` for an artifact without versions, which is replaced by each save.
        metadata: anything that plugins want to keep with the dataset, such as kedro-viz's layer.
    """

    def __init__(self, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(PurePosixPath(filepath), version)
        self.metadata = metadata

    @abstractmethod
    def write(self, path: Path, data: Saved) -> None:
        """Write ``data`` to ``path``, which does not exist yet."""

    @abstractmethod
    def read(self, path: Path) -> Loaded:
        """Read the artifact from ``path``, which exists."""

    def save(self, data: Saved) -> None:
        """Write the artifact; an interrupted save leaves no version behind."""
        final = Path(self._get_save_path())
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{os.getpid()}.partial")
        remove(temporary)
        try:
            self.write(temporary, data)
        except BaseException:
            remove(temporary)
            if not any(final.parent.iterdir()) and self._version:
                final.parent.rmdir()
            raise
        if final.exists() and self._version is None:
            remove(final)
        commit(temporary, final)

    def load(self) -> Loaded:
        """Read the newest version, or the one that was asked for.

        Raises:
            ArtifactError: there is no such version.
        """
        path = Path(self._get_load_path())
        if not path.exists():
            known = ", ".join(self.list_versions(full_path=False)[:5]) if self._version else ""
            hint = f"; saved versions: {known}" if known else ""
            msg = f"{path} does not exist{hint}"
            raise ArtifactError(msg)
        return self.read(path)

    def location(self) -> Path:
        """Path of the version that :meth:`load` would read."""
        return Path(self._get_load_path())

    def saved_folder(self) -> Path | None:
        """Folder of the version that this run saves, ``None`` for an artifact without versions."""
        if self._version is None:
            return None
        return Path(self._get_versioned_path(str(self.resolve_save_version()))).parent

    @property
    def place(self) -> str:
        """Where the artifact lies, for messages."""
        return str(self._filepath)

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).exists()
        except VersionNotFoundError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}

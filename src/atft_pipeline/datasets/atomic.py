"""Base of all versioned artifacts: a version exists from the moment that it is complete, and not before.

Kedro counts a version as saved as soon as its path exists. Here every save goes to a temporary name in the version's
folder and is renamed at the end, so that a save that was killed leaves nothing that a later run would load.
"""

import logging
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Generic, TypeVar

import polars as pl
import pyarrow as pa
from kedro.io import AbstractVersionedDataset, Version
from kedro.io.core import VersionNotFoundError

from atft_pipeline.datasets.contents import CONTENTS, LINEAGE, damage, write_contents
from atft_pipeline.datasets.remedy import make_again
from atft_pipeline.errors import ArtifactError, AtftError
from atft_pipeline.files import atomic, remove, saving, sweep

# What the libraries raise at a file that is not what they wrote; a flipped bit may end in any of them.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, pl.exceptions.PolarsError, pa.ArrowException)
WARNED: set[Path] = set()  # artifacts that are gone and were warned of, once a process
LOOKED_AT = 3  # older versions, the newest first, among which a sound one is looked for to name in the message

log = logging.getLogger(__name__)

VERSION_FORMAT = "%Y-%m-%dT%H.%M.%S.%fZ"

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")


def remove_incomplete(folder: Path) -> None:
    """Remove the folder of a version that holds nothing but the description of what was never completed."""
    if folder.is_dir() and not {path.name for path in folder.iterdir()} - {CONTENTS}:
        remove(folder)


def later_version(asked: str, newest: str) -> str:
    """Name of a version that sorts behind the newest one, although the clock was ahead when that one was saved."""
    try:
        names = [datetime.strptime(name, VERSION_FORMAT) for name in (asked, newest)]
        if names[0] > names[1]:
            return asked
        behind = names[1] + timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        return asked
    return f"{behind:%Y-%m-%dT%H.%M.%S}.{behind.microsecond // 1000:03d}Z"


class AtomicDataset(AbstractVersionedDataset[Saved, Loaded], Generic[Saved, Loaded]):
    """A versioned dataset that saves under a temporary name, then renames.

    Subclasses write to and read from one path, a file or a folder.

    Args:
        filepath: where the artifact lies; a version is ``filepath/<version>/<name>``.
        version: Kedro's version; ``None`` for an artifact without versions, which is replaced by each save.
        metadata: anything that plugins want to keep with the dataset, such as kedro-viz's layer.

    Attributes:
        name: in the catalog, for messages; a run sets it.
        hashed: all bytes are hashed at each save and load; else both ends of a file that is mapped.
    """

    hashed: ClassVar[bool] = True

    def __init__(self, filepath: str, version: Version | None = None, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(PurePosixPath(filepath), version)
        self.metadata = metadata
        self.name = Path(filepath).stem
        # Version that this object saved, and the name that it chose for the one it was asked to save.
        self._saved: str | None = None
        self._named: tuple[str, str] | None = None

    @abstractmethod
    def write(self, path: Path, data: Saved) -> None:
        """Write ``data`` to ``path``, which does not exist yet."""

    @abstractmethod
    def read(self, path: Path) -> Loaded:
        """Read the artifact from ``path``, which exists."""

    def save(self, data: Saved) -> None:
        """Write the artifact; an interrupted save leaves no version behind.

        Raises:
            ArtifactError: the system refuses to write.
        """
        final = Path(self._get_save_path())
        with saving(self.name, final, (pl.exceptions.PolarsError,)):
            self._sweep()
            final.parent.mkdir(parents=True, exist_ok=True)
            try:
                with atomic(final) as temporary:
                    self.write(temporary, data)
                    if self._version is not None:
                        write_contents(temporary, final.parent, self.hashed)
            except BaseException:
                if self._version is not None:
                    remove_incomplete(final.parent)
                raise
        self._saved = self.resolve_save_version()

    def resolve_load_version(self) -> str | None:
        """The version that was asked for, else the one that this object saved, else the newest at the first look.

        Whatever other runs save meanwhile, a run goes on with what it began with.
        """
        if self._version and not self._version.load and self._saved:
            return self._saved
        found: str | None = super().resolve_load_version()
        if found is not None and self._version is not None and not self._version.load:
            self._warn_of_lost(found)
        return found

    def _warn_of_lost(self, newest: str) -> None:
        """Warn of later versions that were saved and whose artifact is gone: an older one is read."""
        root = Path(str(self._filepath))
        lost = sorted(
            record.parent.name
            for record in root.glob(f"*/{CONTENTS}")
            if record.parent.name > newest
            and record.with_name(LINEAGE).exists()
            and not record.with_name(root.name).exists()
        )
        gone = root / lost[-1] / root.name if lost else None
        if gone is not None and gone not in WARNED:
            WARNED.add(gone)
            line = "%s %s was saved and is gone (%s): the older version %s is read; %s"
            log.warning(line, self.name, lost[-1], gone, newest, make_again(self.name))

    def resolve_save_version(self) -> str | None:
        """The version of this run; behind the newest one where the clock was ahead when that one was saved."""
        asked: str | None = super().resolve_save_version()
        if asked is None or (self._named is not None and self._named[0] == asked):
            return self._named[1] if asked is not None and self._named is not None else None
        newest = max(self.list_versions(full_path=False), default="")
        chosen = later_version(asked, newest) if newest > asked else asked
        if chosen != asked:
            log.warning("%s: version %s lies in the future; this one is saved as %s", self.shown_path, newest, chosen)
        self._named = asked, chosen
        return chosen

    def load(self) -> Loaded:
        """Read the newest version, or the one that was asked for.

        Raises:
            ArtifactError: there is no such version, or it is damaged.
        """
        path = Path(self._get_load_path())
        if not path.exists():
            known = ", ".join(self.list_versions(full_path=False)[:5]) if self._version else ""
            hint = f"; saved versions: {known}" if known else ""
            msg = f"{path} does not exist{hint}"
            raise ArtifactError(msg)
        with self.reading(path):
            return self.read(path)

    @contextmanager
    def reading(self, path: Path) -> Iterator[None]:
        """Check that a version is as it was saved, then read it in the block; what a reader raises becomes one line.

        Raises:
            ArtifactError: with the version, what is wrong, the command that makes it again, and an older version.
        """
        try:
            if found := damage(path):
                raise ArtifactError(self._damaged(path, found))
            yield
        except AtftError:
            raise
        except UNREADABLE as error:
            told = " ".join(str(error).split())[:120]
            raise ArtifactError(self._damaged(path, f"{type(error).__name__}: {told}")) from error

    def _damaged(self, path: Path, reason: str) -> str:
        version = path.parent.name if self._version else ""
        what = " ".join(filter(None, [self.name, version]))
        line = f"{what} is damaged: {reason} ({path}); {make_again(self.name)}"
        others = [found for found in self.list_versions(full_path=False) if found != version] if version else []
        sound = (found for found in others[:LOOKED_AT] if not damage(Path(self._get_versioned_path(found))))
        older = next(sound, None)
        return f"{line}, or read an older one with: --load-versions={self.name}:{older}" if older else line

    def _sweep(self) -> None:
        """Remove what killed runs left of this artifact, in the folders of all versions."""
        root = Path(str(self._filepath))
        for folder in root.glob("*/") if self._version is not None else [root.parent]:
            # The empty folder of a run that is about to write is left alone.
            if sweep(folder) and self._version is not None:
                remove_incomplete(folder)

    def location(self) -> Path:
        """Path of the version that :meth:`load` would read."""
        return Path(self._get_load_path())

    def saved_folder(self) -> Path | None:
        """Folder of the version that this run saves, ``None`` for an artifact without versions."""
        if self._version is None:
            return None
        return Path(self._get_versioned_path(str(self.resolve_save_version()))).parent

    def folder_of(self, version: str) -> Path:
        """Folder of a version, which may be gone."""
        return Path(self._get_versioned_path(version)).parent

    @property
    def shown_path(self) -> str:
        """Where the artifact lies, for messages."""
        return str(self._filepath)

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).exists()
        except VersionNotFoundError:
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}

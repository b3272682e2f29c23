"""Raw inputs that the project reads but does not own."""

from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset, DatasetError

from atft_pipeline.datasets.contents import damage
from atft_pipeline.datasets.remedy import make_again
from atft_pipeline.errors import ArtifactError
from atft_pipeline.files import saving

Loaded = TypeVar("Loaded")
ENDINGS = (".parquet", ".csv", ".csv.gz", ".xlsx")


def newest(path: Path) -> Path:
    """Resolve Kedro's version layout (``name/<version>/name``) to the newest version; leave other paths alone."""
    versions = sorted(found for found in path.glob(f"*/{path.name}") if not found.parent.name.startswith("."))
    return versions[-1] if versions else path


class ReadOnlyDataset(AbstractDataset[Any, Loaded]):
    """What nodes read, and write themselves if at all: a node's output is refused."""

    def save(self, data: Any) -> None:
        """Refuse.

        Raises:
            DatasetError: always.
        """
        msg = f"{self._describe()} is read only: no node may give it as its output, got {type(data).__name__}"
        raise DatasetError(msg)

    def _exists(self) -> bool:
        return True


class RawPathDataset(ReadOnlyDataset[Path | None]):
    """The path of a raw input: a file, a folder, or an artifact of this project with versions.

    Args:
        filepath: the path; ``None`` means: look for ``sibling`` in ``beside``, then in the folder where that lies.
        beside: path of the prices that this table belongs to.
        sibling: file name to look for; its other endings, such as .csv, are looked for too.
        optional: an absent input loads as ``None`` instead of raising.
        metadata: anything that plugins want to keep with the dataset, such as kedro-viz's layer.
    """

    def __init__(
        self,
        filepath: str | int | None,
        beside: str | int | None = None,
        sibling: str | None = None,
        optional: bool = False,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        # A folder named 2024 comes as a number.
        self._given = str(filepath) if isinstance(filepath, int) else filepath
        self._beside = str(beside) if isinstance(beside, int) else beside
        self._sibling = sibling
        self._optional = optional
        self.metadata = metadata

    def resolve(self) -> Path | None:
        """Find the path, or ``None`` where the input is absent."""
        if self._given is not None:
            path = Path(self._given).expanduser()
        elif self._beside is not None and self._sibling is not None:
            return self._look()
        else:
            return None
        return newest(path) if path.exists() else None

    def _look(self) -> Path | None:
        """Find the table inside the prices' folder or beside the prices."""
        prices, sibling = Path(str(self._beside)).expanduser(), Path(str(self._sibling))
        for folder in (prices, prices.parent):
            if not folder.is_dir():
                continue
            # Excel on Windows writes Listings.CSV as readily as listings.csv.
            there = {path.name.casefold(): path for path in sorted(folder.iterdir(), reverse=True)}
            for ending in (sibling.suffix, *ENDINGS):
                if f"{sibling.stem}{ending}" in there:
                    return newest(there[f"{sibling.stem}{ending}"])
        return None

    def load(self) -> Path | None:
        """Return the path.

        Raises:
            ArtifactError: the input was named, or is needed, and does not exist; or it is an artifact that is damaged.
        """
        path = self.resolve()
        if path is None and (self._given is not None or not self._optional):
            what = Path(self._sibling).stem if self._sibling is not None else "prices"
            msg = f"{self._given or f'raw {what}'}: no such file or folder; pass --params {what}=<file or folder>"
            raise ArtifactError(msg)
        if path is not None and (found := damage(path)):
            msg = f"{path.stem} {path.parent.name} is damaged: {found} ({path}); {make_again(path.stem)}"
            raise ArtifactError(msg)
        return path

    def _exists(self) -> bool:
        return self._optional or self.resolve() is not None

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._given, "beside": self._beside, "sibling": self._sibling}

    @property
    def shown_path(self) -> str:
        """The path as it was asked for, for messages."""
        return str(self._given or self._beside)


class FolderDataset(ReadOnlyDataset[Path]):
    """A working folder that outlives a run, such as the one of unfinished training.

    Args:
        filepath: the folder; it is made when it is first asked for.
        metadata: anything that plugins want to keep with the dataset, such as kedro-viz's layer.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder.

        Raises:
            ArtifactError: it cannot be made.
        """
        with saving(self._filepath.name, self._filepath):
            self._filepath.mkdir(parents=True, exist_ok=True)
        return self._filepath

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

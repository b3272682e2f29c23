"""The storage of a search: where it lies, with the password kept out of parameters and logs."""

from typing import Any

from kedro.io import DatasetError

from atft_pipeline.datasets.raw import ReadOnlyDataset


class StudyStorageDataset(ReadOnlyDataset[str]):
    """Loads as the address of an Optuna storage: that of the credentials, else a SQLite file.

    Args:
        filepath: SQLite file for a search without credentials.
        credentials: ``{url: postgresql+psycopg://user:password@host:port/database}`` or empty.
        metadata: anything that plugins want to keep with the dataset, such as kedro-viz's layer.
    """

    def __init__(
        self, filepath: str, credentials: dict[str, str] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = filepath
        self.metadata = metadata
        # Nothing of what was given is repeated: an address put in the wrong place is a secret too.
        given = credentials or {}
        if not isinstance(given, dict) or set(given) - {"url"} or not isinstance(given.get("url") or "", str):
            msg = "credentials hpo_storage: it takes one key, url, with the address as text"
            raise DatasetError(msg)
        self._url = given.get("url")

    def load(self) -> str:
        """Return the address."""
        return self._url or f"sqlite:///{self._filepath}"

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "credentials": "given" if self._url else "none"}

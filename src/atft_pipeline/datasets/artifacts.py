"""The large artifacts: a node writes them into the working folder, their dataset moves them to their place.

Nothing of the size of the market has to lie in memory between a node and its dataset, and what is loaded is a handle
that maps.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from kedro_datasets._typing import JSONPreview, TablePreview

from atft_pipeline.datasets.atomic import AtomicDataset, Loaded
from atft_pipeline.datasets.previews import ROWS, newest_day, newest_month, table
from atft_pipeline.files import remove, saving, sweep, temporary_name

if TYPE_CHECKING:  # a command that reads neither loads no torch
    from atft_pipeline.graphs.graphs import MonthlyGraphs
    from atft_pipeline.panel.panel import Panel


@contextmanager
def draft(workspace: Path, name: str) -> Iterator[Path]:
    """Give a node a path in the working folder to write an artifact to; after an error nothing of it is left.

    Args:
        workspace: the working folder; it lies on the file system of the artifacts, so that a move copies nothing.
        name: of the artifact, for the path and for messages.

    Raises:
        ArtifactError: the system refuses to write.
    """
    # A folder an artifact: runs that make different ones at the same time do not sweep each other's drafts.
    path = temporary_name(workspace / name / name)
    with saving(name, path, (pl.exceptions.PolarsError,)):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        try:
            yield path
        except BaseException:
            remove(path)
            raise


class MovedDataset(AtomicDataset[Path, Loaded]):
    """An artifact that a node wrote as a draft."""

    def save(self, data: Path) -> None:
        """Store the draft; where that fails, nothing of it is left either.

        Raises:
            ArtifactError: the system refuses to write.
        """
        try:
            super().save(data)
        finally:
            remove(data)

    def write(self, path: Path, data: Path) -> None:
        """Move the draft, a file or a folder."""
        shutil.move(data, path)


class FeaturesDataset(MovedDataset[Path]):
    """The feature table: a folder with one Parquet file a month and ``features.json``; loads as its path."""

    def read(self, path: Path) -> Path:
        """Return the folder."""
        return path

    def preview(self) -> TablePreview:
        """First rows of the newest month, as kedro-viz shows them."""
        return table(pl.scan_parquet(max(self.location().glob("*.parquet"))).head(ROWS).collect())


class PanelDataset(MovedDataset["Panel"]):
    """The panel: one Arrow IPC file; loads as a memory map, nothing is copied and not all is read."""

    hashed = False

    def read(self, path: Path) -> Panel:
        """Map the file."""
        from atft_pipeline.panel.panel import Panel  # noqa: PLC0415

        return Panel.open(path)

    def preview(self) -> TablePreview:
        """The newest day, as kedro-viz shows it."""
        return newest_day(self.read(self.location()))


class GraphsDataset(MovedDataset["MonthlyGraphs"]):
    """The graphs of all months: one Arrow IPC file; loads as a memory map."""

    def read(self, path: Path) -> MonthlyGraphs:
        """Map the file."""
        from atft_pipeline.graphs.graphs import MonthlyGraphs  # noqa: PLC0415

        return MonthlyGraphs.open(path)

    def preview(self) -> TablePreview:
        """The newest month, as kedro-viz shows it."""
        return newest_month(self.read(self.location()))


class ModelDataset(AtomicDataset[Path, Path]):
    """A trained model: a folder with ``model.safetensors`` and ``model.json``; saved from and loaded as a folder."""

    def write(self, path: Path, data: Path) -> None:
        """Copy the checkpoint's folder, which a later training may continue."""
        shutil.copytree(data, path)

    def read(self, path: Path) -> Path:
        """Return the folder."""
        return path

    def preview(self) -> JSONPreview:
        """Parameters and inputs of the model, as kedro-viz shows them; where it comes from tells the run card."""
        written = json.loads((self.location() / "model.json").read_text(encoding="utf-8"))
        return JSONPreview(json.dumps({name: written[name] for name in written if name != "origin"}))

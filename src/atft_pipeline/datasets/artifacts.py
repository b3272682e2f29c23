"""The large artifacts: what is saved is a function that writes, what is loaded is a handle that maps.

A node returns a :data:`Write`, a function of the path; the dataset calls it with a temporary name. Nothing of the size
of the market has to lie in memory between a node and its dataset.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.panel.panel import Panel

Write: TypeAlias = Callable[[Path], object]


class FeaturesDataset(AtomicDataset[Write, Path]):
    """The feature table: a folder with one Parquet file a month and ``features.json``; loads as its path."""

    def write(self, path: Path, data: Write) -> None:
        """Let the function fill a new folder."""
        path.mkdir()
        data(path)

    def read(self, path: Path) -> Path:
        """Return the folder."""
        return path


class PanelDataset(AtomicDataset[Write, Panel]):
    """The panel: one Arrow IPC file; loads as a memory map, nothing is copied and not all is read."""

    hashed = False

    def write(self, path: Path, data: Write) -> None:
        """Let the function write the file."""
        data(path)

    def read(self, path: Path) -> Panel:
        """Map the file."""
        return Panel.open(path)


class GraphsDataset(AtomicDataset[Write, MonthlyGraphs]):
    """The graphs of all months: one Arrow IPC file; loads as a memory map."""

    def write(self, path: Path, data: Write) -> None:
        """Let the function write the file."""
        data(path)

    def read(self, path: Path) -> MonthlyGraphs:
        """Map the file."""
        return MonthlyGraphs.open(path)


class ModelDataset(AtomicDataset[Path, Path]):
    """A trained model: a folder with ``model.safetensors`` and ``model.json``; saved from and loaded as a folder."""

    def write(self, path: Path, data: Path) -> None:
        """Copy the checkpoint's folder."""
        shutil.copytree(data, path)

    def read(self, path: Path) -> Path:
        """Return the folder."""
        return path

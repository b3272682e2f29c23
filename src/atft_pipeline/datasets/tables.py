"""Tables and small documents: Parquet frames, JSON, HTML, plots."""

import json
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import plotly.io
import polars as pl
from kedro.io import Version
from kedro_datasets._typing import HTMLPreview, JSONPreview, PlotlyPreview, TablePreview

from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.datasets.previews import ROWS, page, table


class FrameDataset(AtomicDataset[pl.DataFrame, pl.DataFrame]):
    """A Polars frame as one Parquet file (zstd).

    Args:
        filepath: where the artifact lies.
        version: Kedro's version.
        metadata: anything that plugins want to keep with the dataset.
        compression_level: of zstd, 1 (fast) to 22 (small).
    """

    def __init__(
        self,
        filepath: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
        compression_level: int = 3,
    ) -> None:
        super().__init__(filepath, version, metadata)
        self._compression_level = compression_level

    def write(self, path: Path, data: pl.DataFrame) -> None:
        """Write the frame."""
        data.write_parquet(path, compression="zstd", compression_level=self._compression_level, statistics=True)

    def read(self, path: Path) -> pl.DataFrame:
        """Read the frame; columns are mapped into memory where the file allows it."""
        return pl.read_parquet(path)

    def preview(self) -> TablePreview:
        """First rows, as kedro-viz shows them."""
        return table(pl.scan_parquet(self.location()).head(ROWS).collect())


class JsonDataset(AtomicDataset[Any, Any]):
    """Plain JSON types as one readable file."""

    def write(self, path: Path, data: Any) -> None:
        """Write the value with sorted nesting kept as given; NaN is refused, since JSON has none."""
        path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")

    def read(self, path: Path) -> Any:
        """Read the value."""
        return json.loads(path.read_text(encoding="utf-8"))

    def preview(self) -> JSONPreview:
        """The document, as kedro-viz shows it."""
        return JSONPreview(self.location().read_text(encoding="utf-8"))


class TextDataset(AtomicDataset[str, str]):
    """Text, such as an HTML page, as one file."""

    def write(self, path: Path, data: str) -> None:
        """Write the text."""
        path.write_text(data, encoding="utf-8")

    def read(self, path: Path) -> str:
        """Read the text."""
        return path.read_text(encoding="utf-8")

    def preview(self) -> HTMLPreview:
        """The text and tables of a page, as kedro-viz shows them."""
        return page(self.location().read_text(encoding="utf-8"))


class FigureDataset(AtomicDataset[go.Figure, go.Figure]):
    """A Plotly figure as JSON, which kedro-viz draws."""

    def write(self, path: Path, data: go.Figure) -> None:
        """Write the figure."""
        path.write_text(plotly.io.to_json(data), encoding="utf-8")

    def read(self, path: Path) -> go.Figure:
        """Read the figure."""
        return plotly.io.from_json(path.read_text(encoding="utf-8"))

    def preview(self) -> PlotlyPreview:
        """The figure, as kedro-viz draws it."""
        return PlotlyPreview(json.loads(self.location().read_text(encoding="utf-8")))

"""Arrow IPC files that are mapped into memory: one record batch a day or a month, one JSON document in the metadata."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atft_pipeline.errors import ArtifactError

# 2: targets are ranks of the returns; what they are neutral to is taken out where they are used.
FORMAT = 2


def schema_of(columns: Sequence[Any], name: str, document: Mapping[str, Any]) -> pa.Schema:
    """Schema whose metadata holds, under the artifact's name, its format and a document of plain JSON types."""
    text = json.dumps({"format": FORMAT, **document}, separators=(",", ":"))
    return pa.schema(columns, metadata={name.encode(): text.encode()})


def rows_of(width: int, kind: pa.DataType) -> pa.DataType:
    """Type of a column that holds one row of a matrix [rows, width] in each cell."""
    return pa.list_(pa.field("item", kind, nullable=False), width)


@contextmanager
def open_writer(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """Write a file from its beginning."""
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        yield writer


def open_file(path: Path, name: str) -> tuple[pa.ipc.RecordBatchFileReader, dict[str, Any]]:
    """Map a file; nothing but its metadata is read.

    Args:
        path: the file.
        name: of the artifact, which is that of the stage that makes it.

    Returns:
        A reader over the map, and the document.

    Raises:
        ArtifactError: the file is missing, is no such artifact, is cut short, or has another format.
    """
    remedy = f"make the {name} again with: kedro run --pipeline={name}"
    if not path.is_file():
        msg = f"{path} does not exist; {remedy}"
        raise ArtifactError(msg)
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        document: dict[str, Any] = json.loads((reader.schema.metadata or {})[name.encode()])
    except (pa.ArrowInvalid, KeyError) as error:
        msg = f"{path} is not readable as {name} ({error}); {remedy}"
        raise ArtifactError(msg) from error
    if document["format"] != FORMAT:
        msg = f"{path} was made by another version of the project (format {document['format']}, not {FORMAT}); {remedy}"
        raise ArtifactError(msg)
    return reader, document


def to_column(matrix: npt.NDArray[Any], kind: Any) -> Any:
    """A matrix [rows, ...] as a column of a type of :func:`rows_of`."""
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(matrix).reshape(-1)), type=kind)


def to_matrix(column: Any, width: int) -> npt.NDArray[Any]:
    """A view [rows, width] of such a column; nothing is copied."""
    values: npt.NDArray[Any] = column.flatten().to_numpy(zero_copy_only=True)
    return values.reshape(-1, width)

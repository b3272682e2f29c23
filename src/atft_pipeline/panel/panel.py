"""The panel on disk: one Arrow IPC file, one record batch a day, mapped into memory and never copied.

Legend: D days, N listings, n listings of one day, F features, Q horizons.

Columns: ``listing`` int32 (position in the listing axis), ``universe`` bool, ``features`` FixedSizeList<float16>[F] (a
row-major matrix), ``targets`` and ``returns`` FixedSizeList<float32>[Q] with NaN where a label is not complete. The
schema metadata holds one JSON document under ``panel``: names, axes, fingerprints, lineage.
"""

import zlib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.panel.arrow_file import open_file, rows_of, schema_of, to_matrix

# Checksums (CRC-32) of a day's labels and of its features, beside its record batch.
LABELS_SUM, FEATURES_SUM = b"labels", b"features"
CHECKED = {LABELS_SUM: ("listing", "universe", "targets", "returns"), FEATURES_SUM: ("features",)}


@dataclass(frozen=True)
class PanelMeta:
    """What the panel says of itself.

    Attributes:
        feature_names: F names, in column order.
        market_features: those that are equal for all listings of a day.
        horizons: Q horizons in sessions.
        label: ``close_to_close`` or ``open_to_open``.
        dtype: ``float16`` or ``float32``.
        fingerprint: hash of the contents it was built from.
        index_fingerprint: hash of its two axes; graphs carry the same one.
        sectors: names by id; id 0 is unknown.
        markets: names by id; id 0 is unknown.
        lineage: what it was made from.
    """

    feature_names: tuple[str, ...]
    market_features: tuple[str, ...]
    horizons: tuple[int, ...]
    label: str
    dtype: str
    fingerprint: str
    index_fingerprint: str
    sectors: tuple[str, ...]
    markets: tuple[str, ...]
    lineage: dict[str, Any]

    @property
    def label_span(self) -> int:
        """Sessions after a day that its longest label looks at; an entry at the next open adds one."""
        return max(self.horizons) + (1 if self.label == "open_to_open" else 0)


@dataclass(frozen=True)
class PanelIndex:
    """The axes of a panel.

    Attributes:
        dates: [D] ISO dates, ascending.
        rows: [D] rows of each day.
        listings: [N] names, in order of first appearance, then of name.
        codes: [N] raw code of each listing.
        sector: [N] sector ids.
        market: [N] market ids.
    """

    dates: tuple[str, ...]
    rows: tuple[int, ...]
    listings: tuple[str, ...]
    codes: tuple[str, ...]
    sector: tuple[int, ...]
    market: tuple[int, ...]


@dataclass(frozen=True)
class PanelDay:
    """One day, as views into the map.

    Attributes:
        listing: int32 [n], ascending.
        features: float16 or float32 [n, F].
        targets: float32 [n, Q], NaN where incomplete.
        returns: float32 [n, Q], NaN where incomplete.
        universe: bool [n].
    """

    listing: npt.NDArray[np.int32]
    features: npt.NDArray[Any]
    targets: npt.NDArray[np.float32]
    returns: npt.NDArray[np.float32]
    universe: npt.NDArray[np.bool_]


def panel_schema(meta: PanelMeta, index: PanelIndex) -> pa.Schema:
    """Build the schema with its metadata."""
    kind = pa.float16() if meta.dtype == "float16" else pa.float32()
    labels = rows_of(len(meta.horizons), pa.float32())
    columns: list[Any] = [
        pa.field("listing", pa.int32(), nullable=False),
        pa.field("universe", pa.bool_(), nullable=False),
        pa.field("features", rows_of(len(meta.feature_names), kind)),
        pa.field("targets", labels),
        pa.field("returns", labels),
    ]
    return schema_of(columns, "panel", {"meta": asdict(meta), "index": asdict(index)})


def checksums(batch: pa.RecordBatch, parts: Collection[bytes] = tuple(CHECKED)) -> dict[bytes, bytes]:
    """Checksums of parts of a day, as CRC-32: some 6 GiB/s on one core."""
    found = {}
    for part in parts:
        value = 0
        for name in CHECKED[part]:
            value = zlib.crc32(_bytes(batch.column(name)), value)
        found[part] = f"{value:08x}".encode()
    return found


def write_day(writer: pa.ipc.RecordBatchFileWriter, batch: pa.RecordBatch) -> None:
    """Write a day with its checksums."""
    writer.write_batch(batch, custom_metadata=checksums(batch))


class Panel:
    """A panel mapped into memory.

    Args:
        path: the file.
        reader: an open reader over the map.
        meta: what it says of itself.
        index: its axes.
        columns: positions of the features that are seen; ``None`` for all.
        first: record batch of the first day; above 0 for some days alone.
    """

    def __init__(
        self,
        path: Path,
        reader: pa.ipc.RecordBatchFileReader,
        meta: PanelMeta,
        index: PanelIndex,
        columns: npt.NDArray[np.int64] | None = None,
        first: int = 0,
    ) -> None:
        self.path = path
        self.meta = meta
        self.index = index
        self._reader = reader
        self._columns = columns
        self._first = first
        # Parts of days whose checksums were compared.
        self._sound: set[tuple[int, bytes]] = set()

    @classmethod
    def open(cls, path: Path) -> "Panel":
        """Map a panel; nothing but its metadata is read.

        Raises:
            ArtifactError: the file is missing, is no panel, is cut short, or has another format.
        """
        reader, document = open_file(path, "panel")
        meta = PanelMeta(**{field.name: _tuple(document["meta"][field.name]) for field in fields(PanelMeta)})
        index = PanelIndex(**{field.name: _tuple(document["index"][field.name]) for field in fields(PanelIndex)})
        return cls(path, reader, meta, index)

    def __reduce__(self) -> tuple[Any, tuple[Path, tuple[str, ...], int, int]]:
        """Pickle as the path: every process maps the file itself and shares the page cache."""
        return _reopen, (self.path, self.meta.feature_names, self._first, self._first + len(self.index.dates))

    def select(self, patterns: Sequence[str]) -> "Panel":
        """The same panel seen through some of its features, in the panel's order.

        Args:
            patterns: names or shell patterns such as ``K*``; each must match a feature.

        Raises:
            ConfigError: a pattern matches nothing.
        """
        names = self.meta.feature_names
        for pattern in patterns:
            if not any(_matches(name, pattern) for name in names):
                msg = f"{self.path}: {pattern} matches none of the panel's {len(names)} features"
                raise ConfigError(msg)
        kept = [index for index, name in enumerate(names) if any(_matches(name, item) for item in patterns)]
        if len(kept) == len(names):
            return self
        shown = tuple(names[index] for index in kept)
        market = tuple(name for name in self.meta.market_features if name in shown)
        meta = replace(self.meta, feature_names=shown, market_features=market)
        columns = np.array(kept) if self._columns is None else self._columns[kept]
        return Panel(self.path, self._reader, meta, self.index, columns, self._first)

    @cached_property
    def dates(self) -> npt.NDArray[np.datetime64]:
        """Trading days [D]."""
        return np.array(self.index.dates, dtype="datetime64[D]")

    @property
    def listings(self) -> tuple[str, ...]:
        """Listing names [N]."""
        return self.index.listings

    @property
    def codes(self) -> tuple[str, ...]:
        """Raw code of each listing [N]."""
        return self.index.codes

    @cached_property
    def sector(self) -> npt.NDArray[np.int64]:
        """Sector ids [N], 0 = unknown."""
        return np.array(self.index.sector, dtype=np.int64)

    @cached_property
    def market(self) -> npt.NDArray[np.int64]:
        """Market ids [N], 0 = unknown."""
        return np.array(self.index.market, dtype=np.int64)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(D, N, F)."""
        return len(self.index.dates), len(self.index.listings), len(self.meta.feature_names)

    @property
    def rows(self) -> int:
        """Rows over all days."""
        return sum(self.index.rows)

    def batch(self, day: int, *, features: bool = True) -> pa.RecordBatch:
        """The record batch of a day, compared with its checksums when it is first read.

        Args:
            day: its index.
            features: compare the features too; without it they stay on disk, and are not to be read.

        Raises:
            ArtifactError: the rows are not those that were written.
        """
        index = self._first + day
        parts = {LABELS_SUM, FEATURES_SUM} if features else {LABELS_SUM}
        if all((index, part) in self._sound for part in parts):
            return self._reader.get_batch(index)
        batch, stored = self._reader.get_batch_with_custom_metadata(index)
        found = checksums(batch, parts)
        # A panel that was written before there were checksums has none.
        if any(part in stored and stored[part] != value for part, value in (found.items() if stored else ())):
            msg = (
                f"{self.path}: the rows of {self.index.dates[day]} are not those that were written (their checksum "
                "differs); rebuild it with: kedro run --pipeline=panel"
            )
            raise ArtifactError(msg)
        self._sound |= {(index, part) for part in parts}
        return batch

    def tail(self, days: int) -> "Panel":
        """The last days alone, with all listings; the file is shared, nothing is copied."""
        return self.between(max(len(self.index.dates) - days, 0), len(self.index.dates))

    def between(self, first: int, stop: int) -> "Panel":
        """The days ``first:stop`` alone, with all listings; the file is shared, nothing is copied."""
        index = replace(self.index, dates=self.index.dates[first:stop], rows=self.index.rows[first:stop])
        return Panel(self.path, self._reader, self.meta, index, self._columns, self._first + first)

    def relabel(self, meta: PanelMeta, sector: tuple[int, ...], market: tuple[int, ...]) -> "Panel":
        """The same rows under other ids of sectors and markets [N], which ``meta`` names."""
        index = replace(self.index, sector=sector, market=market)
        return Panel(self.path, self._reader, meta, index, self._columns, self._first)

    def day(self, day: int, *, features: bool = True) -> PanelDay:
        """Views of one day (a copy of the features where only some are seen); valid while the panel is open.

        Args:
            day: its index.
            features: the features will be read too, so that they are compared with their checksum.

        Raises:
            ArtifactError: the rows are not those that were written.
        """
        batch = self.batch(day, features=features)
        horizons = len(self.meta.horizons)
        matrix = to_matrix(batch.column("features"), self._reader.schema.field("features").type.list_size)
        return PanelDay(
            listing=batch.column("listing").to_numpy(zero_copy_only=True),
            features=matrix if self._columns is None or not features else matrix[:, self._columns],
            targets=to_matrix(batch.column("targets"), horizons),
            returns=to_matrix(batch.column("returns"), horizons),
            universe=batch.column("universe").to_numpy(zero_copy_only=False),
        )


def _bytes(column: Any) -> memoryview:
    values = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
    return np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint8).data


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)


def _reopen(path: Path, features: tuple[str, ...], first: int, stop: int) -> Panel:
    return Panel.open(path).select(features).between(first, stop)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

"""Build a panel from a feature table, and append days to one.

The feature table is a folder: ``YYYY-MM.parquet`` files sorted by Date and Listing, and ``features.json``.
Legend: n listings of one day, F features, Q horizons.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from atft_pipeline.config import to_mapping
from atft_pipeline.errors import ArtifactError
from atft_pipeline.features.manifest import FeatureManifest, month_files, read_manifest
from atft_pipeline.lineage import hash_index, hash_json, hash_unchanged
from atft_pipeline.panel.arrow_file import open_writer, to_column
from atft_pipeline.panel.config import PanelConfig
from atft_pipeline.panel.panel import Panel, PanelIndex, PanelMeta, panel_schema, write_day
from atft_pipeline.progress import track

INDEX_COLUMNS = ("Date", "Listing", "InUniverse")


def build_panel(features: Path, listings: pa.Table, out: Path, config: PanelConfig) -> PanelMeta:
    """Pack a feature table.

    Two passes over the months: the first reads the keys for the axes, the second writes a record batch a day. Memory
    holds one month.

    Args:
        features: folder of the feature table.
        listings: Listing, Code, sector, market; sector and market may be null.
        out: the file to write; the caller renames it into place.
        config: storage.

    Returns:
        The panel's metadata.

    Raises:
        ArtifactError: the folder holds no feature table, or its rows are not sorted.
    """
    manifest = read_manifest(features)
    months = month_files(features, manifest)
    order, dates, rows = _read_axes(months)
    meta, index = _describe(manifest, months, order, dates, rows, listings, config)
    position = {name: number for number, name in enumerate(index.listings)}
    schema = panel_schema(meta, index)
    with open_writer(out, schema) as writer:
        for month in track(months, "panel"):
            for batch in _days_of(month, meta, schema, position):
                write_day(writer, batch)
    return meta


def append_days(panel: Panel, features: Path, listings: pa.Table, out: Path, since: str | None = None) -> PanelMeta:
    """Write a panel that continues another one with the days after its last.

    Record batches of the earlier days are copied byte for byte, nothing of them is computed again.

    Args:
        panel: the earlier panel.
        features: feature table that holds the later days (and possibly earlier ones, which are skipped).
        listings: as in :func:`build_panel`.
        out: the new file.
        since: first day, ISO, that is taken from the features although the panel has it: new days complete the labels
            of the days before them. ``None`` = only the days after the panel's last one.

    Raises:
        ArtifactError: the columns differ, or there is no later day.
    """
    manifest = read_manifest(features)
    _check_same_columns(panel, manifest)
    old = panel.index.dates
    # Days from ``since`` on are taken anew although the panel has them: new days complete their labels.
    kept = len(old) if since is None else bisect_left(old, since)
    last = old[kept - 1] if kept else ""
    months = [path for path in month_files(features, manifest) if path.stem >= last[:7]]
    order, dates, rows = _read_axes(months, known=panel.listings, after=last)
    if not dates or dates[-1] <= old[-1]:
        msg = f"{features} holds no day after {old[-1]}, the panel's last one; there is nothing to append"
        raise ArtifactError(msg)
    meta, index = _describe(
        manifest,
        months,
        order,
        [*old[:kept], *dates],
        [*panel.index.rows[:kept], *rows],
        listings,
        PanelConfig(dtype="float16" if panel.meta.dtype == "float16" else "float32"),
        continues=panel.meta.fingerprint,
    )
    position = {name: number for number, name in enumerate(index.listings)}
    schema = panel_schema(meta, index)
    with open_writer(out, schema) as writer:
        for day in range(kept):
            write_day(writer, panel.batch(day).replace_schema_metadata(schema.metadata))
        for month in months:
            for batch in _days_of(month, meta, schema, position, after=last):
                write_day(writer, batch)
    return meta


def _check_same_columns(panel: Panel, manifest: FeatureManifest) -> None:
    pairs = {
        "features": (manifest.features, panel.meta.feature_names),
        "horizons": (manifest.horizons, panel.meta.horizons),
    }
    for key, (given, held) in pairs.items():
        if given != held:
            msg = f"{key} differ from those of the panel {panel.path}; rebuild it with: kedro run --pipeline=panel"
            raise ArtifactError(msg)


def _read_axes(
    months: Sequence[Path], known: Sequence[str] = (), after: str = ""
) -> tuple[list[str], list[str], list[int]]:
    """Listings in order of first appearance, dates, rows a day; only the keys are read."""
    seen = dict.fromkeys(known)
    dates: list[str] = []
    rows: list[int] = []
    for month in months:
        table = pq.read_table(month, columns=["Date", "Listing"])
        for start, stop, date in _runs(table["Date"], month):
            if date <= after:
                continue
            if dates and date <= dates[-1]:
                msg = f"{month}: rows are not sorted by Date ({date} after {dates[-1]}); rebuild the features"
                raise ArtifactError(msg)
            dates.append(date)
            rows.append(stop - start)
        # Few names are new in a month: only their rows are looked at one by one.
        names = {str(name) for name in table["Listing"].unique().to_pylist()} - seen.keys()
        new = table.filter(pc.is_in(table["Listing"], pa.array(sorted(names), pa.string())))
        pairs = zip(map(str, new["Date"].to_pylist()), map(str, new["Listing"].to_pylist()), strict=True)
        seen.update(dict.fromkeys(name for date, name in sorted(set(pairs)) if date > after))
    return list(seen), dates, rows


def _runs(column: Any, month: Path) -> Iterator[tuple[int, int, str]]:
    """Yield (first row, row after the last, ISO date) of each day."""
    days = column.cast(pa.date32()).to_numpy().astype("datetime64[D]")
    if not len(days):
        return
    edges = np.flatnonzero(days[1:] != days[:-1]) + 1
    starts = np.concatenate([[0], edges])
    stops = np.concatenate([edges, [len(days)]])
    if len(np.unique(days[starts])) != len(starts):
        msg = f"{month}: a date appears twice apart; rows must be sorted by Date; rebuild the features"
        raise ArtifactError(msg)
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        yield start, stop, str(days[start])


def _describe(
    manifest: FeatureManifest,
    months: Sequence[Path],
    order: list[str],
    dates: list[str],
    rows: list[int],
    listings: pa.Table,
    config: PanelConfig,
    continues: str = "",
) -> tuple[PanelMeta, PanelIndex]:
    table = {row["Listing"]: row for row in listings.select(["Listing", "Code", "sector", "market"]).to_pylist()}
    known = [table.get(name) or {"Code": name, "sector": None, "market": None} for name in order]
    sectors, sector = _encode([row["sector"] for row in known])
    markets, market = _encode([row["market"] for row in known])
    index = PanelIndex(
        dates=tuple(dates),
        rows=tuple(rows),
        listings=tuple(order),
        codes=tuple(row["Code"] for row in known),
        sector=sector,
        market=market,
    )
    contents = [hash_unchanged(month) for month in months]
    lineage = {"features": manifest.fingerprint, "parameters": manifest.parameters}
    meta = PanelMeta(
        feature_names=manifest.features,
        market_features=manifest.market_features,
        horizons=manifest.horizons,
        label=manifest.label,
        dtype=config.dtype,
        fingerprint=hash_json(
            [contents, asdict(manifest), to_mapping(config), sectors, sector, markets, market, continues]
        ),
        index_fingerprint=hash_index(dates, order),
        sectors=sectors,
        markets=markets,
        lineage=lineage | ({"continues": continues} if continues else {}),
    )
    return meta, index


def _encode(names: Sequence[str | None]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Number names from 1 in sorted order; 0 is unknown."""
    vocabulary = sorted({name for name in names if name})
    number = {name: index + 1 for index, name in enumerate(vocabulary)}
    return ("unknown", *vocabulary), tuple(number.get(name or "", 0) for name in names)


def _days_of(
    month: Path, meta: PanelMeta, schema: pa.Schema, position: Mapping[str, int], after: str = ""
) -> Iterator[pa.RecordBatch]:
    """Yield a record batch for each day of a month."""
    columns = [*meta.feature_names, *(f"{kind}_{h}" for kind in ("target", "return") for h in meta.horizons)]
    table = pq.read_table(month, columns=[*INDEX_COLUMNS, *columns]).combine_chunks()
    names = table["Listing"].unique()
    lookup = pa.array([position[str(name)] for name in names.to_pylist()], type=pa.int32())
    listing = pc.take(lookup, pc.index_in(table["Listing"], names)).to_numpy()
    universe = table["InUniverse"].to_numpy()
    features = _stack(table, meta.feature_names, np.dtype(meta.dtype))
    targets = _stack(table, [f"target_{h}" for h in meta.horizons], np.dtype(np.float32))
    returns = _stack(table, [f"return_{h}" for h in meta.horizons], np.dtype(np.float32))
    for start, stop, date in _runs(table["Date"], month):
        if date <= after:
            continue
        # The table is sorted by name, the panel by position: a listing that came later has a later position.
        order = start + np.argsort(listing[start:stop], kind="stable")
        yield pa.record_batch(
            [
                pa.array(listing[order]),
                pa.array(universe[order]),
                to_column(features[order], schema.field("features").type),
                to_column(targets[order], schema.field("targets").type),
                to_column(returns[order], schema.field("returns").type),
            ],
            schema=schema,
        )


def _stack(table: pa.Table, names: Sequence[str], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Lay columns side by side as a row-major matrix [rows, columns]; null becomes NaN."""
    matrix = np.empty((table.num_rows, len(names)), dtype=dtype)
    for column, name in enumerate(names):
        matrix[:, column] = table[name].to_numpy()
    return matrix

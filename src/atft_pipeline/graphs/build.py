"""From daily returns to the file of all monthly graphs.

Legend: D days, N listings, n listings that take part in a month, k neighbours.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from atft_pipeline.blocks import ClusterConfig, each_block
from atft_pipeline.config import to_mapping
from atft_pipeline.errors import ArtifactError, DataError, UnavailableError
from atft_pipeline.graphs.config import GraphConfig
from atft_pipeline.graphs.correlation import correlate, prepare, row_ranges, taking_part
from atft_pipeline.graphs.graphs import EDGE_ATTRIBUTES, GraphsMeta, MonthlyGraphs, MonthMeta, graphs_schema
from atft_pipeline.graphs.neighbors import select
from atft_pipeline.lineage import hash_bytes, hash_json
from atft_pipeline.panel.arrow_file import open_writer, to_column
from atft_pipeline.progress import track

# Listings whose correlations with all others are held in memory at a time: 5 MB at ten thousand listings.
BLOCK = 128
# Parameters that change where and how the work is done, not its result.
WORK_PARAMETERS = ("device",)


@dataclass(frozen=True)
class MonthInput:
    """What one month's graph is computed from.

    Attributes:
        month: the month it serves.
        start: first day of the window.
        stop: one past the last day of the window; the first day on or after the month.
        active: [n] listings that take part.
        returns: [W, n] their returns.
    """

    month: np.datetime64
    start: int
    stop: int
    active: npt.NDArray[np.int64]
    returns: npt.NDArray[np.float32]


def build_graphs(
    returns: npt.NDArray[np.float32],
    dates: npt.NDArray[np.datetime64],
    listings: tuple[str, ...],
    sector: npt.NDArray[np.int64],
    market: npt.NDArray[np.int64],
    config: GraphConfig,
    index_fingerprint: str,
    out: Path,
    lineage: Mapping[str, Any],
    previous: Path | None = None,
    cluster: ClusterConfig = ClusterConfig(),  # noqa: B008  frozen
) -> GraphsMeta:
    """Compute and write the graphs of all months; the one after the last date included.

    Args:
        returns: [D, N] daily returns as fractions, NaN where there is none.
        dates: [D] ascending, datetime64[D].
        listings: [N] names.
        sector: [N] sector ids, 0 = unknown.
        market: [N] market ids, 0 = unknown.
        config: how.
        index_fingerprint: the panel's.
        out: file to write.
        lineage: what the returns were made from.
        previous: earlier graphs; a month whose inputs and parameters are the same is copied from it byte for byte.
        cluster: where the months are computed.

    Returns:
        What the written file says of itself.

    Raises:
        DataError: shapes that do not fit, dates out of order.
        ArtifactError: ``previous`` has other listings where both should agree, or is ``out`` itself.
        UnavailableError: cuda is asked for on a machine without it.
    """
    _check_shapes(returns, dates, listings, sector, market)
    pick_device(config.device)
    periods = plan_months(dates, config)
    # Inputs are hashed before anything is computed: what earlier graphs have with the same inputs is copied.
    entries = tuple(_describe(month_input(returns, period, config), dates, sector, market) for period in periods)
    document = {name: value for name, value in to_mapping(config).items() if name not in WORK_PARAMETERS}
    meta = GraphsMeta(
        k=config.k,
        config=to_mapping(config),
        fingerprint=hash_json([document, [entry.fingerprint for entry in entries], list(listings)]),
        index_fingerprint=index_fingerprint,
        listings=tuple(listings),
        dates=(str(dates[0]), str(dates[-1])) if len(dates) else ("", ""),
        months=entries,
        lineage=dict(lineage),
    )
    earlier, schema = _reusable(previous, out, meta, document), graphs_schema(meta)
    wanted = [period for period, entry in zip(periods, entries, strict=True) if entry.fingerprint not in earlier]
    made = each_block(_connect_month, (returns, sector, market, config), wanted, cluster)
    with open_writer(out, schema) as writer:
        for period, entry in track(list(zip(periods, entries, strict=True)), "graphs"):
            if entry.fingerprint in earlier:
                batch = earlier[entry.fingerprint].replace_schema_metadata(schema.metadata)
            else:
                batch = _to_batch(period[0], *next(made), schema)
            writer.write_batch(batch)
    return meta


def _connect_month(
    shared: tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64], GraphConfig],
    period: tuple[np.datetime64, int, int],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """The graph of one month, as :func:`connect` gives it, on the device of whoever computes it."""
    returns, sector, market, config = shared
    return connect(month_input(returns, period, config), sector, market, config, pick_device(config.device))


def plan_months(dates: npt.NDArray[np.datetime64], config: GraphConfig) -> list[tuple[np.datetime64, int, int]]:
    """Months to serve, each with its window of days ``start:stop``.

    Every month that has days, and the one after the last, once ``min_observations`` days lie before it.
    """
    if len(dates) == 0:
        return []
    month_of_day = dates.astype("datetime64[M]")
    # The graph of the month to come is known at the end of this one: the newest days are scored with it.
    months = np.append(np.unique(month_of_day), month_of_day[-1] + np.timedelta64(1, "M"))
    stops = np.searchsorted(month_of_day, months)
    return [
        (month, max(0, int(stop) - config.window), int(stop))
        for month, stop in zip(months, stops, strict=True)
        if stop >= config.min_observations
    ]


def month_input(
    returns: npt.NDArray[np.float32], period: tuple[np.datetime64, int, int], config: GraphConfig
) -> MonthInput:
    """Cut one window out of the returns [D, N] and keep the listings that take part."""
    month, start, stop = period
    window = returns[start:stop]
    active = taking_part(window, config)
    return MonthInput(month, start, stop, active, np.ascontiguousarray(window[:, active], dtype=np.float32))


def connect(
    month: MonthInput,
    sector: npt.NDArray[np.int64],
    market: npt.NDArray[np.int64],
    config: GraphConfig,
    device: torch.device,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Compute one month's graph.

    Returns:
        Neighbours int32 [N, k], -1 = none; edge attributes float32 [N, k, 3].
    """
    neighbors = np.full((len(sector), config.k), -1, dtype=np.int32)
    correlation = np.zeros((len(sector), config.k), dtype=np.float32)
    if len(month.active):
        window = prepare(month.returns, sector[month.active], config, device)
        listing = month.active[window.order]
        own_sector = torch.from_numpy(sector[listing]).to(device)
        for start, stop in row_ranges(window, BLOCK):
            block = correlate(window, start, stop, config)
            position, value = select(block, own_sector, window.log_volatility, start, config)
            chosen = position.cpu().numpy()
            neighbors[listing[start:stop]] = np.where(chosen >= 0, listing[chosen], -1)
            correlation[listing[start:stop]] = value.cpu().numpy()
    edge_attr = np.zeros((len(sector), config.k, len(EDGE_ATTRIBUTES)), dtype=np.float32)
    edge_attr[..., 0] = correlation
    edge_attr[..., 1] = _same(sector, neighbors)
    edge_attr[..., 2] = _same(market, neighbors)
    return neighbors, edge_attr


def pick_device(name: str) -> torch.device:
    """The device to compute on.

    Raises:
        UnavailableError: cuda is asked for on a machine without it.
    """
    if name == "cuda" and not torch.cuda.is_available():
        msg = "graphs.device is cuda, but torch finds no CUDA device; set graphs.device to auto or cpu"
        raise UnavailableError(msg)
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _same(group: npt.NDArray[np.int64], neighbors: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whether listing and neighbour [N, k] are of one known group."""
    own = group[:, None]
    same: npt.NDArray[np.bool_] = (neighbors >= 0) & (own > 0) & (group[neighbors] == own)
    return same


def _describe(
    month: MonthInput,
    dates: npt.NDArray[np.datetime64],
    sector: npt.NDArray[np.int64],
    market: npt.NDArray[np.int64],
) -> MonthMeta:
    parts = (dates[month.start : month.stop], month.active, sector[month.active], market[month.active], month.returns)
    chunks = [np.ascontiguousarray(part).tobytes() for part in parts]
    return MonthMeta(
        month=str(month.month),
        first=str(dates[month.start]),
        last=str(dates[month.stop - 1]),
        listings=len(month.active),
        fingerprint=hash_bytes([str(month.month).encode(), *chunks]),
    )


def _reusable(
    previous: Path | None, out: Path, meta: GraphsMeta, document: dict[str, Any]
) -> dict[str, pa.RecordBatch]:
    """Record batches of the earlier graphs by the fingerprint of their inputs; none where parameters differ."""
    if previous is None:
        return {}
    if out.exists() and previous.samefile(out):
        msg = f"{out} cannot be extended in place; write to another file and rename it"
        raise ArtifactError(msg)
    earlier = MonthlyGraphs.open(previous)
    known = len(earlier.meta.listings)
    stored = {name: value for name, value in earlier.meta.config.items() if name not in WORK_PARAMETERS}
    if stored != document or earlier.meta.listings != meta.listings[:known]:
        return {}
    return {entry.fingerprint: earlier.batch(number) for number, entry in enumerate(earlier.meta.months)}


def _to_batch(
    month: np.datetime64, neighbors: npt.NDArray[np.int32], edge_attr: npt.NDArray[np.float32], schema: pa.Schema
) -> pa.RecordBatch:
    listings = len(neighbors)
    columns = [
        pa.array(np.full(listings, month.astype("datetime64[D]"))),
        pa.array(np.arange(listings, dtype=np.int32)),
        to_column(neighbors, schema.field("neighbors").type),
        to_column(edge_attr, schema.field("edge_attr").type),
    ]
    return pa.record_batch(columns, schema=schema)


def _check_shapes(
    returns: npt.NDArray[np.float32],
    dates: npt.NDArray[np.datetime64],
    listings: tuple[str, ...],
    sector: npt.NDArray[np.int64],
    market: npt.NDArray[np.int64],
) -> None:
    found = {"returns": returns.shape, "sector": sector.shape, "market": market.shape}
    wanted = {"returns": (len(dates), len(listings)), "sector": (len(listings),), "market": (len(listings),)}
    for name, shape in found.items():
        if shape != wanted[name]:
            msg = f"graphs: {name} has shape {shape}, need {wanted[name]} (days {len(dates)}, listings {len(listings)})"
            raise DataError(msg)
    if np.any(dates[1:] <= dates[:-1]):
        msg = f"graphs: dates must ascend, but {dates[1:][dates[1:] <= dates[:-1]][0]} follows a later or equal one"
        raise DataError(msg)

"""Clean prices to a month-partitioned table of normalised features and labels.

The days are worked off in spans of whole months. Blocks of listings fill a dense raw matrix of the span; each month
is then normalised day by day and written. A value depends on a finite number of rows before its own, so a span, or a
build of the last days alone, gives the same bits as a build of everything.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from atft_pipeline.blocks import ClusterConfig, each_block
from atft_pipeline.config import to_mapping
from atft_pipeline.errors import DataError
from atft_pipeline.features import alpha158, extras
from atft_pipeline.features.blocks import BAR_COLUMNS, ListingBlock, PriceAxis, listing_blocks, price_axis
from atft_pipeline.features.columns import choose_columns, passed_values
from atft_pipeline.features.config import FeaturesConfig
from atft_pipeline.features.labels import day_targets, forward_returns, group_means
from atft_pipeline.features.manifest import FeatureManifest, write_manifest
from atft_pipeline.features.normalise import Matrix, normalise_day
from atft_pipeline.features.rolling import Floats
from atft_pipeline.lineage import hash_bytes, hash_json
from atft_pipeline.process import available_cores
from atft_pipeline.progress import progress_bar

# Rows that are held raw at a time, in whole months: 1.6 GB at 195 features. Longer spans read less history twice.
SPAN_ROWS = 2_000_000
# Cells (rows times listings) of a column that one thread works on: the columns of a block stay in its cache.
BLOCK_CELLS = 40_000
FORMULAS = 2  # raised whenever a formula changes, so that tables of different formulas differ in fingerprint


def build_features(
    clean: pl.DataFrame | pl.LazyFrame,
    listings: pl.DataFrame | None,
    config: FeaturesConfig,
    out_dir: Path,
    *,
    since: date | None = None,
    cluster: ClusterConfig = ClusterConfig(),  # noqa: B008  frozen
) -> FeatureManifest:
    """Write ``YYYY-MM.parquet`` (rows sorted by Date, Listing) and ``features.json`` into a fresh folder.

    Args:
        clean: Date, Listing, Open, High, Low, Close, Volume, InUniverse, optionally Vwap and passed-through columns.
            A frame without prices is a prepared table: it passes its own columns and labels (``return_{h}``).
        listings: Listing, sector (optional); None = no sectors.
        config: what to compute.
        out_dir: folder to fill; made where it does not exist.
        since: write only rows from this day on; each is bit-equal to the row of a full build. New days change labels
            before them: ``update_start`` of :mod:`atft_pipeline.features.update` tells from which day on.
        cluster: where the spans are computed; its workers write into the same folder.

    Raises:
        DataError: a column is missing or the frame is empty.
    """
    frame = clean.collect() if isinstance(clean, pl.LazyFrame) else clean
    build = _Build(frame, listings, config, out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    start = 0 if since is None else int(np.searchsorted(build.axis.dates, np.datetime64(since)))
    months, rows = build.run(start, cluster)
    manifest = FeatureManifest(
        features=build.columns.features,
        market_features=build.columns.market,
        horizons=config.horizons,
        label=config.label,
        normalisation=config.normalisation,
        months=tuple(months),
        rows=rows,
        fingerprint=build.fingerprint(start),
        parameters=hash_json(build.settings),
    )
    write_manifest(manifest, out_dir)
    return manifest


def features_fingerprint(clean: pl.DataFrame, listings: pl.DataFrame | None, config: FeaturesConfig) -> str:
    """Fingerprint that :func:`build_features` would give a full build of these prices, without building it."""
    return _Build(clean, listings, config, Path()).fingerprint(0)


class _Build:
    """One build: the prices as arrays, the columns to make, the labels."""

    def __init__(
        self, frame: pl.DataFrame, listings: pl.DataFrame | None, config: FeaturesConfig, out_dir: Path
    ) -> None:
        if frame.is_empty():
            raise DataError("the clean frame is empty: there is nothing to compute features from")
        priced = "Close" in frame.columns
        needed = [*(BAR_COLUMNS if priced or config.groups else ()), "Date", "Listing"]
        missing = [name for name in needed if name not in frame.columns]
        if missing:
            raise DataError(f"the clean frame has no column {', '.join(missing)}; it has {', '.join(frame.columns)}")
        self.config, self.out_dir = config, out_dir
        self.axis = axis = price_axis(frame)
        self.sector, self.sectors = _sector_ids(axis, listings)
        self.columns = choose_columns(config, frame, with_sectors=len(self.sectors) > 0)
        self.passed = {name: passed_values(axis, name) for name in self.columns.passed}
        self.series = extras.day_series(axis) if priced else None
        self.daily = self._daily()
        self.labels = self._labels(priced)
        self.order = np.argsort(axis.day, kind="stable")
        self.position = np.empty(axis.rows, dtype=np.int64)
        self.position[self.order] = np.arange(axis.rows)
        self.day_start = np.searchsorted(axis.day[self.order], np.arange(len(axis.dates) + 1))

    def run(self, start: int, cluster: ClusterConfig) -> tuple[list[str], int]:
        """Build the days from index ``start`` on; return the months written and their rows."""
        months = _months(self.axis.dates, start)
        total = int(self.axis.rows - self.day_start[start])
        with progress_bar() as bar:
            task = bar.add_task("features", total=total, note="")
            for rows in each_block(_write_span, self, list(self._spans(months)), cluster):
                bar.advance(task, rows)
        return [name for name, _ in months], total

    def write_span(self, span: list[tuple[str, range]]) -> int:
        """Write the months of a span; return its rows."""
        days = range(span[0][1].start, span[-1][1].stop)
        offset = int(self.day_start[days.start])
        matrix = np.full((len(self.columns.raw), int(self.day_start[days.stop]) - offset), np.nan, np.float32)
        workers = available_cores()
        with ThreadPoolExecutor(workers) as pool:
            for tasks in (self._fill_tasks(matrix, days, offset), self._month_tasks(matrix, span, offset)):
                deque(_each(pool, workers, tasks), maxlen=0)
        return matrix.shape[1]

    @property
    def settings(self) -> list[Any]:
        """Version of the formulas and the parameters that change what is computed, as JSON types."""
        return [FORMULAS, to_mapping(self.config)]

    def fingerprint(self, start: int) -> str:
        """Hash of the prices, the universe, the sectors, the parameters and the formulas."""
        axis = self.axis
        arrays = [*axis.columns.values(), *self.passed.values(), axis.universe, axis.day, axis.listing, self.sector]
        contents = hash_bytes(np.ascontiguousarray(array).view(np.uint8).data for array in arrays)
        dates = axis.dates.astype(str).tolist()
        return hash_json([*self.settings, contents, dates, axis.names, self.columns.features, self.sectors, start])

    def _spans(self, months: list[tuple[str, range]]) -> Iterator[list[tuple[str, range]]]:
        """Group months until they hold ``SPAN_ROWS`` rows."""
        span: list[tuple[str, range]] = []
        for month in months:
            if span and self.day_start[month[1].stop] - self.day_start[span[0][1].start] > SPAN_ROWS:
                yield span
                span = []
            span.append(month)
        if span:
            yield span

    def _fill_tasks(self, matrix: Matrix, days: range, offset: int) -> Iterator[Callable[[], int]]:
        """Tasks that fill the raw matrix of a span [columns, rows sorted by day and listing]."""
        lines = {name: line for line, name in enumerate(self.columns.raw)}
        rows = self.order[offset : offset + matrix.shape[1]]
        for name, values in self.passed.items():
            if name in lines:
                matrix[lines[name]] = values[rows]
        computes = [
            compute
            for names, compute in ((alpha158.NAMES, alpha158.emit_alpha158), (extras.LISTING, extras.emit_extras))
            if any(name in lines for name in names)
        ]
        if not computes or self.series is None:
            return
        history = extras.HISTORY if extras.emit_extras in computes else alpha158.HISTORY
        for gather in listing_blocks(self.axis, self.series.mean, BLOCK_CELLS, history, days):

            def fill(gather: Callable[[], ListingBlock] = gather) -> int:
                block = gather()
                target = self.position[block.rows] - offset

                def emit(name: str, values: Floats) -> None:
                    line = lines.get(name)
                    if line is not None:
                        matrix[line][target] = values.reshape(-1)[block.order]

                with np.errstate(all="ignore"):
                    for compute in computes:
                        compute(block, emit)
                return len(target)

            yield fill

    def _month_tasks(self, matrix: Matrix, span: list[tuple[str, range]], offset: int) -> Iterator[Callable[[], int]]:
        """Tasks that normalise and write the months of a span."""
        for name, days in span:

            def write(name: str = name, days: range = days) -> int:
                with np.errstate(all="ignore"):
                    table = self._month(matrix, days, offset)
                table.write_parquet(self.out_dir / f"{name}.parquet", compression="lz4", statistics=False)
                return table.height

            yield write

    def _month(self, matrix: Matrix, days: range, offset: int) -> pl.DataFrame:
        """Normalise the days of a month and lay out its table."""
        first, last = int(self.day_start[days.start]), int(self.day_start[days.stop])
        rows = self.order[first:last]
        features = np.empty((len(self.columns.features), last - first), dtype=np.float32)
        targets = np.empty((len(self.config.horizons), last - first), dtype=np.float32)
        for day in days:
            low, high = int(self.day_start[day]), int(self.day_start[day + 1])
            raw = np.ascontiguousarray(matrix[:, low - offset : high - offset])
            self._day(day, raw, self.order[low:high], features[:, low - first : high - first])
            self._day_targets(self.order[low:high], targets[:, low - first : high - first])
        axis = self.axis
        table: dict[str, pl.Series | NDArray[np.generic]] = {
            "Date": pl.Series(axis.dates[axis.day[rows]].astype("datetime64[D]")).cast(pl.Date),
            "Listing": pl.Series(axis.names).gather(axis.listing[rows]),
            "InUniverse": axis.universe[rows],
        }
        table |= dict(zip(self.columns.features, features, strict=True))
        for number, horizon in enumerate(self.config.horizons):
            table[f"target_{horizon}"] = pl.Series(targets[number], nan_to_null=True)
            table[f"return_{horizon}"] = pl.Series(self.labels[number, rows], nan_to_null=True)
        return pl.DataFrame(table)

    def _day(self, day: int, raw: Matrix, rows: NDArray[np.int64], out: Matrix) -> None:
        """Normalised features of one day into ``out`` [features, n]."""
        columns, universe = self.columns, self.axis.universe[rows]
        listing = len(columns.listing)
        values = raw[columns.listing_lines]
        if columns.sector:
            base = raw[columns.sector_lines]
            values = np.concatenate(
                [values, (base - group_means(base, universe, self.sector[rows])).astype(np.float32)]
            )
        scaled = listing + len(columns.sector)
        out[:scaled] = normalise_day(values, universe, self.config.normalisation, self.config.clip)
        if columns.masked:
            out[scaled] = np.mean(~np.isfinite(raw[columns.listing_lines]), axis=0)
            scaled += 1
        for line, name in enumerate(columns.market, start=scaled):
            out[line] = self.daily[name][day]

    def _day_targets(self, rows: NDArray[np.int64], out: Matrix) -> None:
        """Training targets of one day into ``out`` [horizons, n]."""
        universe, settings = self.axis.universe[rows], self.config
        out[:] = day_targets(self.labels[:, rows], universe, settings.target_normalisation, settings.clip)

    def _daily(self) -> dict[str, Floats]:
        """Columns that are the same for all listings of a day [D]."""
        clip = self.config.clip
        found = extras.calendar_columns(self.axis.dates)
        if self.series is not None:
            found |= extras.regime(self.series, clip)
        for name in self.columns.market:
            if name in self.passed:
                value = np.full(len(self.axis.dates), np.nan)
                known = np.isfinite(self.passed[name])
                value[self.axis.day[known]] = self.passed[name][known]
                _check_equal(name, self.axis, self.passed[name], value)
                unscaled = self.config.normalisation == "none"
                found[name] = np.nan_to_num(value) if unscaled else extras.causal_score(value, clip)
        return found

    def _labels(self, priced: bool) -> Matrix:
        """Forward returns [Q, R]; a prepared table brings its own."""
        names = [f"return_{horizon}" for horizon in self.config.horizons]
        if priced:
            return np.stack([forward_returns(self.axis, h, self.config.label) for h in self.config.horizons])
        absent = [name for name in names if name not in self.axis.frame.columns]
        if absent:
            raise DataError(f"a table without prices needs its labels: no column {', '.join(absent)}")
        return np.stack([passed_values(self.axis, name).astype(np.float32) for name in names])


def _check_equal(name: str, axis: PriceAxis, passed: Floats, of_day: Floats) -> None:
    """Refuse a market column [R] that is not the same for all listings of a day [D]."""
    other = np.flatnonzero(np.isfinite(passed) & (passed != of_day[axis.day]))
    if len(other):
        row = other[0]
        day, listing = axis.dates[axis.day[row]], axis.names[axis.listing[row]]
        msg = (
            f"features.passthrough_market: {name} differs between the listings of a day, {listing} has {passed[row]:g} "
            f"on {day} and another has {of_day[axis.day[row]]:g}; name it in features.passthrough instead"
        )
        raise DataError(msg)


def _write_span(build: _Build, span: list[tuple[str, range]]) -> int:
    """A block of the build, as workers import it."""
    return build.write_span(span)


def _each(pool: ThreadPoolExecutor, workers: int, tasks: Iterable[Callable[[], int]]) -> Iterator[int]:
    """Run tasks on the pool, a bounded number ahead, and yield their results in order."""
    running: deque[Future[int]] = deque()
    try:
        for task in tasks:
            running.append(pool.submit(task))
            if len(running) > 2 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()


def _months(dates: NDArray[np.datetime64], start: int) -> list[tuple[str, range]]:
    """Months from day index ``start`` on: name and its range of day indices."""
    month = dates[start:].astype("datetime64[M]")
    if not len(month):
        return []
    cuts = [0, *(np.flatnonzero(month[1:] != month[:-1]) + 1).tolist(), len(month)]
    return [(str(month[a]), range(start + a, start + b)) for a, b in pairwise(cuts)]


def _sector_ids(axis: PriceAxis, listings: pl.DataFrame | None) -> tuple[NDArray[np.int64], list[str]]:
    """Sector id of each row [R] (0 = unknown) and the sector names."""
    unknown = np.zeros(axis.rows, dtype=np.int64)
    if listings is None or "sector" not in listings.columns or "Listing" not in listings.columns:
        return unknown, []
    pairs = listings.select("Listing", pl.col("sector").cast(pl.String)).drop_nulls()
    by_listing = dict(pairs.unique("Listing", keep="first", maintain_order=True).iter_rows())
    names = sorted(set(by_listing.values()))
    ids = {name: number for number, name in enumerate(names, start=1)}
    found = np.array([ids.get(by_listing.get(name, ""), 0) for name in axis.names], dtype=np.int64)
    return found[axis.listing], names

"""What a feature table says of itself: ``features.json`` beside its ``YYYY-MM.parquet`` files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from atft_pipeline.errors import ArtifactError

MANIFEST = "features.json"
REMAKE = "make the features again with: kedro run --pipeline=features"


@dataclass(frozen=True)
class FeatureManifest:
    """Contents of ``features.json``.

    Attributes:
        features: names in the order of the table.
        market_features: those that are equal for all listings of a day.
        horizons: sessions ahead of the labels.
        label: ``close_to_close`` or ``open_to_open``.
        normalisation: per-day map of the features.
        months: ``YYYY-MM`` of each file, ascending.
        rows: of all files.
        fingerprint: hash of prices, universe, sectors, parameters and formulas.
        parameters: hash of the parameters and formulas alone.
    """

    features: tuple[str, ...]
    market_features: tuple[str, ...]
    horizons: tuple[int, ...]
    label: str
    normalisation: str
    months: tuple[str, ...]
    rows: int
    fingerprint: str
    parameters: str


def write_manifest(manifest: FeatureManifest, folder: Path) -> None:
    """Write ``features.json``."""
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> FeatureManifest:
    """Read ``features.json``.

    Raises:
        ArtifactError: it is not there or is no manifest.
    """
    path = folder / MANIFEST
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        listed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    except (OSError, ValueError, AttributeError) as error:
        msg = f"{path} is missing or damaged ({type(error).__name__}); {REMAKE}"
        raise ArtifactError(msg) from error
    try:
        return FeatureManifest(**listed)
    except TypeError as error:
        msg = f"{path} was written by another version of the project, or is damaged; {REMAKE}"
        raise ArtifactError(msg) from error


def month_files(folder: Path, manifest: FeatureManifest) -> list[Path]:
    """The files of a feature table, a month each, as its manifest lists them.

    Raises:
        ArtifactError: it has none, or the folder holds other months or another number of rows.
    """
    listed, found = set(manifest.months), {path.stem for path in folder.glob("*.parquet")}
    if not listed:
        msg = f"{folder} holds no feature rows; {REMAKE}"
        raise ArtifactError(msg)
    for said, months in (("lacks", listed - found), ("holds beside what its manifest lists", found - listed)):
        if months:
            msg = f"{folder} {said} {', '.join(sorted(months)[:5])} ({len(months)} of {len(listed)} months); {REMAKE}"
            raise ArtifactError(msg)
    paths = [folder / f"{month}.parquet" for month in sorted(listed)]
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    if rows != manifest.rows:
        msg = f"{folder} holds {rows} rows, its manifest says {manifest.rows}; {REMAKE}"
        raise ArtifactError(msg)
    return paths

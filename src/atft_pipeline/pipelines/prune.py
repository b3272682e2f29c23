"""Old versions of artifacts, and which of them nothing needs any more.

The newest versions of each artifact stay, and so does whatever they were made from, by their lineage: a model keeps its
panel, scores keep their model. Raw data is nobody's to remove.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol

from atft_pipeline.datasets.atomic import VERSION_FORMAT, AtomicDataset
from atft_pipeline.datasets.remedy import make_again
from atft_pipeline.errors import ArtifactError
from atft_pipeline.files import remove, saving, sweep, temporary_name
from atft_pipeline.locks import Lock
from atft_pipeline.pipelines.freshness import read_record

RAW = "01_raw"


@dataclass(frozen=True)
class Versions:
    """The versions of an artifact.

    Attributes:
        artifact: name in the catalog.
        newest: the newest ones, which stay.
        needed: earlier ones that a version that stays was made from.
        old: those that nothing needs.
    """

    artifact: str
    newest: tuple[Path, ...]
    needed: tuple[Path, ...]
    old: tuple[Path, ...]


def versioned(catalog: CatalogProtocol[Any, Any]) -> dict[str, AtomicDataset[Any, Any]]:
    """Artifacts with versions that some pipeline makes, downstream ones last; raw data is not among them."""
    found: dict[str, AtomicDataset[Any, Any]] = {}
    places = set()
    for stage in pipelines.values():
        for name in [output for node in stage.nodes for output in node.outputs]:
            dataset = catalog.get(name)
            if not isinstance(dataset, AtomicDataset) or getattr(dataset, "_version", None) is None:
                continue
            place = Path(dataset.shown_path)
            if place not in places and RAW not in place.parts:
                places.add(place)
                found[name] = dataset
    return found


def find_versions(catalog: CatalogProtocol[Any, Any], keep: int) -> list[Versions]:
    """Sort the versions of all artifacts into those that stay and those that nothing needs.

    Args:
        catalog: of the project.
        keep: newest versions of each artifact that stay.

    Raises:
        ArtifactError: what a version that stays was made from is not known.
    """
    folders = {name: folders_of(dataset) for name, dataset in versioned(catalog).items()}
    kept = {folder for found in folders.values() for folder in found[:keep]}
    known = {folder for found in folders.values() for folder in found}
    waiting = sorted(kept)
    while waiting:
        folder = waiting.pop()
        for needed in made_from(catalog, folder):
            if needed in known and needed not in kept:
                kept.add(needed)
                waiting.append(needed)
    return [
        Versions(
            name,
            tuple(found[:keep]),
            tuple(folder for folder in found[keep:] if folder in kept),
            tuple(folder for folder in found[keep:] if folder not in kept),
        )
        for name, found in folders.items()
        if found
    ]


def folders_of(dataset: AtomicDataset[Any, Any]) -> list[Path]:
    """Complete versions that a run of Kedro named, the newest first; a folder of another name is the user's own."""
    names = filter(_is_version, dataset.list_versions(full_path=False))
    return [dataset.folder_of(name) for name in sorted(names, reverse=True)]


def _is_version(name: str) -> bool:
    try:
        datetime.strptime(name, VERSION_FORMAT)
    except ValueError:
        return False
    return True


def made_from(catalog: CatalogProtocol[Any, Any], folder: Path) -> Iterator[Path]:
    """Folders of the versions that a version was made from.

    Raises:
        ArtifactError: its lineage is absent or damaged.
    """
    record = read_record(folder)
    if not record:
        name = folder.parent.stem
        msg = (
            f"what {name} {folder.name} was made from is not known, so nothing is removed: its lineage is absent or "
            f"damaged ({folder}); {make_again(name)}"
        )
        raise ArtifactError(msg)
    yield from _inputs(catalog, record)


def _inputs(catalog: CatalogProtocol[Any, Any], record: Mapping[str, Any]) -> Iterator[Path]:
    for name, entry in record["inputs"].items():
        dataset = catalog.get(name)
        if entry["version"] and isinstance(dataset, AtomicDataset):
            yield dataset.folder_of(entry["version"])
        if "made" in entry:
            yield from _inputs(catalog, entry["made"])


def freed(folders: Collection[Path]) -> int:
    """Bytes that removing folders gives back; a file that another version links to stays on the disk."""
    links: Counter[tuple[int, int]] = Counter()
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                stat = path.stat()
                key = (stat.st_dev, stat.st_ino)
                links[key] += 1
                sizes[key] = stat.st_nlink, stat.st_size
    return sum(size for key, (count, size) in sizes.items() if links[key] == count)


def delete(versions: Iterable[Versions], locks: Path) -> int:
    """Remove the old versions, those that were made from others first.

    A version loses its name before its files go: whoever is killed meanwhile leaves no half of one, and the next time
    removes the rest.

    Args:
        versions: of all artifacts, downstream ones last.
        locks: folder of the locks of runs; none of them may write meanwhile.

    Returns:
        How many were removed.

    Raises:
        ArtifactError: a run is at work, or the system refuses.
    """
    found = list(versions)
    held = [Lock(locks / item.artifact) for item in found]
    try:
        for item, lock in zip(found, held, strict=True):
            if holder := lock.claim("kedro prune"):
                msg = f"{item.artifact} is being made by a run, {holder}: wait for its end, then prune again"
                raise ArtifactError(msg)
        for item in reversed(found):
            if item.newest:
                sweep(item.newest[0].parent)
            for folder in item.old:
                with saving(item.artifact, folder):
                    away = temporary_name(folder)
                    folder.rename(away)
                    remove(away)
    finally:
        for lock in held:
            lock.release()
    return sum(len(item.old) for item in found)

"""Whether the artifacts that a run is about to read descend from one another, by their lineage."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.datasets.remedy import PREVIOUS, producer
from atft_pipeline.errors import ArtifactError
from atft_pipeline.pipelines.freshness import read_record, version_folder

DATA = ("ingest", "features", "panel", "graphs")
# A model outlives the panel that it was trained on: days are added, the past is revised. Its card tells its market.
OUTLIVING = frozenset({"model"})


@dataclass(frozen=True)
class Claim:
    """What an artifact says of another one that it was made from.

    Attributes:
        by: the artifact that says it, or one that it was made from.
        about: the other artifact.
        fingerprint: the recipe of the other one.
        direct: ``by`` was made from it without a step between.
    """

    by: str
    about: str
    fingerprint: str
    direct: bool


def check_descent(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
    """Refuse inputs of which one was made from another version than that which lies beside it.

    Outputs of one node are one unit: where one of them is newer than another, the node was killed between them.

    Raises:
        ArtifactError: naming both artifacts and the command that makes the older one again.
    """
    read = {}
    for name in sorted(pipeline.inputs()):
        if name.startswith((PREVIOUS, "params:")) or name == "parameters":
            continue
        folder = version_folder(catalog, name)
        if folder is not None:
            read[name] = folder
    own = {name: _fingerprint(folder) for name, folder in read.items()}
    for name, folder in read.items():
        for claim in claims(catalog, name, folder):
            if claim.about != name and own.get(claim.about, claim.fingerprint) != claim.fingerprint:
                raise ArtifactError(_line(catalog, name, folder, claim, read[claim.about]))


def claims(catalog: CatalogProtocol[Any, Any], name: str, folder: Path) -> Iterator[Claim]:
    """Yield what the lineage of a version says of the artifacts beside it and before it."""
    record = read_record(folder)
    for sibling in record.get("outputs", []):
        if sibling != name:
            yield Claim(name, sibling, record["fingerprint"], direct=True)
    if name not in OUTLIVING:
        yield from _inputs(catalog, name, record)


def _inputs(catalog: CatalogProtocol[Any, Any], name: str, record: Mapping[str, Any]) -> Iterator[Claim]:
    for key, entry in record.get("inputs", {}).items():
        if key.startswith(PREVIOUS):
            continue
        if "made" in entry:
            yield from _inputs(catalog, name, entry["made"])
        elif entry["version"]:
            yield Claim(name, key, entry["fingerprint"], direct=True)
            dataset = catalog.get(key)
            before = dataset.folder_of(entry["version"]) if isinstance(dataset, AtomicDataset) else None
            if before is not None:
                for claim in claims(catalog, key, before):
                    yield Claim(name, claim.about, claim.fingerprint, direct=False)


def _fingerprint(folder: Path) -> str:
    return str(read_record(folder).get("fingerprint", folder.name))


def _line(catalog: CatalogProtocol[Any, Any], name: str, folder: Path, claim: Claim, beside: Path) -> str:
    stage = producer(name)
    if stage is None or (stage in DATA and not claim.direct):
        stage = "data"
    try:
        # The stage that makes it again must not stop at what it reads itself.
        check_descent(pipelines[stage], catalog)
    except ArtifactError as deeper:
        return str(deeper)
    return (
        f"{name} (version {folder.name}) was made with another {claim.about} than the one that would be read (version "
        f"{beside.name}): they do not belong together; make it again with: kedro run --pipeline={stage}"
    )

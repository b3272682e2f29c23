"""Which artifacts are fresh, stale or missing, by what they were made from.

Every saved version has a ``lineage.json`` beside it: the fingerprints of its inputs, of the parameters and of the code
of the node that made it, and one fingerprint of all of them, the recipe. An artifact is fresh when the recipe of its
newest version is the one that a run would follow now.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from rich.tree import Tree

from atft_pipeline.code_hashes import CodeHashes
from atft_pipeline.datasets.atomic import AtomicDataset
from atft_pipeline.datasets.contents import LINEAGE
from atft_pipeline.datasets.raw import RawPathDataset
from atft_pipeline.datasets.remedy import PREVIOUS
from atft_pipeline.errors import ArtifactError
from atft_pipeline.files import replace_text, saving
from atft_pipeline.lineage import FileHashes, hash_json, take_checksum, with_checksum

log = logging.getLogger(__name__)

CLUSTER = "params:cluster"  # where blocks are computed; it changes nothing that is made


@dataclass(frozen=True)
class Recipe:
    """What a node makes its outputs from.

    Attributes:
        inputs: fingerprint by dataset.
        parameters: hash by parameter.
        code: hash of the node's module and of all that it imports from this package.
    """

    inputs: Mapping[str, str]
    parameters: Mapping[str, str]
    code: str

    @property
    def fingerprint(self) -> str:
        """Hash of the recipe."""
        return hash_json([dict(self.inputs), dict(self.parameters), self.code])


@dataclass(frozen=True)
class Status:
    """Where an artifact stands.

    Attributes:
        artifact: name in the catalog.
        node: node that makes it.
        state: fresh, stale or missing.
        version: newest version, empty when missing.
        reason: what changed.
    """

    artifact: str
    node: str
    state: Literal["fresh", "stale", "missing"]
    version: str
    reason: str


def version_folder(catalog: CatalogProtocol[Any, Any], name: str) -> Path | None:
    """Folder of the version that a load would read, ``None`` where there is none or the dataset has no versions."""
    dataset = catalog.get(name)
    if not isinstance(dataset, AtomicDataset) or not dataset.exists():
        return None
    return dataset.location().parent


def in_versions(catalog: CatalogProtocol[Any, Any], name: str) -> bool:
    """Tell artifacts with versions from what only passes through memory."""
    return isinstance(catalog.get(name), AtomicDataset)


def read_record(folder: Path) -> dict[str, Any]:
    """Read the lineage of a version; an empty one for a version that has none, or a damaged one, which is told."""
    path = folder / LINEAGE
    if not path.exists():
        return {}
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        sound = take_checksum(record)
        texts = [record["node"], record["fingerprint"], record["code"], *record["parameters"].values()]
        texts += [entry[key] for entry in record["inputs"].values() for key in ("version", "fingerprint")]
        whole = all(isinstance(value, str) for value in texts)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        sound = whole = False
    if sound and whole:
        return record
    log.warning(
        "%s %s: its %s is damaged (%s); what it was made from is not known until it is made again",
        folder.parent.stem,
        folder.name,
        LINEAGE,
        path,
    )
    return {}


class Recipes:
    """Recipes of nodes against a catalog.

    Args:
        catalog: datasets and parameters of the run.
        hashes: of raw files.
        code: hashes of modules.
    """

    def __init__(self, catalog: CatalogProtocol[Any, Any], hashes: FileHashes, code: CodeHashes) -> None:
        self._catalog = catalog
        self._hashes = hashes
        self._code = code
        self.made: dict[str, str] = {}

    def of(self, node: Node) -> Recipe:
        """The recipe that a run of the node follows now."""
        parameters = sorted(name for name in node.inputs if name.startswith("params:") and name != CLUSTER)
        datasets = sorted(name for name in node.inputs if not name.startswith("params:") and name != "parameters")
        return Recipe(
            inputs={name: self.fingerprint(name) for name in datasets},
            parameters={name: hash_json(self._value(name)) for name in parameters},
            code=self._code.of(node.func.__module__),
        )

    def fingerprint(self, name: str) -> str:
        """Fingerprint of a dataset: made in this run, recorded beside its version, or of its contents if raw."""
        if name in self.made:
            return self.made[name]
        dataset = self._catalog.get(name)
        if isinstance(dataset, RawPathDataset):
            path = dataset.resolve()
            return self._hashes.of(path) if path is not None else ""
        folder = version_folder(self._catalog, name)
        return str(read_record(folder).get("fingerprint", folder.name)) if folder is not None else ""

    def _value(self, name: str) -> Any:
        dataset = self._catalog.get(name)
        assert dataset is not None
        value = dataset.load()
        # A typed parameter knows how to become plain types again.
        return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def describe_recipe(
    node: Node, recipe: Recipe, versions: Mapping[str, str], passing: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Lineage of a node's outputs as plain JSON types.

    Args:
        node: that made them.
        recipe: that it followed.
        versions: of those inputs that have versions.
        passing: lineage of those inputs that only pass through memory; it is told in full.
    """
    inputs: dict[str, dict[str, Any]] = {}
    for key, value in recipe.inputs.items():
        inputs[key] = {"version": versions.get(key, ""), "fingerprint": value}
        if key in passing:
            inputs[key]["made"] = passing[key]
    return {
        "node": node.name,
        "outputs": list(node.outputs),
        "fingerprint": recipe.fingerprint,
        "inputs": inputs,
        "parameters": dict(recipe.parameters),
        "code": recipe.code,
    }


def write_record(catalog: CatalogProtocol[Any, Any], name: str, record: Mapping[str, Any]) -> None:
    """Write the lineage beside a version that was just saved; an artifact without versions has no place for it."""
    dataset = catalog.get(name)
    folder = dataset.saved_folder() if isinstance(dataset, AtomicDataset) else None
    if folder is None:
        return
    document = with_checksum({"artifact": name, "version": folder.name, **record})
    with saving(f"lineage of {name}", folder / LINEAGE):
        replace_text(folder / LINEAGE, json.dumps(document, indent=2) + "\n")


def ancestry(catalog: CatalogProtocol[Any, Any], name: str, tree: Tree) -> Tree:
    """Fill a tree with the recorded inputs of the newest version and theirs, those of each version once.

    Args:
        catalog: of the project.
        name: of the artifact.
        tree: node that stands for it; its label is completed.

    Raises:
        ArtifactError: the artifact is unknown or was never saved.
    """
    dataset = catalog.get(name)
    if not isinstance(dataset, AtomicDataset):
        made = sorted({output for stage in pipelines.values() for output in stage.all_outputs()})
        known = ", ".join(key for key in made if isinstance(catalog.get(key), AtomicDataset))
        msg = f"{name} is no artifact with versions; there are: {known}"
        raise ArtifactError(msg)
    newest = version_folder(catalog, name)
    if newest is None:
        msg = f"{name} was never saved ({dataset.shown_path})"
        raise ArtifactError(msg)
    _grow(catalog, name, newest, tree, set())
    return tree


def _grow(catalog: CatalogProtocol[Any, Any], name: str, folder: Path, tree: Tree, told: set[Path]) -> None:
    """Add what the lineage of a version says to a tree, unless that version was told already."""
    tree.label = f"{name} {folder.name}"
    if folder in told:
        tree.label += " (see above)"
        return
    told.add(folder)
    record = read_record(folder)
    if not record:
        tree.add("no lineage was recorded")
        return
    tree.label += f"  node {record['node']}  code {record['code'][:10]}"
    _grow_inputs(catalog, record, tree, told)


def _grow_inputs(catalog: CatalogProtocol[Any, Any], record: Mapping[str, Any], tree: Tree, told: set[Path]) -> None:
    """Add the parameters and inputs of a record to a tree; a folder to work in has no contents and is no input."""
    for parameter, fingerprint in record["parameters"].items():
        tree.add(f"{parameter} {fingerprint[:10]}")
    for key, entry in record["inputs"].items():
        dataset = catalog.get(key)
        if entry["version"] and isinstance(dataset, AtomicDataset):
            _grow(catalog, key, dataset.folder_of(entry["version"]), tree.add(key), told)
        elif "made" in entry:
            made = entry["made"]
            branch = tree.add(f"{key} (in memory)  node {made['node']}  code {made['code'][:10]}")
            _grow_inputs(catalog, made, branch, told)
        elif entry["fingerprint"]:
            tree.add(f"{key} {entry['fingerprint'][:10]}")


def check(
    pipeline: Pipeline,
    catalog: CatalogProtocol[Any, Any],
    hashes: FileHashes,
    code: CodeHashes,
    updates: Pipeline | None = None,
) -> list[Status]:
    """Compare every artifact of a pipeline with what a run would make now.

    Args:
        pipeline: nodes in any order.
        catalog: with the parameters of the run.
        hashes: of raw files.
        code: hashes of modules.
        updates: nodes that continue artifacts; one that they made counts as fresh where it holds all that a run would
            make now.

    Returns:
        One status an artifact, in the order of the nodes.
    """
    recipes = Recipes(catalog, hashes, code)
    found: list[Status] = []
    continuing = {node.name: node for node in updates.nodes} if updates is not None else {}
    for node in pipeline.nodes:
        recipe = recipes.of(node)
        for name in node.outputs:
            recipes.made[name] = recipe.fingerprint
            if not isinstance(catalog.get(name), AtomicDataset):
                continue
            folder = version_folder(catalog, name)
            if folder is None:
                found.append(Status(name, node.name, "missing", "", f"kedro run --nodes={node.name}"))
                continue
            record = read_record(folder)
            maker = continuing.get(record.get("node", ""))
            reason = difference(record, recipe if maker is None else recipes.of(maker))
            if maker is not None and not reason:
                recipes.made[name] = record["fingerprint"]
            found.append(Status(name, node.name, "stale" if reason else "fresh", folder.name, reason))
    hashes.save()
    code.save()
    return found


def difference(record: Mapping[str, Any], recipe: Recipe) -> str:
    """Say what differs between a record and a recipe; empty when nothing does."""
    if not record:
        return "its lineage is not recorded"
    if record["fingerprint"] == recipe.fingerprint:
        return ""
    old_inputs = {name: entry["fingerprint"] for name, entry in record["inputs"].items()}
    # What an update continued is the version before: by now it is the update itself.
    changed = [f"input {name}" for name in _changed(old_inputs, recipe.inputs) if not name.startswith(PREVIOUS)]
    changed += [
        f"parameter {name.removeprefix('params:')}" for name in _changed(record["parameters"], recipe.parameters)
    ]
    if record["code"] != recipe.code:
        changed.append("code")
    return f"{', '.join(changed)} changed" if changed else ""


def stale_nodes(found: list[Status]) -> list[str]:
    """Nodes to run so that everything is fresh, each once, in order."""
    return list(dict.fromkeys(status.node for status in found if status.state != "fresh"))


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))

"""Checkpoints: safetensors for tensors, JSON for everything else, written under another name and renamed.

* A **model** checkpoint (``model.safetensors``, ``model.json``) is all that evaluation and prediction need.
* A **state** checkpoint also holds optimiser, averaged weights and random states: a killed run continues bit for bit.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atft_pipeline.config import from_mapping, to_mapping
from atft_pipeline.errors import ArtifactError, ConfigError
from atft_pipeline.files import atomic, saving, sweep
from atft_pipeline.lineage import hash_file, hash_json, take_checksum, with_checksum
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import InputSpec, ModelConfig
from atft_pipeline.panel.batches import BatchConfig
from atft_pipeline.panel.panel import Panel, PanelMeta
from atft_pipeline.training.checkpoint.origin import Origin

MODEL_TENSORS = "model.safetensors"
MODEL_CARD = "model.json"
# What building a model raises where its card and its weights are not what was saved.
BAD_CARD = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class ModelCard:
    """What a model was trained on and how its inputs must look.

    Attributes:
        model: configuration of the model.
        spec: its inputs.
        batches: window and sample rules.
        switches: which blocks were on, see :meth:`ATFTGATFAN.switch`.
        horizons: sessions ahead of each score.
        label: ``close_to_close`` or ``open_to_open``.
        panel: fingerprint of the panel.
        columns: hash of the feature names in their order.
        sectors: names by id.
        markets: names by id.
        origin: days, market and artifacts of the training.
        training: epoch, validation RankIC and the like.
    """

    model: ModelConfig
    spec: InputSpec
    batches: BatchConfig
    switches: Mapping[str, bool]
    horizons: tuple[int, ...]
    label: str
    panel: str
    columns: str
    sectors: tuple[str, ...]
    markets: tuple[str, ...]
    origin: Origin
    training: Mapping[str, Any]


def columns_hash(meta: PanelMeta) -> str:
    """Hash of feature names, order and market columns."""
    return hash_json([list(meta.feature_names), list(meta.market_features)])


def save_model(folder: Path, weights: Mapping[str, Tensor], card: ModelCard) -> None:
    """Write a model checkpoint; ``folder`` appears complete or not at all."""

    def fill(path: Path) -> None:
        save_file(_plain(weights), path / MODEL_TENSORS)
        document = {name: to_mapping(value) for name, value in vars(card).items()}
        document["weights"] = hash_file(path / MODEL_TENSORS)
        write_card(path / MODEL_CARD, document)

    write_folder(folder, fill)


def load_model(folder: Path) -> tuple[ATFTGATFAN, ModelCard]:
    """Read a model checkpoint.

    Returns:
        The model in evaluation mode on the CPU, and its card.

    Raises:
        ArtifactError: a file is missing, cut short, or does not fit the other.
    """
    document = read_card(folder / MODEL_CARD)
    if "origin" not in document:
        msg = f"{folder} was trained by an earlier version of the project; train again with: kedro run --pipeline=train"
        raise ArtifactError(msg)
    weights = document.pop("weights", None)
    path = folder / MODEL_TENSORS
    if not path.is_file() or hash_file(path) != weights:
        msg = f"{path} is missing or damaged; train again with: kedro run --pipeline=train"
        raise ArtifactError(msg)
    try:
        model, card = _build(document, load_file(path))
    except ConfigError as error:
        # The checksums agree: what was saved is whole, but its parameters are those of another version.
        msg = f"{folder} was trained by another version of the project; train again with: kedro run --pipeline=train"
        raise ArtifactError(msg) from error
    except BAD_CARD as error:
        told = " ".join(str(error).split())[:120]
        msg = f"{folder} is damaged ({type(error).__name__}: {told}); train again with: kedro run --pipeline=train"
        raise ArtifactError(msg) from error
    return model.eval(), card


def _build(document: Mapping[str, Any], weights: Mapping[str, Tensor]) -> tuple[ATFTGATFAN, ModelCard]:
    """Build a model from what its two files hold."""
    card = ModelCard(
        model=from_mapping(ModelConfig, document["model"]),
        spec=from_mapping(InputSpec, document["spec"]),
        batches=from_mapping(BatchConfig, document["batches"]),
        switches=document["switches"],
        horizons=tuple(document["horizons"]),
        label=document["label"],
        panel=document["panel"],
        columns=document["columns"],
        sectors=tuple(document["sectors"]),
        markets=tuple(document["markets"]),
        origin=from_mapping(Origin, document["origin"]),
        training=document["training"],
    )
    refuse_infinite(weights)
    model = ATFTGATFAN(card.model, card.spec)
    model.load_state_dict(weights)
    model.switch(**card.switches)
    return model, card


def refuse_infinite(weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that no training leaves: the file, not the learning rate, is at fault.

    Raises:
        ValueError: naming the first tensor.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            msg = f"{name} holds weights that are not finite"
            raise ValueError(msg)


def start_from(network: ATFTGATFAN, folder: Path) -> None:
    """Give a new model the weights of an earlier one of the same shape.

    Raises:
        ArtifactError: the earlier model has other parameters or inputs.
    """
    earlier, card = load_model(folder)
    if (card.model, card.spec) != (network.config, network.spec):
        msg = f"{folder}: its model parameters or inputs differ from those of this training; start without its weights"
        raise ArtifactError(msg)
    network.load_state_dict(earlier.state_dict())


def panel_for(card: ModelCard, panel: Panel) -> Panel:
    """See a panel as the model was trained to read it.

    Args:
        card: of the model.
        panel: with at least the model's features.

    Returns:
        The panel with the model's features alone.

    Raises:
        ArtifactError: a feature is missing, or their order, horizons, sectors or markets differ.
    """
    missing = sorted(set(card.spec.feature_names) - set(panel.meta.feature_names))
    if missing:
        msg = (
            f"{panel.path} lacks {len(missing)} of the model's {len(card.spec.feature_names)} features "
            f"({', '.join(missing[:5])}); train again with: kedro run --pipeline=train"
        )
        raise ArtifactError(msg)
    seen = panel.select(card.spec.feature_names)
    meta = seen.meta
    pairs = {
        "features": (card.columns, columns_hash(meta)),
        "horizons": (card.horizons, meta.horizons),
        "label": (card.label, meta.label),
        "sectors": (card.sectors, meta.sectors),
        "markets": (card.markets, meta.markets),
    }
    for name, (trained, given) in pairs.items():
        if trained != given:
            msg = (
                f"the model was trained on other {name} than the panel {meta.fingerprint[:8]} holds; "
                "train again with: kedro run --pipeline=train"
            )
            raise ArtifactError(msg)
    return seen


def save_state(folder: Path, tensors: Mapping[str, Tensor], document: Mapping[str, Any]) -> None:
    """Write a state checkpoint; ``folder`` appears complete or not at all."""

    def fill(path: Path) -> None:
        save_file(_plain(tensors), path / "state.safetensors")
        content = {**document, "tensors": hash_file(path / "state.safetensors")}
        write_card(path / "state.json", content)

    write_folder(folder, fill)


def load_state(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a state checkpoint.

    Raises:
        ArtifactError: it is damaged.
    """
    document = read_card(folder / "state.json")
    path = folder / "state.safetensors"
    if not path.is_file() or hash_file(path) != document.get("tensors"):
        msg = f"{path} is missing or damaged"
        raise ArtifactError(msg)
    try:
        tensors = load_file(path)
        refuse_infinite({name: tensor for name, tensor in tensors.items() if name.startswith("model/")})
        return tensors, document
    except (SafetensorError, ValueError) as error:
        msg = f"{path} is damaged ({error})"
        raise ArtifactError(msg) from error


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Write a folder that appears complete or not at all.

    Raises:
        ArtifactError: the system refuses to write; nothing is left behind.
    """
    with saving(folder.name, folder, (SafetensorError,)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent)
        with atomic(folder) as temporary:
            temporary.mkdir()
            fill(temporary)


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split an optimiser's state into tensors and plain values, both by ``<parameter>/<name>``."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            (tensors if isinstance(value, Tensor) else values)[f"{number}/{name}"] = value
    return tensors, values


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Undo :func:`flatten_optimizer`."""
    document = optimizer.state_dict()
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **values}.items():
        number, name = key.split("/")
        state.setdefault(int(number), {})[name] = value
    document["state"] = state
    optimizer.load_state_dict(document)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def write_card(path: Path, document: Mapping[str, Any]) -> None:
    """Write plain JSON types with a checksum of themselves."""
    path.write_text(json.dumps(with_checksum(document), indent=2) + "\n", encoding="utf-8")


def read_card(path: Path) -> dict[str, Any]:
    """Read what :func:`write_card` wrote; a card without a checksum is of an earlier version of this project."""
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        reason = "" if take_checksum(document) else "other words than were saved"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        document, reason = {}, type(error).__name__
    if reason:
        msg = f"{path} is missing or damaged ({reason}); train again with: kedro run --pipeline=train"
        raise ArtifactError(msg)
    return document

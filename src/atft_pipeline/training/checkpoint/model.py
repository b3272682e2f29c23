"""Checkpoints: safetensors for tensors, JSON for everything else, written under another name and renamed.

* A **model** checkpoint (``model.safetensors``, ``model.json``) is all that evaluation and prediction need. It holds
  one model or several of the same shape: an ensemble of seeds, the tensors of whose second model begin with ``1/``,
  those of the third with ``2/`` and so on.
* A **state** checkpoint also holds optimiser, averaged weights and random states: a killed run continues bit for bit.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from atft_pipeline.model.ensemble import Ensemble
from atft_pipeline.panel.config import BatchConfig
from atft_pipeline.panel.panel import Panel, PanelMeta
from atft_pipeline.training.checkpoint.origin import Origin, joined_spans

MODEL_TENSORS = "model.safetensors"
MODEL_CARD = "model.json"
# What building a model raises where its card and its weights are not what was saved.
BAD_CARD = (LookupError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError)


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Attributes:
        switches: which blocks were on, see :meth:`ATFTGATFAN.switch`.
        training: seed, epoch, validation RankIC and the like.
    """

    switches: Mapping[str, bool]
    training: Mapping[str, Any]


@dataclass(frozen=True)
class ModelCard:
    """What a model was trained on and how its inputs must look.

    Attributes:
        model: configuration of the model.
        spec: its inputs.
        batches: window and sample rules.
        horizons: sessions ahead of each score.
        label: ``close_to_close`` or ``open_to_open``.
        panel: fingerprint of the panel.
        columns: hash of the feature names in their order.
        sectors: names by id.
        markets: names by id.
        origin: days, market and artifacts of the training.
        members: the models, one for an ordinary training; the first one's seed is that of the parameters.
    """

    model: ModelConfig
    spec: InputSpec
    batches: BatchConfig
    horizons: tuple[int, ...]
    label: str
    panel: str
    columns: str
    sectors: tuple[str, ...]
    markets: tuple[str, ...]
    origin: Origin
    members: tuple[Member, ...]


def columns_hash(meta: PanelMeta) -> str:
    """Hash of feature names, order and market columns."""
    return hash_json([list(meta.feature_names), list(meta.market_features)])


def save_model(folder: Path, weights: Sequence[Mapping[str, Tensor]], card: ModelCard) -> None:
    """Write a model checkpoint; ``folder`` appears complete or not at all.

    Args:
        folder: of the checkpoint.
        weights: of each member, by name.
        card: of them.
    """
    tensors = {_key(place, name): value for place, own in enumerate(weights) for name, value in own.items()}

    def fill(path: Path) -> None:
        save_file(_plain(tensors), path / MODEL_TENSORS)
        document = {name: to_mapping(value) for name, value in vars(card).items()}
        document["weights"] = hash_file(path / MODEL_TENSORS)
        write_card(path / MODEL_CARD, document)

    write_folder(folder, fill)


def join_models(folder: Path, members: Sequence[Path]) -> None:
    """Write the models of several checkpoints, alike but for their seeds, as one checkpoint.

    Raises:
        ArtifactError: one of them is damaged.
    """
    loaded = [load_model(member) for member in members]
    cards = [card for _, card in loaded]
    origin = replace(
        cards[0].origin,
        read_train=joined_spans(card.origin.read_train for card in cards),
        read_validation=joined_spans(card.origin.read_validation for card in cards),
    )
    card = replace(cards[0], origin=origin, members=tuple(one for card in cards for one in card.members))
    save_model(folder, [model.state_dict() for ensemble, _ in loaded for model in ensemble], card)


def load_model(folder: Path) -> tuple[Ensemble, ModelCard]:
    """Read a model checkpoint.

    Returns:
        The models in evaluation mode on the CPU, and their card.

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


def _build(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Ensemble, ModelCard]:
    """Build the models from what their two files hold."""
    # A card of earlier versions describes its only model itself.
    members = document.get("members") or [document]
    card = ModelCard(
        model=from_mapping(ModelConfig, document["model"]),
        spec=from_mapping(InputSpec, document["spec"]),
        batches=from_mapping(BatchConfig, document["batches"]),
        horizons=tuple(document["horizons"]),
        label=document["label"],
        panel=document["panel"],
        columns=document["columns"],
        sectors=tuple(document["sectors"]),
        markets=tuple(document["markets"]),
        origin=from_mapping(Origin, document["origin"]),
        members=tuple(Member(member["switches"], member["training"]) for member in members),
    )
    refuse_infinite(tensors)
    models = []
    for place, member in enumerate(card.members):
        model = ATFTGATFAN(card.model, card.spec)
        model.load_state_dict(_weights_of(place, tensors))
        model.switch(**member.switches)
        models.append(model)
    return Ensemble(models), card


def _key(place: int, name: str) -> str:
    """Name of a tensor of a member in the file; the first member's are as they were when there was only one."""
    return f"{place}/{name}" if place else name


def _weights_of(place: int, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one member."""
    parts = ((key.rpartition("/"), tensor) for key, tensor in tensors.items())
    return {name: tensor for (prefix, _, name), tensor in parts if int(prefix or 0) == place}


def refuse_infinite(weights: Mapping[str, Tensor]) -> None:
    """Refuse weights that no training leaves: the file, not the learning rate, is at fault.

    Raises:
        ValueError: naming the first tensor.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            msg = f"{name} holds weights that are not finite"
            raise ValueError(msg)


def start_from(network: ATFTGATFAN, folder: Path, seed: int) -> None:
    """Give a new model the weights of an earlier one of the same shape.

    Args:
        network: the new model.
        folder: of the earlier one; of an ensemble the member with the same seed is taken, or the first.
        seed: of the new model.

    Raises:
        ArtifactError: the earlier model has other parameters or inputs.
    """
    earlier, card = load_model(folder)
    if (card.model, card.spec) != (network.config, network.spec):
        msg = f"{folder}: its model parameters or inputs differ from those of this training; start without its weights"
        raise ArtifactError(msg)
    seeds = [member.training.get("seed") for member in card.members]
    network.load_state_dict(earlier[seeds.index(seed) if seed in seeds else 0].state_dict())


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

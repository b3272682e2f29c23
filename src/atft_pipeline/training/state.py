"""States of a run on disk: what a killed run continues from, and the best weights so far."""

import logging
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atft_pipeline.errors import ArtifactError
from atft_pipeline.training.checkpoint import (
    ModelCard,
    flatten_optimizer,
    load_state,
    remove_folder,
    restore_optimizer,
    save_model,
    save_state,
)

log = logging.getLogger(__name__)


@dataclass
class TrainingState:
    """Where a run stands.

    Attributes:
        epoch: epochs done.
        step: optimiser steps done.
        best: best validation RankIC so far.
        best_epoch: epoch that reached it, -1 before the first.
        history: one record an epoch.
        ema: averaged weights by name, empty without averaging.
    """

    epoch: int = 0
    step: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    ema: dict[str, Tensor] = field(default_factory=dict)


class StateStore:
    """The folder of one run's states; another configuration or panel has another folder.

    Args:
        folder: of this run.
        fingerprint: of everything that the run was started with.
        keep: states kept.
    """

    def __init__(self, folder: Path, fingerprint: str, keep: int) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.keep = keep

    def clear(self) -> None:
        """Begin afresh: forget earlier states of the same run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, state: TrainingState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the state after an epoch, then drop the oldest ones."""
        tensors, values = flatten_optimizer(optimizer)
        everything = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
        everything |= {f"optimizer/{name}": tensor for name, tensor in tensors.items()}
        everything |= {f"ema/{name}": tensor for name, tensor in state.ema.items()}
        everything["random/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            everything["random/cuda"] = torch.cuda.get_rng_state()
        document = {
            "fingerprint": self.fingerprint,
            "epoch": state.epoch,
            "step": state.step,
            "best": state.best,
            "best_epoch": state.best_epoch,
            "history": state.history,
            "optimizer": values,
        }
        save_state(self.folder / f"epoch-{state.epoch:04d}", everything, document)
        for old in self._states()[: -self.keep]:
            remove_folder(old)

    def restore(self, state: TrainingState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Load the newest readable state into the given objects.

        Raises:
            ArtifactError: there is none for this configuration and panel.
        """
        for folder in reversed(self._states()):
            try:
                tensors, document = load_state(folder)
            except ArtifactError as error:
                log.warning("%s; going back to the state before it", error)
                continue
            model.load_state_dict(_part(tensors, "model"))
            restore_optimizer(optimizer, _part(tensors, "optimizer"), document["optimizer"])
            for name, tensor in _part(tensors, "ema").items():
                state.ema[name].copy_(tensor)
            torch.set_rng_state(tensors["random/cpu"])
            if torch.cuda.is_available() and "random/cuda" in tensors:
                torch.cuda.set_rng_state(tensors["random/cuda"])
            for name in ("epoch", "step", "best", "best_epoch", "history"):
                setattr(state, name, document[name])
            log.info("resumed after epoch %d", state.epoch)
            return
        msg = (
            f"training.resume: {self.folder} holds no readable state of these parameters on this panel; "
            "start afresh with training.resume=false"
        )
        raise ArtifactError(msg)

    def save_best(self, epoch: int, weights: dict[str, Tensor], card: ModelCard) -> None:
        """Keep the best weights; the earlier best is dropped only after the new one is complete."""
        older = self._best()
        save_model(self.folder / f"best-{epoch:04d}", weights, card)
        for old in older:
            if old != self.folder / f"best-{epoch:04d}":
                remove_folder(old)

    def forget_states(self) -> None:
        """Drop the states and keep the best weights, once nothing will be resumed."""
        for old in self._states():
            remove_folder(old)

    def best_folder(self) -> Path:
        """Folder of the best weights.

        Raises:
            ArtifactError: no epoch was completed.
        """
        best = self._best()
        if not best:
            msg = f"{self.folder} holds no completed epoch; train with: kedro run --pipeline=train"
            raise ArtifactError(msg)
        return best[-1]

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*"))

    def _best(self) -> list[Path]:
        return sorted(self.folder.glob("best-*"))


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.split("/", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}

"""States of a run on disk: what a killed run continues from, and the best weights so far."""

import logging
import math
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from atft_pipeline.errors import ArtifactError, TrainingError
from atft_pipeline.files import remove
from atft_pipeline.locks import Lock
from atft_pipeline.training.checkpoint.model import (
    ModelCard,
    flatten_optimizer,
    load_state,
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
        done: steps done of the running epoch.
        batch_size: samples of a batch.
        accumulation: batches of a step, over all processes.
        step: optimiser steps done in all.
        best: best validation RankIC so far.
        best_epoch: epoch that reached it, -1 before the first.
        history: one record an epoch.
        kept: epochs whose weights are kept and their validation RankIC, the best first.
        sums: packed sums of the running epoch, see :class:`MetricAccumulator`.
        loss_memory: returns of the running epoch's last days that the Sharpe term goes on from, see
            :attr:`CompositeLoss.memory`.
        ema: averaged weights by name, empty without averaging.
        read: days whose batches were built, for training and validation.
    """

    epoch: int = 0
    done: int = 0
    batch_size: int = 0
    accumulation: int = 1
    step: int = 0
    best: float = -math.inf
    best_epoch: int = -1
    history: list[dict[str, Any]] = field(default_factory=list)
    kept: list[tuple[int, float]] = field(default_factory=list)
    sums: dict[str, Any] = field(default_factory=dict)
    loss_memory: Tensor | None = None
    ema: dict[str, Tensor] = field(default_factory=dict)
    read: dict[str, set[int]] = field(default_factory=lambda: {"train": set(), "validation": set()})

    @property
    def name(self) -> str:
        """Name that sorts by progress."""
        return f"epoch-{self.epoch:04d}" + (f"-{self.done:08d}" if self.done else "")


# The newest state, and the one before it for when the newest was damaged.
KEEP_STATES = 2
# Models by validation RankIC: what reads a training reads its best one.
KEEP_BEST = 1
PLAIN = ("epoch", "done", "batch_size", "accumulation", "step", "best", "best_epoch", "history", "kept", "sums")


class StateStore:
    """The folder of one run's states; another configuration or panel has another folder.

    Args:
        folder: of this run.
        fingerprint: of everything that the run was started with.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self._lock = Lock(folder.with_name(f"{folder.name}.lock"))

    def claim(self) -> None:
        """Keep other processes out of the folder until :meth:`close` or the end of this one.

        Raises:
            TrainingError: another process is training the same.
        """
        holder = self._lock.claim("training")
        if holder:
            msg = (
                f"{self.folder} is in use: {holder} trains with the same parameters on the same panel; wait for it, or "
                "change training.seed"
            )
            raise TrainingError(msg)

    def discard(self) -> None:
        """Forget earlier states of a run that will begin later.

        Raises:
            TrainingError: another process is training the same.
        """
        self.claim()
        self.clear()
        self.close()

    def close(self) -> None:
        """Let other processes into the folder."""
        self._lock.release()

    def clear(self) -> None:
        """Begin afresh: forget earlier states of the same run."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save(self, state: TrainingState, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the state, then drop the oldest ones."""
        tensors, values = flatten_optimizer(optimizer)
        everything = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
        everything |= {f"optimizer/{name}": tensor for name, tensor in tensors.items()}
        everything |= {f"ema/{name}": tensor for name, tensor in state.ema.items()}
        everything["random/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            everything["random/cuda"] = torch.cuda.get_rng_state()
        if state.loss_memory is not None:
            everything["loss/memory"] = state.loss_memory
        document = {"fingerprint": self.fingerprint, "optimizer": values}
        document |= {name: getattr(state, name) for name in PLAIN}
        document["read"] = {part: sorted(days) for part, days in state.read.items()}
        save_state(self.folder / state.name, everything, document)
        for old in self._states()[:-KEEP_STATES]:
            remove(old)

    @property
    def batch_shape(self) -> tuple[int, int] | None:
        """Samples of a batch and batches of a step of the newest readable state, ``None`` without one."""
        for folder in reversed(self._states()):
            with suppress(ArtifactError):
                document = load_state(folder)[1]
                return int(document["batch_size"]), int(document["accumulation"])
        return None

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
            for name in PLAIN:
                setattr(state, name, document[name])
            state.kept = [(int(epoch), float(value)) for epoch, value in state.kept]
            state.read = {part: set(days) for part, days in document["read"].items()}
            state.loss_memory = tensors.get("loss/memory")
            within = f", step {state.done} of the next" if state.done else ""
            log.info("resumed after epoch %d%s", state.epoch, within)
            return
        msg = (
            f"training.resume: {self.folder} holds no readable state of these parameters on this panel; "
            "start afresh with training.resume=false"
        )
        raise ArtifactError(msg)

    def save_best(self, state: TrainingState, value: float, weights: dict[str, Tensor], card: ModelCard) -> None:
        """Keep the weights of an epoch that is among the best; :meth:`delete_displaced` drops the displaced one."""
        kept = sorted([*state.kept, (state.epoch, value)], key=lambda entry: -entry[1])[:KEEP_BEST]
        if (state.epoch, value) in kept:
            save_model(self._best(state.epoch), [weights], card)
            state.kept = kept

    def delete_displaced(self, state: TrainingState) -> None:
        """Drop models that the saved state no longer counts among the best."""
        wanted = {self._best(epoch) for epoch, _ in state.kept}
        for old in set(self.folder.glob("best-*")) - wanted:
            remove(old)

    def best_folder(self, state: TrainingState) -> Path:
        """Folder of the best weights.

        Raises:
            ArtifactError: no epoch was completed.
        """
        if not state.kept:
            msg = f"{self.folder} holds no completed epoch; train with: kedro run --pipeline=train"
            raise ArtifactError(msg)
        return self._best(state.kept[0][0])

    def _states(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*"))

    def _best(self, epoch: int) -> Path:
        return self.folder / f"best-{epoch:04d}"


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.split("/", 1)[1]: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}

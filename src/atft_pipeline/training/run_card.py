"""The run card: what was ACTIVE in a training, read from the objects themselves and not from the configuration."""

from collections import Counter
from typing import Any

import torch

from atft_pipeline.training.optimizers import is_fused
from atft_pipeline.training.runtime import compiled_graphs
from atft_pipeline.training.session import Session


def build_run_card(session: Session, seconds: float) -> dict[str, Any]:
    """Describe a finished training in plain JSON types.

    Args:
        session: the objects of the training.
        seconds: wall time of all epochs.

    Returns:
        Device, precision, compiled graphs, attention kernel, optimiser, panel residency, loss terms, time by part.
    """
    state, timer, runtime = session.state, session.timer, session.runtime
    parameters = list(session.model.parameters())
    epoch_days = len(session.train_batches.days)
    return {
        "device": {**_choice(runtime.device), "name": _device_name(session.device), "torch": torch.__version__},
        "precision": {
            **_choice(runtime.precision),
            "weights": str(parameters[0].dtype).removeprefix("torch."),
            "matmul": torch.get_float32_matmul_precision(),
        },
        "compile": {**_choice(runtime.compile), **compiled_graphs()},
        "attention": _choice(runtime.attention),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "optimizer": _optimizer(session),
        "ema": {"active": bool(state.ema), "decay": session.training.ema_decay},
        "accumulation": session.training.accumulation,
        "panel": {
            "residency": session.resident.choice.value,
            "reason": session.resident.choice.reason,
            "fingerprint": session.meta.fingerprint,
            "precision": session.meta.dtype,
        },
        "model": {
            "parameters": sum(parameter.numel() for parameter in parameters),
            "modules": dict(sorted(Counter(type(module).__name__ for module in session.model.modules()).items())),
            "switches": dict(session.model.switches),
        },
        "loss_terms": session.terms_seen,
        "data": {
            "training_days": epoch_days,
            "dropped_days": session.train_batches.dropped + session.validation_batches.dropped,
            "training_samples": session.train_batches.samples,
            "batches_per_epoch": session.batches_per_epoch,
            "all_batches_per_epoch": len(session.train_batches),
            "limited": session.batches_per_epoch < len(session.train_batches),
        },
        "time": {
            "seconds": seconds,
            "by_part": {name: round(value, 3) for name, value in sorted(timer.seconds.items())},
            "data_wait_share": timer.share("data"),
            "samples_per_second": session.samples_seen / seconds if seconds else 0.0,
        },
        "result": {
            "epochs": state.epoch,
            "best_epoch": state.best_epoch,
            "val_rank_ic": state.best,
            "checkpoint": session.store.fingerprint,
        },
        "warnings": _warnings(session),
    }


def _choice(choice: Any) -> dict[str, str]:
    return {"value": choice.value, "reason": choice.reason}


def _optimizer(session: Session) -> dict[str, Any]:
    # Fabric wraps the optimiser; the card speaks of the one that steps.
    inner = getattr(session.optimizer, "optimizer", session.optimizer)
    return {
        "class": f"{type(inner).__module__}.{type(inner).__name__}",
        "fused": is_fused(inner),
        "reason": session.optimizer_reason,
        "last_lr": float(inner.param_groups[0]["lr"]),
        "steps": session.state.step,
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads"


def _warnings(session: Session) -> list[str]:
    found = []
    if session.batches_per_epoch < len(session.train_batches):
        found.append(
            f"training.max_batches: only {session.batches_per_epoch} of {len(session.train_batches)} batches an epoch "
            "were used; this is for debugging, its numbers mean nothing"
        )
    if not session.terms_seen:
        found.append("no epoch was trained in this process")
    return found

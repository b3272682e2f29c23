"""The run card: what was ACTIVE in a training, read from the objects themselves and not from the configuration.

Where what was asked for and what was active differ, the card warns.
"""

import math
from collections import Counter
from typing import Any

import torch

from atft_pipeline.model.summary import blocks
from atft_pipeline.training.optim.optimizers import is_fused
from atft_pipeline.training.run_card.probe import probe
from atft_pipeline.training.runtime.runtime import compiled_graphs
from atft_pipeline.training.trainer import Trainer

OPTIMIZERS = {"adamw": "AdamW", "adabelief": "AdaBelief", "sgd": "SGD"}
# Least relative change of the scores by which a block is told to have an effect.
EFFECT = 1e-6


def build_run_card(trainer: Trainer, seconds: float, *, probed: bool = True) -> dict[str, Any]:
    """Describe a training in plain JSON types.

    Args:
        trainer: the objects of the training.
        seconds: wall time of all epochs.
        probed: look at the model too, which takes five forward passes: at the end of a training, not after each epoch.

    Returns:
        Device, precision, compiled graphs, attention kernel, optimiser, panel residency, loss terms, time by part, what
        a probe of the model found (empty where there was none), and warnings.
    """
    state, runtime = trainer.state, trainer.runtime
    parameters = list(trainer.model.parameters())
    card = {
        "seed": trainer.experiment.training.seed,
        "device": {
            **_choice(runtime.device),
            "name": _device_name(trainer.device),
            "torch": torch.__version__,
            "processes": trainer.processes.world,
        },
        "precision": {
            **_choice(runtime.precision),
            "weights": str(parameters[0].dtype).removeprefix("torch."),
            "matmul": torch.get_float32_matmul_precision(),
        },
        "compile": {**_choice(runtime.compile), "mode": runtime.compile_mode, **compiled_graphs()},
        "attention": _choice(runtime.attention),
        "deterministic": {**_choice(runtime.deterministic), "active": torch.are_deterministic_algorithms_enabled()},
        "optimizer": _optimizer(trainer),
        "ema": {"active": bool(state.ema), "decay": trainer.experiment.training.ema_decay},
        "accumulation": trainer.experiment.training.accumulation,
        "panel": {
            "residency": trainer.resident.choice.value,
            "reason": trainer.resident.choice.reason,
            "fingerprint": trainer.meta.fingerprint,
            "precision": trainer.meta.dtype,
            "features": len(trainer.meta.feature_names),
        },
        "model": {
            "parameters": sum(parameter.numel() for parameter in parameters),
            "modules": dict(sorted(Counter(type(module).__name__ for module in trainer.model.modules()).items())),
            "switches": dict(trainer.model.switches),
            "blocks": {block.name: block.parameters for block in blocks(trainer.model)},
        },
        "probe": probe(trainer) if probed else {},
        "loss_terms": trainer.terms_seen,
        "horizon_weights": dict(
            zip(map(str, trainer.horizons), trainer.experiment.loss.weights_of(trainer.horizons), strict=True)
        ),
        "data": _data(trainer),
        "time": _time(trainer, seconds),
        "result": {
            "epochs": state.epoch,
            "best_epoch": state.kept[0][0] if state.kept else -1,
            "val_rank_ic": state.kept[0][1] if state.kept else math.nan,
            "kept": [list(entry) for entry in state.kept],
            "checkpoint": trainer.store.fingerprint,
        },
    }
    return {**card, "warnings": _warnings(trainer, card)}


def _choice(choice: Any) -> dict[str, str]:
    return {"value": choice.value, "reason": choice.reason}


def _optimizer(trainer: Trainer) -> dict[str, Any]:
    # Fabric wraps the optimiser; the card describes the one that steps.
    inner = getattr(trainer.optimizer, "optimizer", trainer.optimizer)
    return {
        "class": f"{type(inner).__module__}.{type(inner).__name__}",
        "fused": is_fused(inner),
        "reason": trainer.optimizer_reason,
        "schedule": trainer.experiment.training.schedule.name,
        "last_lr": float(inner.param_groups[0]["lr"]),
        "steps": trainer.state.step,
        "steps_per_epoch": trainer.epoch_steps,
        "epoch_ends": list(trainer.epoch_ends),
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{threads} CPU thread{'s' * (threads != 1)}"


def _data(trainer: Trainer) -> dict[str, Any]:
    return {
        "training_days": len(trainer.train_batches.days),
        "dropped_days": trainer.train_batches.dropped + trainer.validation_batches.dropped,
        "training_samples": trainer.train_batches.samples,
        "batch_size": trainer.experiment.batches.batch_size,
        "asked_batch_size": trainer.asked.batches.batch_size,
        "batches_per_epoch": trainer.batches_per_epoch,
        "all_batches_per_epoch": len(trainer.train_batches),
        "limited": trainer.batches_per_epoch < len(trainer.train_batches),
    }


def _time(trainer: Trainer, seconds: float) -> dict[str, Any]:
    timer = trainer.timer
    found: dict[str, Any] = {
        "seconds": seconds,
        "first_step_seconds": trainer.first_step_seconds,
        "by_part": {name: round(value, 3) for name, value in sorted(timer.seconds.items())},
        "data_wait_share": timer.share("data"),
        "samples_per_second": trainer.processes.world * trainer.samples_seen / seconds if seconds else 0.0,
    }
    if timer.device_seconds:
        found["device_by_part"] = {name: round(value, 3) for name, value in sorted(timer.device_seconds.items())}
    if trainer.sampler is not None:
        found["gpu"] = trainer.sampler.summary()
    return found


def _warnings(trainer: Trainer, card: dict[str, Any]) -> list[str]:
    """Everything in which what was active is not what was asked for."""
    training, model, state = trainer.experiment.training, trainer.model, trainer.state
    compiled, last = card["compile"], trainer.phase
    wanted_steps = trainer.epoch_ends[state.epoch - 1] if state.epoch else 0
    kind, asked = card["optimizer"]["class"].rsplit(".", 1)[-1], OPTIMIZERS[training.optimizer.name]
    rate, planned = card["optimizer"]["last_lr"], trainer.planned_rate(max(state.step - 1, 0))
    silent = [name for name, weight in _weights(trainer).items() if weight and name not in trainer.terms_seen]
    there = {"normaliser": model.config.normaliser.kind != "none", "graph": len(model.graph.layers) > 0}
    best_epoch = card["result"]["best_epoch"]
    best = training.phase_of(best_epoch) if state.kept else last
    left_out = [
        name
        for name, exists in there.items()
        if exists and not getattr(best, name) and any(getattr(phase, name) for phase in training.plan)
    ]
    checks = {
        f"training.max_batches: only {trainer.batches_per_epoch} of {len(trainer.train_batches)} batches an epoch were "
        "used; this is for debugging, its numbers mean nothing": card["data"]["limited"],
        f"out of memory: batches.batch_size {trainer.asked.batches.batch_size} was asked for; "
        f"{trainer.experiment.batches.batch_size} with training.accumulation {training.accumulation}, the same step, "
        "fitted": training.accumulation != trainer.asked.training.accumulation
        and trainer.experiment.batches.batch_size != trainer.asked.batches.batch_size,
        "no epoch was trained in this process": not trainer.terms_seen,
        f"training.optimizer: {asked} was asked for, {kind} steps": kind != asked,
        f"training.schedule: the last learning rate is {rate:g}, the plan says {planned:g}": not math.isclose(
            rate, planned, rel_tol=1e-6
        ),
        f"training.accumulation: {state.step} steps were made, {wanted_steps} follow from the plan": state.step
        != wanted_steps,
        f"loss: {', '.join(silent)} has a weight but did not contribute": bool(silent) and bool(trainer.terms_seen),
        f"phase {last.name}: the switches of the model are {dict(model.switches)}": dict(model.switches)
        != {"normaliser": last.normaliser, "graph": last.graph},
        f"training.phases: the best epoch, {best_epoch}, is of phase {best.name}: the saved model does not use the "
        f"{' and the '.join(left_out)}, which other phases switch on": bool(left_out),
        f"runtime.compile: {compiled['value']} was chosen, but nothing was compiled": compiled["value"] != "none"
        and not compiled["graphs"],
        f"runtime.compile: full was chosen, but the graph broke {compiled['breaks']} times": compiled["value"] == "full"
        and compiled["breaks"] > 0,
    }
    probe_checks = _probe_checks(trainer, card, there) if card["probe"] else {}
    return [text for text, wrong in (checks | probe_checks).items() if wrong]


def _probe_checks(trainer: Trainer, card: dict[str, Any], there: dict[str, bool]) -> dict[str, bool]:
    """What the probe of the model would show to be wrong, by warning."""
    seen, last = card["probe"], trainer.phase
    precision, attention = card["precision"]["value"], card["attention"]["value"]
    low = precision in {"bf16-mixed", "16-mixed"}
    return {
        "training.ema_decay: averaging was asked for, but nothing is averaged": bool(
            trainer.experiment.training.ema_decay
        )
        and seen["ema_distance"] == 0,
        "training.augmentation: was asked for, but no batch was changed": seen["augmentation_asked"]
        and not seen["augmentation_changes"],
        "the normaliser is on, but the scores do not depend on it": last.normaliser
        and there["normaliser"]
        and seen["normaliser_effect"] < EFFECT,
        "the graph is on, but the scores do not depend on it": last.graph
        and there["graph"]
        and seen["graph_effect"] < EFFECT,
        f"runtime.precision: {precision} was chosen, but the model computes in {seen['activations']}": low
        == (seen["activations"] == "float32"),
        f"runtime.attention: {attention} was chosen, {seen['attention_kernel']} computes": attention
        not in {"sdpa", seen["attention_kernel"]}
        and seen["attention_kernel"] != "none",
        "evaluation is not in evaluation mode: two passes gave different scores": seen["evaluation_noise"] > 0,
    }


def _weights(trainer: Trainer) -> dict[str, float]:
    from atft_pipeline.losses.config import TERMS  # noqa: PLC0415

    config = trainer.phase_loss
    return {name: getattr(config, name) for name in TERMS}

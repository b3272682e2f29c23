"""Ensembles of seeds: one model after the other on the panel that is loaded once, and all of them in one artifact.

An ordinary training is an ensemble of one.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from atft_pipeline.errors import OutOfMemoryError
from atft_pipeline.lineage import hash_json
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.splits.split import Split
from atft_pipeline.training.build import checked, state_store
from atft_pipeline.training.checkpoint.model import join_models
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.loop import Callback, TrainingResult, fit
from atft_pipeline.training.memory import is_out_of_memory, out_of_memory_line
from atft_pipeline.training.runtime.runtime import choose_runtime

log = logging.getLogger(__name__)


def fit_ensemble(
    experiment: Experiment,
    data: MarketData,
    split: Split,
    checkpoint_dir: Path,
    *,
    callback: Callback | None = None,
    initial: Path | None = None,
) -> TrainingResult:
    """Train ``training.seeds`` models; arguments and errors as those of :func:`fit`, which trains one of them.

    A run that is resumed takes the models that were finished from their states, continues the one that was cut short,
    and trains the others.

    Returns:
        One checkpoint with all models, their epochs, each with its seed, and the first one's run card with the results
        and warnings of all.
    """
    members = [replace(experiment, training=member) for member in experiment.training.members]
    shared = data if len(members) == 1 else loaded(experiment, data)
    stores = [state_store(member, data, split, checkpoint_dir, initial) for member in members]
    if not experiment.training.resume:
        for store in stores[1:]:
            # What an earlier run left of this seed: a resume would take it for this run's.
            store.discard()
    results = []
    for place, (member, store) in enumerate(zip(members, stores, strict=True)):
        if len(members) > 1:
            log.info("model %d of %d, seed %d", place + 1, len(members), member.training.seed)
        resume = experiment.training.resume if place == 0 or store.batch_shape is not None else False
        tried = replace(member, training=replace(member.training, resume=resume))
        results.append(fit(tried, shared, split, checkpoint_dir, callback=callback, initial=initial))
    result = joined(results, checkpoint_dir)
    if callback is not None and len(members) > 1:
        callback.on_run_card(result.run_card)
    return result


def loaded(experiment: Experiment, data: MarketData) -> MarketData:
    """The data with the panel in memory, for models that are trained in this process.

    Raises:
        UnavailableError: an explicit request that this machine cannot meet.
        OutOfMemoryError: the panel does not fit.
    """
    if data.resident is not None or experiment.runtime.devices > 1:
        return data
    device = choose_runtime(experiment.runtime).torch_device
    panel = checked(experiment, data)
    try:
        return replace(data, resident=ResidentPanel.load(panel, experiment.residency, device))
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(out_of_memory_line(experiment, experiment)) from error


def joined(results: Sequence[TrainingResult], checkpoint_dir: Path) -> TrainingResult:
    """The models of several trainings as one result; a single one stays as it is.

    Args:
        results: by seed.
        checkpoint_dir: where the checkpoint of all is written.
    """
    if len(results) == 1:
        return results[0]
    fingerprints = [result.run_card["result"]["checkpoint"] for result in results]
    folder = checkpoint_dir / f"ensemble-{hash_json(fingerprints)[:12]}"
    join_models(folder, [result.checkpoint for result in results])
    history = [record for result in results for record in result.history]
    return TrainingResult(folder, history, joined_card([result.run_card for result in results]))


def joined_card(cards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Run card of an ensemble: the first model's, with what each of them reached and all warnings."""
    first = cards[0]
    models = [
        {"seed": card["seed"], **{name: card["result"][name] for name in ("epochs", "best_epoch", "val_rank_ic")}}
        for card in cards
    ]
    seconds = sum(card["time"]["seconds"] for card in cards)
    warnings = [f"seed {card['seed']}: {text}" for card in cards for text in card["warnings"]]
    return {**first, "ensemble": models, "time": {**first["time"], "seconds": seconds}, "warnings": warnings}

"""When memory runs out: half the batch and twice the accumulation, which is the same step, a few times."""

import gc

import torch

from atft_pipeline.errors import TrainingError
from atft_pipeline.process import return_freed_memory
from atft_pipeline.training.experiment import Experiment

HALVINGS = 3
"""Batches of an eighth; what does not fit then would train for days, or does not fit for another reason."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell errors of exhausted memory, on a GPU or in the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def release_memory() -> None:
    """Give back what a training or a fit has left; outside of an ``except`` block, whose error holds the tensors."""
    gc.collect()
    return_freed_memory()
    if torch.cuda.is_available():
        # Graphs that were compiled for the larger batch hold memory too.
        torch.compiler.reset()
        torch.cuda.empty_cache()


def halved(experiment: Experiment, times: int) -> Experiment:
    """The same step in batches of half the size, so many times.

    Raises:
        TrainingError: the fewest listings of a day would not fit.
    """
    smaller = experiment
    for _ in range(times):
        size = smaller.batches.size // 2
        if size < experiment.batches.min_listings:
            raise TrainingError(out_of_memory_line(smaller, experiment))
        smaller = smaller.with_batch_size(size, 2 * smaller.training.accumulation)
    return smaller


def out_of_memory_line(tried: Experiment, asked: Experiment) -> str:
    """What failed, and what to lower."""
    size, first = tried.batches.batch_size, asked.batches.batch_size
    halved_from = "" if size == first else f", halved from {first}"
    return (
        f"out of memory with batches.batch_size {size}{halved_from}: lower it and raise training.accumulation, or set "
        "batches.batch_size=auto, model.checkpointing=true or residency.mode=mmap"
    )

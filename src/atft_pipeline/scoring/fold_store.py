"""Finished folds on disk; what a killed validation continues from.

A fold's folder is named by the fingerprint of all that decides its contents, and appears complete or not at all. It
holds the model (``model.safetensors``, ``model.json``), ``predictions.parquet``, ``history.parquet`` and ``fold.json``.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from atft_pipeline.errors import ArtifactError
from atft_pipeline.lineage import hash_file
from atft_pipeline.training.checkpoint.model import MODEL_CARD, MODEL_TENSORS, read_card, write_card, write_folder

RECORD = "fold.json"
PREDICTIONS = "predictions.parquet"
# Key of the record that holds the hash of the predictions.
SCORES = "predictions"


@dataclass(frozen=True)
class FoldRecord:
    """What a finished fold says of itself; plain JSON types.

    Attributes:
        fold: its number, from 1.
        fingerprint: of panel, graphs, days, parameters and initial weights.
        train: first and last training day, ISO.
        train_days: training days.
        validation: first and last validation day.
        test: first and last test day.
        test_days: test days with scores.
        rows: rows scored.
        rank_ic: by horizon, then by score: mean, se, n_days.
        benchmark: name of the best baseline on the validation days, by horizon.
        weak: why LightGBM is a weak baseline, by horizon; those where it is not are left out.
        best_epoch: epoch whose weights were kept, of an ensemble's first model.
        warm: it began with the weights of the fold before.
        seconds: of training and scoring.
        code: fingerprint of the code that trained it.
    """

    fold: int
    fingerprint: str
    train: tuple[str, str]
    train_days: int
    validation: tuple[str, str]
    test: tuple[str, str]
    test_days: int
    rows: int
    rank_ic: dict[str, dict[str, dict[str, Any]]]
    benchmark: dict[str, str]
    weak: dict[str, str]
    best_epoch: int
    warm: bool
    seconds: float
    code: str


class FoldStore:
    """The folder of one fold.

    Args:
        root: of all folds.
        fingerprint: of this one.
    """

    def __init__(self, root: Path, fingerprint: str) -> None:
        self.folder = root / fingerprint[:16]
        self.fingerprint = fingerprint
        # States of the training under way; they are gone once the fold is finished.
        self.working = root / f"{fingerprint[:16]}.training"

    @property
    def started(self) -> bool:
        """Whether an epoch was finished before the run was cut short."""
        return any(self.working.glob("*/epoch-*/state.json"))

    def read(self) -> FoldRecord | None:
        """The record of the finished fold, ``None`` where it is not finished.

        Raises:
            ArtifactError: the folder is there but its record is another's or unreadable.
        """
        path = self.folder / RECORD
        if not self.folder.exists():
            return None
        try:
            stored = read_card(path)
            scores = stored.pop(SCORES, None)
            listed: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
            record = FoldRecord(**listed)
        except (ArtifactError, ValueError, TypeError) as error:
            msg = f"{path} is missing or damaged ({type(error).__name__}); remove {self.folder} to train the fold again"
            raise ArtifactError(msg) from error
        if record.fingerprint != self.fingerprint:
            msg = f"{path} belongs to fold {record.fingerprint}, not to {self.fingerprint}; remove {self.folder}"
            raise ArtifactError(msg)
        predictions = self.folder / PREDICTIONS
        if scores is not None and not (predictions.is_file() and hash_file(predictions) == scores):
            msg = f"{predictions} is missing or damaged; remove {self.folder} to train the fold again"
            raise ArtifactError(msg)
        return record

    def predictions(self) -> pl.DataFrame:
        """The fold's scores.

        Raises:
            ArtifactError: they are damaged.
        """
        path = self.folder / PREDICTIONS
        try:
            return pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError) as error:
            msg = f"{path} is missing or damaged ({type(error).__name__}); remove {self.folder} to train the fold again"
            raise ArtifactError(msg) from error

    def write(self, record: FoldRecord, model: Path, predictions: pl.DataFrame, history: list[dict[str, Any]]) -> None:
        """Write all of the fold in one step, then drop the states of its training."""

        def fill(path: Path) -> None:
            for name in (MODEL_TENSORS, MODEL_CARD):
                shutil.copyfile(model / name, path / name)
            predictions.write_parquet(path / PREDICTIONS)
            pl.DataFrame(history, infer_schema_length=None).write_parquet(path / "history.parquet")
            write_card(path / RECORD, {**asdict(record), SCORES: hash_file(path / PREDICTIONS)})

        write_folder(self.folder, fill)
        shutil.rmtree(self.working, ignore_errors=True)

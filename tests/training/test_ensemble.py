"""An ensemble of seeds: its members are the models of trainings alone, whatever was killed between them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from atft_pipeline.errors import TrainingError
from atft_pipeline.lineage import take_checksum
from atft_pipeline.reporting.run_card_page import card_page
from atft_pipeline.reporting.training_figures import training_curves
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.splits.split import single_split
from atft_pipeline.training import ensemble
from atft_pipeline.training.build import state_store
from atft_pipeline.training.checkpoint.model import MODEL_CARD, load_model, start_from, write_card
from atft_pipeline.training.config import RuntimeConfig, TrainingConfig
from atft_pipeline.training.ensemble import fit_ensemble
from atft_pipeline.training.experiment import Experiment, MarketData
from atft_pipeline.training.loop import TrainingResult
from tests.training.runs import BATCHES, MODEL, SPLIT, TRAINING, market, run, weights

RUNTIME = RuntimeConfig(device="cpu")
DAYS = range(90, 100)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> MarketData:
    return MarketData(*market(tmp_path_factory.mktemp("market")))


def experiment(**training: Any) -> Experiment:
    return Experiment(
        batches=BATCHES, model=MODEL, training=TrainingConfig(**({**TRAINING, "epochs": 2} | training)), runtime=RUNTIME
    )


def fitted(data: MarketData, folder: Path, callback: Any = None, initial: Path | None = None, **training: Any) -> Any:
    split = single_split(data.panel.dates, SPLIT, data.panel.meta.label_span)
    return fit_ensemble(experiment(**training), data, split, folder, callback=callback, initial=initial)


def scored(result: TrainingResult, data: MarketData) -> pl.DataFrame:
    return Scorer.open(result.checkpoint, data, RUNTIME).frame(DAYS)


@pytest.fixture(scope="module")
def three(data: MarketData, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    result: TrainingResult = fitted(data, tmp_path_factory.mktemp("three"), seeds=3, seed=4)
    return result


@pytest.fixture(scope="module")
def alone(data: MarketData, tmp_path_factory: pytest.TempPathFactory) -> list[TrainingResult]:
    return [run(data.panel, data.graphs, tmp_path_factory.mktemp("alone"), epochs=2, seed=seed) for seed in (4, 5, 6)]


def test_members_are_the_models_of_trainings_alone(three: TrainingResult, alone: list[TrainingResult]) -> None:
    network, card = load_model(three.checkpoint)
    assert [member.training["seed"] for member in card.members] == [4, 5, 6]
    for member, single in zip(network, alone, strict=True):
        expected = weights(single)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in member.state_dict().items())
    assert [record["seed"] for record in three.history] == [4, 4, 5, 5, 6, 6]
    assert [record["val_rank_ic"] for record in three.history] == [
        record["val_rank_ic"] for single in alone for record in single.history
    ]


def test_the_scores_are_the_mean_of_standardised_scores(
    three: TrainingResult, alone: list[TrainingResult], data: MarketData
) -> None:
    together = scored(three, data)
    standard = [
        scored(single, data).select(
            (pl.col(name) - pl.col(name).mean().over("Date")) / pl.col(name).std(ddof=0).over("Date")
            for name in together.columns
            if name.startswith("score_")
        )
        for single in alone
    ]
    for horizon in data.panel.meta.horizons:
        by_member = np.stack([part[f"score_{horizon}"].to_numpy() for part in standard])
        np.testing.assert_allclose(together[f"score_{horizon}"], by_member.mean(axis=0), atol=1e-5)
        np.testing.assert_allclose(together[f"disagreement_{horizon}"], by_member.std(axis=0), atol=1e-5)


def test_an_ensemble_of_one_is_an_ordinary_training(
    data: MarketData, alone: list[TrainingResult], tmp_path: Path
) -> None:
    one = fitted(data, tmp_path, seed=4)
    assert one.checkpoint.name.startswith("best-")
    assert scored(one, data).equals(scored(alone[0], data))
    assert not [name for name in scored(one, data).columns if name.startswith("disagreement")]
    assert "ensemble" not in one.run_card


class _Killed(BaseException):
    pass


class _KillIn:
    """Ends the run after an epoch of one seed, without giving the training a chance to save more."""

    def __init__(self, seed: int, epoch: int) -> None:
        self.last = seed, epoch

    def on_epoch(self, record: Any) -> None:
        if (record["seed"], record["epoch"]) == self.last:
            raise _Killed

    def on_run_card(self, card: Any) -> None: ...

    def on_restart(self) -> None: ...


def test_a_run_killed_in_its_second_seed_goes_on_there(
    data: MarketData, three: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(_Killed):
        fitted(data, tmp_path, _KillIn(5, 1), seeds=3, seed=4)
    asked: list[bool] = []
    one = ensemble.fit
    monkeypatch.setattr(
        ensemble, "fit", lambda tried, *args, **more: asked.append(tried.training.resume) or one(tried, *args, **more)
    )
    resumed = fitted(data, tmp_path, seeds=3, seed=4, resume=True)
    assert asked == [True, True, False]
    assert scored(resumed, data).equals(scored(three, data))
    assert [record["val_rank_ic"] for record in resumed.history] == [r["val_rank_ic"] for r in three.history]
    assert resumed.checkpoint.name == three.checkpoint.name
    again = fitted(data, tmp_path, seeds=3, seed=4, resume=True)
    assert asked[3:] == [True, True, True]
    assert scored(again, data).equals(scored(three, data))


def test_states_of_an_earlier_run_are_not_taken_for_those_of_this_one(data: MarketData, tmp_path: Path) -> None:
    fitted(data, tmp_path, seeds=2, seed=4, epochs=1)
    with pytest.raises(_Killed):
        fitted(data, tmp_path, _KillIn(4, 1), seeds=2, seed=4, epochs=1)
    second = experiment(seed=5, epochs=1)
    split = single_split(data.panel.dates, SPLIT, data.panel.meta.label_span)
    assert state_store(second, data, split, tmp_path, None).batch_shape is None


def test_a_seed_that_another_process_trains_is_not_forgotten(data: MarketData, tmp_path: Path) -> None:
    split = single_split(data.panel.dates, SPLIT, data.panel.meta.label_span)
    busy = state_store(experiment(seed=5), data, split, tmp_path, None)
    busy.claim()
    try:
        with pytest.raises(TrainingError, match="is in use"):
            fitted(data, tmp_path, seeds=2, seed=4)
    finally:
        busy.close()


def test_the_card_tells_every_model(three: TrainingResult) -> None:
    card = three.run_card
    assert [model["seed"] for model in card["ensemble"]] == [4, 5, 6]
    for model in card["ensemble"]:
        own = {record["epoch"]: record["val_rank_ic"] for record in three.history if record["seed"] == model["seed"]}
        assert model["val_rank_ic"] == own[model["best_epoch"]] == max(own.values())
    page = card_page(card, three.history)
    for model in card["ensemble"]:
        assert f"seed {model['seed']}" in page
    figure = training_curves(three.history, [0.1, 0.2])
    assert [trace.name for trace in figure.data if trace.showlegend is not False].count("RankIC 1") == 1
    assert [trace.name for trace in figure.data].count("RankIC 1") == 3


def test_a_fold_warmed_by_an_ensemble_takes_the_member_of_its_seed(
    three: TrainingResult,
) -> None:
    network, card = load_model(three.checkpoint)
    for seed, place in ((5, 1), (9, 0)):
        fresh = type(network[0])(card.model, card.spec)
        start_from(fresh, three.checkpoint, seed)
        expected = network[place].state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in fresh.state_dict().items())


def test_a_model_saved_before_there_were_ensembles_loads(
    alone: list[TrainingResult], data: MarketData, tmp_path: Path
) -> None:
    before = scored(alone[0], data)
    folder = tmp_path / "old"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes((alone[0].checkpoint / "model.safetensors").read_bytes())
    document = json.loads((alone[0].checkpoint / MODEL_CARD).read_text())
    take_checksum(document)
    (member,) = document.pop("members")
    write_card(folder / MODEL_CARD, {**document, **member})
    assert scored(replace(alone[0], checkpoint=folder), data).equals(before)

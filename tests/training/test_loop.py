import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from atft_pipeline.errors import ArtifactError, ConfigError, TrainingError, UnavailableError
from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import GraphAttentionConfig, HeadsConfig
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import ResidencyConfig
from atft_pipeline.panel.panel import Panel
from atft_pipeline.panel.resident import Choice, ResidentPanel
from atft_pipeline.scoring.inference import explain_days, score_days
from atft_pipeline.scoring.scorer import Scorer
from atft_pipeline.splits.split import single_split
from atft_pipeline.training import epoch
from atft_pipeline.training.checkpoint.model import load_model, panel_for
from atft_pipeline.training.config import (
    AugmentationConfig,
    OptimizerConfig,
    PhaseConfig,
    RuntimeConfig,
    ScheduleConfig,
    TargetsConfig,
)
from atft_pipeline.training.experiment import MarketData
from atft_pipeline.training.runtime.runtime import AUTOCAST, FABRIC_PRECISION, choose_runtime
from tests.training.runs import BATCHES, MODEL, SPLIT, market, run, weights


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, MonthlyGraphs]:
    return market(tmp_path_factory.mktemp("market"))


class Log:
    def __init__(self) -> None:
        self.epochs: list[dict] = []
        self.card: dict = {}

    def on_epoch(self, record: dict) -> None:
        self.epochs.append(dict(record))

    def on_restart(self) -> None: ...

    def on_run_card(self, card: dict) -> None:
        self.card = dict(card)


def test_finds_a_planted_signal_and_tells_the_observer(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    log = Log()
    result = run(*planted, tmp_path, callback=log)
    assert result.history[-1]["val_rank_ic"] > 0.4
    assert log.epochs == result.history
    assert log.card == result.run_card
    json.dumps(result.run_card)
    assert result.run_card["optimizer"]["class"].endswith("AdamW")
    assert result.run_card["data"]["limited"] is False


def test_same_seed_gives_the_same_weights_bit_for_bit(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    first, second = (weights(run(*planted, tmp_path / name)) for name in ("a", "b"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = weights(run(*planted, tmp_path / "c", seed=2))
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_shuffled_labels_teach_nothing(tmp_path: Path) -> None:
    """Labels without any signal: validation stays within three standard errors of zero."""
    panel, graphs = market(tmp_path, signal=0.0)
    result = run(panel, graphs, tmp_path / "run")
    last = result.history[-1]
    for horizon in panel.meta.horizons:
        assert abs(last[f"val_rank_ic_{horizon}"]) < 3 * last[f"val_rank_ic_{horizon}_se"]


def test_best_weights_are_kept_and_reproduce_their_validation(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path
) -> None:
    panel, graphs = planted
    result = run(panel, graphs, tmp_path, epochs=4)
    best = max(result.history, key=lambda record: record["val_rank_ic"])
    network, card = load_model(result.checkpoint)
    assert card.members[0].training["epoch"] == best["epoch"] == result.run_card["result"]["best_epoch"]
    resident = ResidentPanel.load(panel, ResidencyConfig())
    days = single_split(panel.dates, SPLIT, panel.meta.label_span).validation
    runtime = choose_runtime(RuntimeConfig(device="cpu"))
    scores = score_days(network, resident, graphs.align(panel.dates), days, card.batches, runtime)
    again = score_days(network, resident, graphs.align(panel.dates), days, card.batches, runtime)
    np.testing.assert_array_equal(scores.score, again.score)
    labels = resident.returns.numpy()[scores.day, scores.listing]
    daily = []
    for day in np.unique(scores.day):
        rows = (scores.day == day) & np.isfinite(labels[:, 0])
        if rows.sum() > 2:
            ranks = [values[rows, 0].argsort().argsort() for values in (scores.score, labels)]
            daily.append(np.corrcoef(*ranks)[0, 1])
    assert np.mean(daily) == pytest.approx(best["val_rank_ic_1"], abs=2e-3)


def test_what_the_model_looks_at_is_read_by_day(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    panel, graphs = planted
    network, card = load_model(run(panel, graphs, tmp_path).checkpoint)
    resident = ResidentPanel.load(panel, ResidencyConfig())
    runtime = choose_runtime(RuntimeConfig(device="cpu"))
    found = explain_days(network, resident, graphs.align(panel.dates), [60, 61, 62], card.batches, runtime)
    assert list(found["features"]) == list(panel.meta.feature_names)
    assert np.mean(list(found["features"].values())) == pytest.approx(1.0, abs=1e-4)
    assert sum(found["lags"]) == pytest.approx(1.0, abs=1e-4)
    assert sum(found["edges"]) == pytest.approx(1.0, abs=1e-4)
    assert 0 < found["gate"] < 1
    assert found["days"] == 3
    json.dumps(found)


def test_a_model_reads_the_features_that_it_names(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    """Half of the panel's features: as good as the whole, refused by a panel that lacks one of them."""
    panel, graphs = planted
    names = panel.meta.feature_names[:2]
    result = run(panel, graphs, tmp_path, batches=replace(BATCHES, features=names))
    network, card = load_model(result.checkpoint)
    assert network[0].spec.feature_names == names
    assert result.history[-1]["val_rank_ic"] > 0.4
    assert panel_for(card, panel).meta.feature_names == names
    with pytest.raises(ArtifactError, match=f"lacks 1 of the model's 2 features \\({names[0]}"):
        panel_for(card, panel.select(names[1:]))
    with pytest.raises(ConfigError, match="matches none of the panel's"):
        run(panel, graphs, tmp_path, batches=replace(BATCHES, features=("no_such_*",)))
    whole = ResidentPanel.load(panel, ResidencyConfig())
    with pytest.raises(ConfigError, match="holds other features"):
        run(panel, graphs, tmp_path, batches=replace(BATCHES, features=names), resident=whole)


def test_unknown_regimes_are_named(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="NO_SUCH is no market feature of the panel"):
        run(*planted, tmp_path, loss=LossConfig(regime_weights={"NO_SUCH": (1.0, 1.0, 2.0)}))


def test_nothing_is_learned_of_what_the_targets_are_neutral_to(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path
) -> None:
    """The labels follow the first feature alone: without its share there is nothing left to learn."""
    first, second = planted[0].meta.feature_names[:2]
    plain = run(*planted, tmp_path / "plain", targets=TargetsConfig(neutral_to=(second,)))
    neutral = run(*planted, tmp_path / "neutral", targets=TargetsConfig(neutral_to=(first,)))
    assert plain.history[-1]["val_rank_ic"] > 0.4
    assert abs(neutral.history[-1]["val_rank_ic"]) < 0.3
    with pytest.raises(ConfigError, match=r"targets\.neutral_to: NO_SUCH is not among the features"):
        run(*planted, tmp_path, targets=TargetsConfig(neutral_to=("NO_SUCH",)))


def test_scoring_in_training_mode_is_refused(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    panel, graphs = planted
    network, card = load_model(run(panel, graphs, tmp_path, epochs=1).checkpoint)
    resident = ResidentPanel.load(panel, ResidencyConfig())
    with pytest.raises(RuntimeError, match="eval"):
        score_days(network.train(), resident, None, [50], card.batches, choose_runtime(RuntimeConfig(device="cpu")))


def test_an_epoch_of_warm_up_steps_alone_has_a_rate_too(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    assert run(*planted, tmp_path, epochs=1, max_batches=2).history[0]["samples_per_second"] > 0


def test_early_stopping(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    result = run(*planted, tmp_path, epochs=30, patience=2, optimizer=OptimizerConfig(lr=0.05))
    history = result.history
    assert len(history) < 30
    best = max(range(len(history)), key=lambda place: history[place]["val_rank_ic"])
    assert len(history) - 1 - best == 2


def test_phases_switch_blocks_rates_and_weights(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    phases = (
        PhaseConfig(name="plain", epochs=1, normaliser=False, graph=False),
        PhaseConfig(
            name="full",
            epochs=2,
            lr_factor=0.1,
            augmentation=AugmentationConfig(feature_mask=0.1, noise=0.1, listing_dropout=0.1),
            loss_weights={"rank_ic": 0.0, "spearman": 1.0},
        ),
    )
    result = run(*planted, tmp_path, epochs=None, phases=phases)
    first, *rest = result.history
    assert [record["phase"] for record in result.history] == ["plain", "full", "full"]
    assert "loss_rank_ic" in first
    assert "loss_spearman" not in first
    assert all("loss_spearman" in record and "loss_rank_ic" not in record for record in rest)
    assert rest[0]["lr"] < 0.11 * 1e-2
    assert result.run_card["model"]["switches"] == {"normaliser": True, "graph": True}


def test_accumulated_days_equal_one_large_batch(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradients of two accumulated batches are those of one batch of twice the days."""

    def in_order(batches: DayBatches, _epoch: int, _capacity: int) -> list[list[int]]:
        most = batches.config.size // 28
        return [list(batches.days[first : first + most]) for first in range(0, len(batches.days), most)]

    monkeypatch.setattr(DayBatches, "_packed", in_order)
    still = replace(MODEL, dropout=0.0, graph=replace(MODEL.graph, dropout=0.0))
    sgd = OptimizerConfig(name="sgd", lr=1e-2, weight_decay=0.0)
    loss = LossConfig(huber=1.0, rank_ic=0.0, ic=0.0)
    common = {"model": still, "loss": loss, "optimizer": sgd, "clip_norm": 0.0, "epochs": 1}
    large = run(*planted, tmp_path / "a", batches=replace(BATCHES, batch_size=128), max_batches=1, **common)
    small = run(*planted, tmp_path / "b", accumulation=2, max_batches=2, **common)
    for (name, one), two in zip(weights(large).items(), weights(small).values(), strict=True):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-4, msg=name)


def test_averaged_weights_are_those_that_are_kept(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is the exponential average of the weights after each step, from the first weights on."""
    original, average = epoch.optimizer_step, {}

    def averaged(trainer: Any) -> Any:
        if not average:
            average.update({name: weight.detach().clone() for name, weight in trainer.model.named_parameters()})
        found = original(trainer)
        for name, weight in trainer.model.named_parameters():
            average[name] = 0.9 * average[name] + 0.1 * weight.detach()
        return found

    monkeypatch.setattr(epoch, "optimizer_step", averaged)
    kept = weights(run(*planted, tmp_path, epochs=1, ema_decay=0.9))
    assert average
    for name, expected in average.items():
        torch.testing.assert_close(kept[name], expected, atol=1e-6, rtol=1e-5, msg=name)


def test_resume_of_other_settings_is_refused(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    run(*planted, tmp_path, epochs=1)
    with pytest.raises(ArtifactError, match="no readable state"):
        run(*planted, tmp_path, epochs=1, resume=True, optimizer=OptimizerConfig(lr=1e-3))


def test_a_damaged_state_gives_way_to_the_one_before(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    run(*planted, tmp_path, epochs=3, patience=0)
    (newest,) = tmp_path.glob("*/epoch-0003/state.safetensors")
    newest.write_bytes(newest.read_bytes()[:100])
    result = run(*planted, tmp_path, epochs=3, patience=0, resume=True)
    assert [record["epoch"] for record in result.history] == [1, 2, 3]


@pytest.mark.parametrize("wrong", ["nan", "collapse"])
def test_meaningless_numbers_stop_the_run_and_keep_the_last_good_checkpoint(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atft_pipeline.training import loop

    original = loop.train_epoch

    def sabotage(trainer: loop.Trainer, loss: object) -> object:
        if trainer.state.epoch == 1:
            with torch.no_grad():
                trainer.model.heads.score.weight.fill_(float("nan") if wrong == "nan" else 0.0)
            if wrong == "collapse":
                return {"loss": 1.0}
        return original(trainer, loss)

    monkeypatch.setattr(loop, "train_epoch", sabotage)
    with pytest.raises(TrainingError, match=r"epoch 2: .*last good checkpoint is kept"):
        run(*planted, tmp_path)
    assert list(tmp_path.glob("*/best-0001/model.safetensors"))


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        (RuntimeConfig(device="cpu", precision="16-mixed"), "runtime.precision: 16-mixed was asked for"),
        (
            RuntimeConfig(device="cpu", attention="fused"),
            r"runtime\.attention: fused was asked for, but it needs a GPU",
        ),
    ],
)
def test_requests_that_cannot_be_met_raise(runtime: RuntimeConfig, message: str) -> None:
    with pytest.raises(UnavailableError, match=message):
        choose_runtime(runtime)


def test_an_attention_kernel_is_tried_as_the_training_will_call_it(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the data are loaded: with the model's dropout a CPU has no flash attention, without it has."""
    runtime = RuntimeConfig(device="cpu", attention="flash")
    deep = replace(MODEL, encoder=replace(MODEL.encoder, layers=2))
    card = run(*planted, tmp_path / "a", model=replace(deep, dropout=0.0), runtime=runtime, epochs=1).run_card
    assert card["probe"]["attention_kernel"] == "flash"
    assert card["warnings"] == []
    monkeypatch.setattr(ResidentPanel, "load", lambda *_: pytest.fail("the data were loaded"))
    with pytest.raises(UnavailableError, match="cpu has no such kernel for windows of 5 steps in float32"):
        run(*planted, tmp_path / "b", model=deep, runtime=runtime, epochs=1)
    with pytest.raises(UnavailableError, match=r"model\.encoder\.layers=1 asks for one step alone"):
        run(*planted, tmp_path / "c", model=MODEL, runtime=runtime, epochs=1)


def test_a_gpu_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    choose_runtime.cache_clear()
    with pytest.raises(UnavailableError, match=r"runtime\.device: cuda"):
        choose_runtime(RuntimeConfig(device="cuda"))


def test_bf16_trains(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    runtime = RuntimeConfig(device="cpu", precision="bf16-mixed")
    result = run(*planted, tmp_path, runtime=runtime, epochs=2)
    assert result.history[-1]["val_rank_ic"] > 0.3
    assert result.run_card["precision"]["value"] == "bf16-mixed"
    assert all(tensor.dtype == torch.float32 for tensor in weights(result).values())


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_training_validation_scoring_and_explanation_compute_in_one_precision(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Any
) -> None:
    seen: dict[str, set[object]] = {}

    def watch(name: str) -> None:
        original = getattr(ATFTGATFAN, name)

        def watched(model: ATFTGATFAN, *inputs: torch.Tensor) -> Any:
            dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
            seen.setdefault(f"{stage} {name} {'training' if model.training else 'evaluation'}", set()).add(dtype)
            return original(model, *inputs)

        monkeypatch.setattr(ATFTGATFAN, name, watched)

    watch("forward")
    watch("explain")
    runtime = RuntimeConfig(device="cpu", precision=precision)
    stage = "training"
    result = run(*planted, tmp_path, runtime=runtime, epochs=1)
    stage = "scoring"
    scorer = Scorer.open(result.checkpoint, MarketData(*planted), runtime)
    scorer.scores([60, 61])
    scorer.explain([60])
    wanted = {torch.bfloat16 if precision == "bf16-mixed" else torch.float32}
    places = ("training forward training", "training forward evaluation", "scoring forward evaluation")
    assert seen == dict.fromkeys([*places, "scoring explain evaluation"], wanted)


def test_every_mixed_precision_of_training_is_one_of_scoring() -> None:
    """Fabric's fp16 needs a GPU: here scores are asked for in it, and the context they are computed in is looked at."""
    assert {name for name in FABRIC_PRECISION if name.endswith("mixed")} == set(AUTOCAST)
    runtime = replace(choose_runtime(RuntimeConfig(device="cpu")), precision=Choice("16-mixed", "asked for"))
    with runtime.computing():
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.float16


def test_the_runtime_is_chosen_once_and_its_switches_follow_the_last_one_asked_for() -> None:
    strict = RuntimeConfig(device="cpu", deterministic=True)
    loose = RuntimeConfig(device="cpu", deterministic=False)
    assert choose_runtime(strict) is choose_runtime(strict)
    for config, wanted in ((strict, True), (loose, False), (strict, True)):
        choose_runtime(config)
        assert torch.are_deterministic_algorithms_enabled() == wanted


def test_all_heads_and_terms_train_together(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    model = replace(MODEL, heads=HeadsConfig(quantiles=(0.1, 0.5, 0.9), student_t=True))
    loss = LossConfig(quantile=0.5, student_t=0.1, spearman=0.1, sharpe=0.1)
    result = run(*planted, tmp_path, model=model, loss=loss, epochs=2)
    assert set(result.run_card["loss_terms"]) >= {"huber", "quantile", "student_t", "sharpe"}
    panel, graphs = planted
    network, card = load_model(result.checkpoint)
    resident = ResidentPanel.load(panel, ResidencyConfig())
    scores = score_days(
        network, resident, graphs.align(panel.dates), [60], card.batches, choose_runtime(RuntimeConfig(device="cpu"))
    )
    assert scores.quantiles is not None
    assert (np.diff(scores.quantiles, axis=-1) >= 0).all()


def test_initial_weights_are_those_of_the_model_given(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    first = run(*planted, tmp_path / "a", epochs=1)
    still = {"optimizer": OptimizerConfig(lr=1e-8), "schedule": ScheduleConfig(name="constant")}
    second = run(*planted, tmp_path / "b", epochs=1, **still, initial=first.checkpoint)
    before, after = weights(first), weights(second)
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    # Weights of another start are another run: its states lie elsewhere.
    run(*planted, tmp_path / "b", epochs=1, **still)
    assert len(list((tmp_path / "b").iterdir())) == 2
    wider = replace(MODEL, width=16)
    with pytest.raises(ArtifactError, match="its model parameters or inputs differ"):
        run(*planted, tmp_path / "c", model=wider, epochs=1, initial=first.checkpoint)


def test_a_model_without_graph_needs_no_graphs(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    model = replace(MODEL, graph=GraphAttentionConfig(layers=0))
    result = run(planted[0], None, tmp_path, model=model, epochs=1)
    assert np.isfinite(result.history[-1]["val_rank_ic"])

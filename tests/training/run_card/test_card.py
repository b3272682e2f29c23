"""Every switch is broken on purpose, and the card, or an error, says so."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from atft_pipeline.graphs.graphs import MonthlyGraphs
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.graph_attention import GraphAttention
from atft_pipeline.panel.panel import Panel
from atft_pipeline.training import build, epoch, loop, trainer
from atft_pipeline.training.config import AugmentationConfig, OptimizerConfig, PhaseConfig, RuntimeConfig
from atft_pipeline.training.optim.optimizers import BuiltOptimizer
from atft_pipeline.training.run_card import card as run_card
from atft_pipeline.training.runtime.runtime import Runtime
from tests.training.runs import MODEL, market, run

Break = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Panel, MonthlyGraphs]:
    return market(tmp_path_factory.mktemp("market"), days=80)


ASKED: dict[str, Any] = {
    "epochs": 1,
    "ema_decay": 0.5,
    "accumulation": 2,
    "augmentation": AugmentationConfig(noise=0.1),
    "loss": LossConfig(sharpe=0.1),
}


def test_nothing_broken_no_warning(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    card = run(*planted, tmp_path, **ASKED).run_card
    assert card["warnings"] == []
    assert card["probe"]["activations"] == "float32"
    assert card["probe"]["attention_kernel"] == "none"  # one layer asks for one step
    assert card["probe"]["edges"] > 0
    assert card["probe"]["normaliser_effect"] > 1e-3
    assert card["probe"]["graph_effect"] > 1e-3
    assert card["ema"] == {"active": True, "decay": 0.5}


def test_a_model_is_probed_once_a_training(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards: list[dict[str, Any]] = []
    probes: list[int] = []
    original = run_card.probe
    monkeypatch.setattr(run_card, "probe", lambda given: probes.append(given.state.epoch) or original(given))

    class Card:
        def on_epoch(self, record: object) -> None: ...

        def on_restart(self) -> None: ...

        def on_run_card(self, card: dict[str, Any]) -> None:
            cards.append(card)

    asked = {**ASKED, "epochs": 3}
    result = run(*planted, tmp_path, callback=Card(), **asked)
    assert probes == [3]
    assert [bool(found["probe"]) for found in cards] == [False, False, False, True]
    assert cards[-1] == result.run_card
    # What needs no probe is told after each epoch too.
    assert all({**found, "probe": 0}.keys() == result.run_card.keys() for found in cards)


def test_a_probe_changes_no_random_number(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is probed after each epoch trains the same weights as one that is not."""
    original = loop.build_run_card
    asked = {**ASKED, "epochs": 3}
    one = run(*planted, tmp_path / "a", **asked)

    class Card:
        def on_epoch(self, record: object) -> None: ...

        def on_restart(self) -> None: ...

        def on_run_card(self, card: object) -> None: ...

    monkeypatch.setattr(loop, "build_run_card", lambda *given, **_: original(*given, probed=True))
    other = run(*planted, tmp_path / "b", callback=Card(), **asked)
    assert [r["val_rank_ic"] for r in one.history] == [r["val_rank_ic"] for r in other.history]


def wrong_optimizer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        build,
        "build_optimizer",
        lambda module, config, **_: BuiltOptimizer(torch.optim.SGD(module.parameters(), lr=config.lr), "broken"),
    )


def stuck_rate(patch: pytest.MonkeyPatch) -> None:
    original = epoch.optimizer_step

    def stuck(given: trainer.Trainer) -> Any:
        found = original(given)
        for group in given.optimizer.param_groups:
            group["lr"] = 0.123
        return found

    patch.setattr(epoch, "optimizer_step", stuck)


def no_average(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(build, "_copies", lambda network: {})


def no_accumulation(patch: pytest.MonkeyPatch) -> None:
    original = trainer.Trainer.groups
    patch.setattr(
        trainer.Trainer,
        "groups",
        lambda self, number: [[plan] for group in original(self, number) for plan in group],
    )


def no_augmentation(patch: pytest.MonkeyPatch) -> None:
    from atft_pipeline.training.run_card import probe

    for place in (epoch, probe):
        original = place.augment
        patch.setattr(place, "augment", lambda batch, config, o=original: o(batch, AugmentationConfig()))


def dead_normaliser(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ATFTGATFAN, "switch", lambda self, **on: None)


def dead_graph(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        GraphAttention, "forward", lambda self, x, neighbors, edges: x + 0 * sum(p.sum() for p in self.parameters())
    )


def noisy_evaluation(patch: pytest.MonkeyPatch) -> None:
    original = ATFTGATFAN.embed
    patch.setattr(ATFTGATFAN, "embed", lambda self, *parts: original(self, *parts) + 0.01 * torch.rand(()))


def silent_term(patch: pytest.MonkeyPatch) -> None:
    from atft_pipeline.losses.composite import CompositeLoss

    original = CompositeLoss.__init__

    def without(self: CompositeLoss, config: LossConfig, *rest: Any) -> None:
        original(self, replace(config, sharpe=0.0, ic=0.0), *rest)

    patch.setattr(CompositeLoss, "__init__", without)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (wrong_optimizer, "AdamW was asked for, SGD steps"),
        (stuck_rate, "the last learning rate is 0.123, the plan says"),
        (no_average, "averaging was asked for, but nothing is averaged"),
        (no_accumulation, "follow from the plan"),
        (no_augmentation, "no batch was changed"),
        (dead_normaliser, "the scores do not depend on"),
        (dead_graph, "the graph is on, but the scores do not depend on it"),
        (noisy_evaluation, "two passes gave different scores"),
        (silent_term, "ic, sharpe has a weight but did not contribute"),
    ],
)
def test_the_card_warns(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Break, message: str
) -> None:
    broken(monkeypatch)
    card = run(*planted, tmp_path, **ASKED).run_card
    assert any(message in warning for warning in card["warnings"]), card["warnings"]


def test_compilation_that_does_not_happen_is_told(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "compile_module", lambda network, choice: None)
    torch._dynamo.utils.counters.clear()
    card = run(*planted, tmp_path, runtime=RuntimeConfig(device="cpu", compile="full"), epochs=1).run_card
    assert "runtime.compile: full was chosen, but nothing was compiled" in card["warnings"]


def test_precision_that_is_not_used_is_told(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = build.build_fabric
    monkeypatch.setattr(Runtime, "computing", lambda _: nullcontext())
    monkeypatch.setattr(build, "build_fabric", lambda kind, devices, _precision: original(kind, devices, "32-true"))
    card = run(*planted, tmp_path, runtime=RuntimeConfig(device="cpu", precision="bf16-mixed"), epochs=1).run_card
    assert "runtime.precision: bf16-mixed was chosen, but the model computes in float32" in card["warnings"]


def test_the_attention_kernel_is_the_one_that_computes(
    planted: tuple[Panel, MonthlyGraphs], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = RuntimeConfig(device="cpu", attention="math")
    deep = replace(MODEL, dropout=0.0, encoder=replace(MODEL.encoder, layers=2))
    card = run(*planted, tmp_path / "a", runtime=runtime, model=deep, epochs=1).run_card
    assert card["probe"]["attention_kernel"] == "math"
    assert card["warnings"] == []
    monkeypatch.setattr(Runtime, "computing", lambda _: nullcontext())
    card = run(*planted, tmp_path / "b", runtime=runtime, model=deep, epochs=1).run_card
    assert "runtime.attention: math was chosen, flash computes" in card["warnings"]


def test_a_block_that_the_best_epoch_does_without_is_told(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    """The best epoch is of the phase that learns; the other one learns next to nothing."""
    idle = {"epochs": 1, "lr_factor": 1e-6}
    phases = (PhaseConfig(name="idle", **idle), PhaseConfig(name="plain", epochs=2, graph=False))
    card = run(*planted, tmp_path / "a", epochs=None, phases=phases, patience=0).run_card
    best = card["result"]["best_epoch"]
    assert card["warnings"] == [
        f"training.phases: the best epoch, {best}, is of phase plain: the saved model does not use the graph, which "
        "other phases switch on"
    ]
    phases = (PhaseConfig(name="plain", graph=False, **idle), PhaseConfig(name="full", epochs=2))
    assert run(*planted, tmp_path / "b", epochs=None, phases=phases, patience=0).run_card["warnings"] == []


def test_limited_batches_stand_on_the_card(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    card = run(*planted, tmp_path, epochs=1, max_batches=2).run_card
    assert card["data"]["limited"]
    assert any("training.max_batches: only 2 of" in warning for warning in card["warnings"])


def test_the_optimiser_is_told_by_its_class(planted: tuple[Panel, MonthlyGraphs], tmp_path: Path) -> None:
    for name, kind in (("adamw", "AdamW"), ("adabelief", "AdaBelief"), ("sgd", "SGD")):
        settings = OptimizerConfig(name=name, lr=1e-3)  # type: ignore[arg-type]
        card = run(*planted, tmp_path / name, model=MODEL, epochs=1, optimizer=settings).run_card
        assert card["optimizer"]["class"].endswith(kind)
        assert card["warnings"] == []

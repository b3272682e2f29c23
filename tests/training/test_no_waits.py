"""Nothing in a training step asks the device for a value: on the meta device any such question raises."""

from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from atft_pipeline.losses.composite import CompositeLoss
from atft_pipeline.losses.config import TERMS, LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import EncoderConfig, GraphAttentionConfig, HeadsConfig, ModelConfig, SelectionConfig
from atft_pipeline.panel.batches import DayBatches
from atft_pipeline.panel.config import BatchConfig, ResidencyConfig
from atft_pipeline.panel.resident import ResidentPanel
from atft_pipeline.training.augmentation import augment
from atft_pipeline.training.build import input_spec
from atft_pipeline.training.config import AugmentationConfig, OptimizerConfig, TargetsConfig
from atft_pipeline.training.optim.optimizers import build_optimizer
from atft_pipeline.training.trainer import labels_of, regime_of
from tests.training.runs import market

META = torch.device("meta")
BATCHES = BatchConfig(window=6, batch_size=64, min_history=2, min_listings=3)
HEADS = HeadsConfig(quantiles=(0.1, 0.5, 0.9), student_t=True)
AUGMENTATION = AugmentationConfig(feature_mask=0.1, noise=0.1, listing_dropout=0.1)
TARGETS = TargetsConfig(neutral_to=("sector", "alpha", "beta"))
EVERYTHING = LossConfig(
    **dict.fromkeys(TERMS, 0.1),  # type: ignore[arg-type]
    turnover_cost=0.001,
    regime_weights={"regime": (0.5, 1.0, 2.0)},
)


def on_meta(resident: ResidentPanel, batches: DayBatches) -> None:
    """Move a panel in memory, and the graphs beside it, to a device without values."""
    for place in (resident, batches._graphs):
        for name, value in vars(place).items():
            if isinstance(value, Tensor):
                setattr(place, name, value.to(META))
    resident.device = META


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast knows no meta device; what it does, casting, never waits."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> DayBatches:
    folder: Path = tmp_path_factory.mktemp("market")
    panel, graphs = market(folder, days=60)
    resident = ResidentPanel.load(panel, ResidencyConfig(mode="host"))
    built = DayBatches(resident, graphs.align(panel.dates), range(20, 50), BATCHES, shuffle=True, seed=1, fixed=True)
    on_meta(resident, built)
    return built


MODELS = {
    "default": ModelConfig(width=8, encoder=EncoderConfig(layers=2, heads=2), heads=HEADS),
    "lstm and the paper's selection": ModelConfig(
        width=8,
        selection=SelectionConfig(kind="grn"),
        encoder=EncoderConfig(kind="lstm_attention", heads=2),
        graph=GraphAttentionConfig(layers=3),
        checkpointing=True,
        heads=HEADS,
    ),
}


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [("default", "adamw"), ("default", "adabelief"), ("lstm and the paper's selection", "sgd")],
)
def test_a_whole_step_asks_the_device_for_nothing(batches: DayBatches, kind: str, optimizer: str) -> None:
    meta = batches.resident.panel.meta
    with META:
        model = ATFTGATFAN(MODELS[kind], input_spec(meta, 6)).train()
    built = build_optimizer(model, OptimizerConfig(name=optimizer))  # type: ignore[arg-type]
    loss = CompositeLoss(EVERYTHING, meta.horizons, HEADS.quantiles)
    average = [parameter.detach().clone() for parameter in model.parameters()]
    for batch in islice(batches.epoch(), 2):
        here = batch.to(META)
        features, mask = augment(here, AUGMENTATION)
        labels = labels_of(here, mask, TARGETS, meta)
        result = loss(
            model(features, mask, *here.context()).arranged(here.by_day),
            labels.targets,
            labels.returns,
            labels.mask,
            days=here.days,
            listing=here.by_day(here.listing + 1) - 1,
            regime=regime_of(here, tuple(EVERYTHING.regime_weights), meta.feature_names),
        )
        assert set(result.terms) == set(TERMS)
        result.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        built.optimizer.step()
        built.optimizer.zero_grad(set_to_none=True)
        torch._foreach_lerp_(average, list(model.parameters()), 0.1)


def test_the_meta_device_would_tell() -> None:
    """What this file stands on: looking at a value, or choosing rows by one, raises."""
    value = torch.ones(3, device=META)
    with pytest.raises((RuntimeError, NotImplementedError)):
        value.cpu()
    with pytest.raises((RuntimeError, NotImplementedError)):
        value.sum().item()
    with pytest.raises((RuntimeError, NotImplementedError)):
        value[value > 0]

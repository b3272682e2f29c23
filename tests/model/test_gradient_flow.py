"""Gradients by block: no block is starved and none floods, at the start and after some training."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atft_pipeline.losses.composite import CompositeLoss
from atft_pipeline.losses.config import LossConfig
from atft_pipeline.model.atft_gat_fan import ATFTGATFAN
from atft_pipeline.model.config import (
    EncoderConfig,
    GraphAttentionConfig,
    HeadsConfig,
    ModelConfig,
    NormaliserConfig,
    SelectionConfig,
)
from tests.model.inputs import Inputs, inputs, spec

HORIZONS = (1, 5)
NORMALISERS = ("fan", "san", "multi_window", "none")


def block_norms(model: ATFTGATFAN) -> dict[str, float]:
    """Root mean square gradient of each block, so that its size does not matter."""
    norms = {}
    for name, block in model.named_children():
        gradients = [p.grad.flatten() for p in block.parameters() if p.grad is not None]
        if gradients:
            norms[name] = float(torch.cat(gradients).square().mean().sqrt())
    return norms


def by_day(value: torch.Tensor, days: int) -> torch.Tensor:
    """Rows of equal days as [days, listings, ...]."""
    return value.unflatten(0, (days, -1))


def step(model: ATFTGATFAN, given: Inputs, optimizer: torch.optim.Optimizer) -> None:
    """One step toward a target that needs windows and neighbours."""
    signal = given.features[:, -1, 0] + given.features[..., 1].mean(dim=-1)
    near = signal[given.neighbors.clamp(min=0)[:, 0]]
    targets = by_day(torch.stack([signal, signal + near], dim=-1), 3)
    label_mask = by_day(given.mask, 3)[..., None].expand_as(targets)
    optimizer.zero_grad(set_to_none=True)
    output = model(*given).arranged(lambda part: by_day(part, 3))
    CompositeLoss(LossConfig(), HORIZONS)(output, targets, targets, label_mask).total.backward()
    optimizer.step()


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("kind", NORMALISERS)
def test_norms_of_the_blocks_stay_within_three_decades_of_their_median(kind: str, depth: int) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        width=16,
        normaliser=NormaliserConfig(kind=kind),  # type: ignore[arg-type]
        encoder=EncoderConfig(layers=depth, heads=2),
        graph=GraphAttentionConfig(layers=depth, heads=4),
    )
    model = ATFTGATFAN(config, spec()).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for number in range(50):
        step(model, inputs(model.spec, days=3, listings=12, seed=number), optimizer)
        if number in {0, 49}:
            norms = block_norms(model)
            median = sorted(norms.values())[len(norms) // 2]
            assert {"encoder", "graph", "heads", "selection", "fuse"} <= set(norms)
            for name, norm in norms.items():
                assert 1e-3 < norm / median < 1e3, (number, norms, name)


@st.composite
def searched(draw: st.DrawFn) -> ModelConfig:
    """A model of the kind that a search would draw: any depth, any heads, every block's kind."""
    heads = draw(st.sampled_from([1, 2, 4, 8]))
    return ModelConfig(
        width=8 * draw(st.integers(1, 3)),
        dropout=0.0,
        normaliser=NormaliserConfig(kind=draw(st.sampled_from(NORMALISERS)), top_k=draw(st.integers(1, 5))),
        selection=SelectionConfig(
            kind=draw(st.sampled_from(["linear", "grn"])), hidden=8, per_step=draw(st.booleans())
        ),
        encoder=EncoderConfig(
            kind=draw(st.sampled_from(["attention", "lstm_attention"])), layers=draw(st.integers(1, 3)), heads=heads
        ),
        graph=GraphAttentionConfig(
            layers=draw(st.integers(0, 4)), heads=draw(st.sampled_from([1, 2, 4, 8])), dropout=0.0
        ),
        heads=HeadsConfig(quantiles=(0.1, 0.5, 0.9), student_t=True),
        static=draw(st.booleans()),
        regime=draw(st.booleans()),
    )


@settings(max_examples=40)
@given(config=searched())
def test_every_parameter_of_a_searched_model_gets_a_gradient_in_its_first_step(config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = ATFTGATFAN(config, spec()).train()
    given_inputs = inputs(model.spec, days=3, listings=12)
    targets = torch.randn(3, 12, 2)
    label_mask = by_day(given_inputs.mask, 3)[..., None].expand_as(targets)
    loss = CompositeLoss(LossConfig(quantile=0.5, student_t=0.2), HORIZONS, config.heads.quantiles)
    output = model(*given_inputs).arranged(lambda part: by_day(part, 3))
    loss(output, targets, targets, label_mask).total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_one_tiny_batch_is_learned_by_heart() -> None:
    torch.manual_seed(0)
    config = ModelConfig(width=16, dropout=0.0, encoder=EncoderConfig(heads=2), graph=GraphAttentionConfig(dropout=0.0))
    model = ATFTGATFAN(replace(config, graph=replace(config.graph, heads=4)), spec()).train()
    given_inputs = inputs(model.spec, days=1, listings=9)
    targets = torch.randn(1, 9, 2, generator=torch.Generator().manual_seed(2))
    label_mask = by_day(given_inputs.mask, 1)[..., None].expand_as(targets)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    loss = CompositeLoss(LossConfig(huber=1.0, rank_ic=0.0, ic=0.0), HORIZONS)
    for _ in range(120):
        optimizer.zero_grad(set_to_none=True)
        result = loss(model(*given_inputs).arranged(lambda part: by_day(part, 1)), targets, targets, label_mask)
        result.total.backward()
        optimizer.step()
    assert result.total.item() < 1e-3
